//! Whether one network is faster than another, and how sure that is.

use mnas_net::{Purpose, stream};

use super::Samples;
use super::statistics::quantile;

/// A network's latency beside that of another one measured in the same rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Ratio of the medians.
    pub ratio: f64,
    /// Bounds of its 95 % confidence interval.
    pub interval: (f64, f64),
}

impl Ratio {
    /// Whether the interval leaves no doubt that the two differ.
    pub fn differs(&self) -> bool {
        self.interval.0 > 1.0 || self.interval.1 < 1.0
    }
}

/// Resamples: enough that the interval's ends move by less than its width's tenth.
const RESAMPLES: usize = 1000;

/// `a`'s latency relative to `b`'s, both measured in `rounds` interleaved rounds.
///
/// The interval is a percentile bootstrap (Efron 1979) that draws whole rounds, the same for both:
/// samples of a round are alike, since what disturbs one disturbs its neighbours, and drawn one by
/// one they would promise a precision that isn't there; what disturbs a round disturbs both
/// networks, and cancels. Fixed seed: the same samples give the same interval.
pub fn ratio(a: &Samples, b: &Samples, rounds: usize) -> Ratio {
    let (a, b) = (&a.times_ms, &b.times_ms);
    let rounds = rounds.min(a.len()).min(b.len()).max(1);
    let mut random = stream(0, 0, Purpose::Measure);
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn: Vec<usize> = (0..rounds).map(|_| random.below(rounds)).collect();
        let median = |times: &[f64]| {
            let values = drawn.iter().flat_map(|r| round(times, *r, rounds));
            quantile(&values.copied().collect::<Vec<f64>>(), 0.5)
        };
        ratios.push(median(a) / median(b));
    }
    Ratio {
        ratio: quantile(a, 0.5) / quantile(b, 0.5),
        interval: (quantile(&ratios, 0.025), quantile(&ratios, 0.975)),
    }
}

/// The samples of one round: they are kept in the order taken, as many in each.
fn round(times: &[f64], round: usize, rounds: usize) -> &[f64] {
    &times[times.len() * round / rounds..times.len() * (round + 1) / rounds]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = 10;

    /// Two networks whose medians are `truth` apart, on a machine whose rounds differ by 5 % for both
    /// alike and by 1 % for each alone; samples of a round differ by 1 %.
    fn pair(seed: u64, truth: f64) -> (Samples, Samples) {
        let mut random = stream(seed, 0, Purpose::Sample);
        let (mut a, mut b) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            let common = 1.0 + 0.05 * random.normal().abs();
            for (times, centre) in [(&mut a, truth), (&mut b, 1.0)] {
                let own = centre * common * (1.0 + 0.01 * random.normal());
                times.extend((0..10).map(|_| own * (1.0 + 0.01 * random.normal())));
            }
        }
        (Samples::measured(a, 0), Samples::measured(b, 0))
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let truth = 1.1;
        let holds = |seed: &u64| {
            let (a, b) = pair(*seed, truth);
            let (low, high) = ratio(&a, &b, ROUNDS).interval;
            low <= truth && truth <= high
        };
        let held = (0..200).filter(holds).count();
        // 95 % promised; ten rounds are few for a bootstrap.
        assert!((170..=200).contains(&held), "{held} of 200");
    }

    #[test]
    fn samples_drawn_one_by_one_would_promise_too_much() {
        let width = |rounds: usize| {
            let (a, b) = pair(3, 1.0);
            let (low, high) = ratio(&a, &b, rounds).interval;
            high - low
        };
        assert!(
            width(ROUNDS) > 1.5 * width(100),
            "{} {}",
            width(ROUNDS),
            width(100)
        );
    }

    #[test]
    fn a_difference_is_seen_and_none_is_not() {
        let (a, b) = pair(1, 1.2);
        let seen = ratio(&a, &b, ROUNDS);
        assert!(seen.differs() && seen.ratio > 1.1, "{seen:?}");
        assert_eq!(ratio(&a, &b, ROUNDS), seen);
        assert!(!ratio(&a, &a, ROUNDS).differs());
        // One value each, as predictors give.
        let one = |ms| Samples::predicted(ms, None);
        assert_eq!(ratio(&one(2.0), &one(1.0), ROUNDS).interval, (2.0, 2.0));
    }
}

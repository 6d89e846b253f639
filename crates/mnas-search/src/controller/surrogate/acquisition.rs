//! What a proposal is worth: the gain expected of it over what is known.

use super::belief::Scale;
use crate::Objective;

/// What is believed of a quantity of one sample: mean and standard deviation on a scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    pub(super) scale: Scale,
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// Nodes and weights of Gauss-Hermite quadrature for a standard normal, five points.
const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_691),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_691),
];

/// Deviation (on a logarithmic scale, or relative) under which a latency counts as known.
const KNOWN: f64 = 1e-4;

fn density(z: f64) -> f64 {
    libm::exp(-0.5 * z * z) / libm::sqrt(std::f64::consts::TAU)
}

fn cumulative(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Expectation of what an accuracy has above `floor`.
pub(super) fn expected_above(guess: &Guess, floor: f64) -> f64 {
    let deviation = guess.deviation.max(1e-12);
    match guess.scale {
        Scale::Plain => {
            let z = (guess.mean - floor) / deviation;
            (deviation * (z * cumulative(z) + density(z))).max(0.0)
        }
        // The error is log-normal, so this is the price of a put option on it at `1 - floor`
        // (Black and Scholes 1973).
        Scale::LogError => {
            let strike = 1.0 - floor;
            if strike <= 0.0 {
                return 0.0;
            }
            let d = (libm::log(strike) + guess.mean) / deviation;
            let error = libm::exp(-guess.mean + 0.5 * deviation * deviation);
            (strike * cumulative(d) - error * cumulative(d - deviation)).max(0.0)
        }
        // The value is log-normal: a call option.
        Scale::Log => {
            let value = libm::exp(guess.mean + 0.5 * deviation * deviation);
            if floor <= 0.0 {
                return value - floor;
            }
            let d = (guess.mean - libm::log(floor)) / deviation;
            (value * cumulative(d + deviation) - floor * cumulative(d)).max(0.0)
        }
    }
}

/// Latencies that stand for what is believed of one, each with its probability.
fn latencies(guess: &Guess) -> impl Iterator<Item = (f64, f64)> {
    let scale = guess.scale;
    let (mean, deviation) = (guess.mean, guess.deviation);
    let relative = match scale {
        Scale::Plain => deviation / libm::fabs(mean).max(1e-12),
        _ => deviation,
    };
    let known = relative < KNOWN;
    let floor = 1e-3 * scale.from(mean).max(1e-9);
    let nodes = NODES.iter().filter(move |(z, _)| !known || *z == 0.0);
    nodes.map(move |(z, weight)| {
        let weight = if known { 1.0 } else { *weight };
        (scale.from(mean + z * deviation).max(floor), weight)
    })
}

/// Expected improvement of the reward over `best` (Jones et al. 1998), where accuracy and latency
/// are guessed apart: every form of the reward is linear in the accuracy.
pub(super) fn expected_reward_gain(
    accuracy: &Guess,
    latency: Option<&Guess>,
    objective: &Objective,
    best: f64,
) -> f64 {
    let Some(latency) = latency else {
        return expected_above(accuracy, best);
    };
    latencies(latency)
        .map(|(latency_ms, weight)| {
            let offset = objective.reward(0.0, latency_ms);
            let slope = objective.reward(1.0, latency_ms) - offset;
            if slope <= 0.0 {
                return 0.0;
            }
            weight * slope * expected_above(accuracy, (best - offset) / slope)
        })
        .sum()
}

/// Expected gain of hypervolume (Emmerich et al. 2006) over a front of `(accuracy, latency)`, sorted
/// by rising latency, as seen from `(accuracy, latency)` of the worst.
pub(super) fn expected_front_gain(
    accuracy: &Guess,
    latency: &Guess,
    front: &[(f64, f64)],
    (floor, ceiling): (f64, f64),
) -> f64 {
    // Above each stretch of latencies, what counts is the accuracy over the front's.
    let mut stretches = vec![];
    let (mut from, mut level) = (0.0, floor);
    for (accuracy, latency) in front.iter().filter(|p| p.0 > floor && p.1 < ceiling) {
        stretches.push((from, *latency, level));
        (from, level) = (*latency, *accuracy);
    }
    stretches.push((from, ceiling, level));
    let above: Vec<f64> = stretches
        .iter()
        .map(|(_, _, level)| expected_above(accuracy, *level))
        .collect();
    latencies(latency)
        .map(|(latency_ms, weight)| {
            let area: f64 = stretches
                .iter()
                .zip(&above)
                .map(|((from, to, _), above)| (to - latency_ms.max(*from)).max(0.0) * above)
                .sum();
            weight * area
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectiveKind;
    use mnas_net::{Purpose, stream};

    fn guess(scale: Scale, mean: f64, deviation: f64) -> Guess {
        Guess {
            scale,
            mean,
            deviation,
        }
    }

    /// Against the mean over many draws.
    #[test]
    fn gains_are_expectations() {
        let mut draws = stream(5, 0, Purpose::Sample);
        let n = 200_000;
        for (scale, mean, deviation, floor) in [
            (Scale::Plain, 0.7, 0.05, 0.72),
            (Scale::LogError, 2.5, 0.3, 0.93),
            (Scale::Log, 0.1, 0.2, 1.2),
        ] {
            let sum: f64 = (0..n)
                .map(|_| (scale.from(mean + deviation * draws.normal()) - floor).max(0.0))
                .sum();
            let found = expected_above(&guess(scale, mean, deviation), floor);
            let expected = sum / f64::from(n);
            assert!(
                (found / expected - 1.0).abs() < 0.02,
                "{scale:?}: {found} {expected}"
            );
        }
    }

    #[test]
    fn a_known_latency_prices_the_accuracy() {
        let objective = Objective {
            kind: ObjectiveKind::HARD,
            target_ms: 10.0,
        };
        let accuracy = guess(Scale::Plain, 0.7, 1e-9);
        for (latency_ms, gain) in [(9.0, 0.1), (11.0, 0.7 * 10.0 / 11.0 - 0.6), (20.0, 0.0)] {
            let latency = guess(Scale::Plain, latency_ms, 0.0);
            let found = expected_reward_gain(&accuracy, Some(&latency), &objective, 0.6);
            assert!((found - gain).abs() < 1e-9, "{found} {gain}");
        }
    }

    #[test]
    fn a_gain_of_hypervolume_is_the_area_that_is_new() {
        let front = [(0.5, 4.0), (0.8, 8.0)];
        let reference = (0.0, 10.0);
        for (accuracy, latency) in [(0.7, 5.0), (0.9, 3.0), (0.4, 6.0), (0.3, 2.0), (0.9, 12.0)] {
            let mut with = front.to_vec();
            with.push((accuracy, latency));
            let expected = crate::front::hypervolume(&with, reference)
                - crate::front::hypervolume(&front, reference);
            let found = expected_front_gain(
                &guess(Scale::Plain, accuracy, 1e-12),
                &guess(Scale::Plain, latency, 0.0),
                &front,
                reference,
            );
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }
}

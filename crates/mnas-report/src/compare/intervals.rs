//! What a number may be by chance.

use crate::view::View;

/// Two-sided 95 % point of the normal distribution.
const Z: f64 = 1.959_964;

/// Most images that a fraction is taken to be of.
const IMAGES_MAX: u64 = 200_000;

/// Numbers of images that accuracies are shares of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Images {
    pub(super) validation: Option<u64>,
    pub(super) test: Option<u64>,
}

/// As many images as the stored fractions tell: the least number of which all accuracies are whole
/// shares. The split has this many or a multiple, so that an interval is never too narrow.
pub(super) fn images(view: &View) -> Images {
    let test = view.finals.iter();
    let test = test.flat_map(|f| [f.test_accuracy, f.test_top5]);
    let finals = view.finals.iter().map(|f| f.accuracy);
    let trained = view.trials.iter();
    let trained = trained.filter(|t| t.state == crate::view::State::Done);
    let validation = trained.map(|t| t.accuracy).chain(finals);
    Images {
        validation: common_denominator(validation.flatten()),
        test: common_denominator(test.flatten()),
    }
}

fn common_denominator(fractions: impl Iterator<Item = f64>) -> Option<u64> {
    let mut common = 1;
    for fraction in fractions {
        let own = denominator(fraction)?;
        common = common / gcd(common, own) * own;
        if common > IMAGES_MAX {
            return None;
        }
    }
    (common > 1).then_some(common)
}

/// The least denominator of a fraction in 0..=1, by its continued fraction.
fn denominator(fraction: f64) -> Option<u64> {
    let (mut before, mut now) = ((1.0, 0.0), (0.0, 1.0));
    let mut rest = fraction;
    for _ in 0..32 {
        let whole = rest.floor();
        let next = (whole * before.0 + now.0, whole * before.1 + now.1);
        (now, before) = (before, next);
        if before.1 > IMAGES_MAX as f64 {
            return None;
        }
        if (before.0 / before.1 - fraction).abs() < 1e-12 {
            return Some(before.1 as u64);
        }
        rest = 1.0 / (rest - whole);
    }
    None
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Wilson's 95 % interval of a share of `n` (Wilson 1927).
pub(super) fn wilson(share: f64, n: u64) -> (f64, f64) {
    let n = n as f64;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let over = 1.0 + Z * Z / n;
    ((middle - half) / over, (middle + half) / over)
}

/// The 95 % interval of the median by order statistics, as if samples were independent; none for
/// fewer than six, of which even the extremes don't reach 95 %.
pub(super) fn median(samples: &[f64]) -> Option<(f64, f64)> {
    let n = samples.len();
    if n < 6 {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = Z * (n as f64).sqrt() / 2.0;
    // The 40th to the 61st of 100 (Conover, "Practical Nonparametric Statistics", 3.2).
    let low = ((n as f64 / 2.0 - half).floor() as usize).saturating_sub(1);
    let high = ((n as f64 / 2.0 + half).ceil() as usize).min(n - 1);
    Some((sorted[low], sorted[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_tell_how_many_images_there_were() {
        for (fraction, n) in [
            (0.839, Some(1000)),
            (0.9975, Some(400)),
            (1.0 / 3.0, Some(3)),
            (8391.0 / 9973.0, Some(9973)),
            (0.0, Some(1)),
            (1.0, Some(1)),
            (std::f64::consts::FRAC_1_SQRT_2, None),
        ] {
            assert_eq!(denominator(fraction), n, "{fraction}");
        }
        let common = |f: &[f64]| common_denominator(f.iter().copied());
        assert_eq!(common(&[0.839, 0.9975, 0.5]), Some(2000));
        assert_eq!(common(&[]), None);
        assert_eq!(common(&[1.0, 0.0]), None, "nothing is known");
    }

    #[test]
    fn textbook_intervals() {
        // 15 of 20: 0.5313 to 0.8881 (Newcombe 1998 gives the method's values so).
        let (low, high) = wilson(0.75, 20);
        assert!((low - 0.5313).abs() < 1e-4 && (high - 0.8881).abs() < 1e-4);
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(median(&values), Some((40.0, 61.0)));
        assert_eq!(median(&[1.0; 5]), None);
    }
}

//! Which decisions of the space matter, by how much of the variance each explains alone.

use mnas_search::{Decision, Study};
use serde::{Deserialize, Serialize};

/// Trained networks below which nothing is said of importance.
const TRIALS_MIN: usize = 12;
/// About as many trained networks are looked at, evenly spaced, where there are more: a share is then
/// known to a hundredth, and a live page doesn't wait.
const TRIALS_MAX: usize = 10_000;

/// How much of the variance of accuracy and of log latency one decision explains by itself, over
/// the distinct trained networks: Kelley's epsilon squared, `(SSB - (k - 1) MSW) / SST` of a one-way
/// analysis of variance, at least 0. It corrects for the number of choices, so that a decision that
/// means nothing tends to 0. Interactions aren't told apart, and decisions that a controller makes
/// together share their credit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Name of the decision, as `block3.kernel`.
    pub decision: String,
    /// Share of the variance of accuracy, 0..=1; absent where it can't be computed.
    pub accuracy: Option<f64>,
    /// Share of the variance of the logarithm of latency, 0..=1.
    pub latency: Option<f64>,
}

impl Importance {
    /// The larger of both shares.
    pub fn most(&self) -> f64 {
        self.accuracy
            .unwrap_or(0.0)
            .max(self.latency.unwrap_or(0.0))
    }
}

/// Importance of every decision, in the order of the space; none where too few networks are done.
pub(super) fn importance(study: &Study, decisions: &[Decision]) -> Vec<Importance> {
    let done: Vec<(&[u16], f64, f64)> = study
        .done()
        .filter_map(|t| Some((&*t.tokens, t.accuracy()?, t.latency_ms()?.ln())))
        .filter(|t| t.0.len() == decisions.len())
        .collect();
    let every = done.len().div_ceil(TRIALS_MAX).max(1);
    let done: Vec<_> = done.into_iter().step_by(every).collect();
    if done.len() < TRIALS_MIN {
        return vec![];
    }
    decisions
        .iter()
        .enumerate()
        .map(|(i, d)| Importance {
            decision: d.name.clone(),
            accuracy: explained(done.iter().map(|t| (t.0[i], t.1)), d.choices.len()),
            latency: explained(done.iter().map(|t| (t.0[i], t.2)), d.choices.len()),
        })
        .collect()
}

/// Epsilon squared of values grouped by token; nothing where the values don't vary, one choice was
/// never left, or no degree of freedom is left.
fn explained(values: impl Iterator<Item = (u16, f64)> + Clone, choices: usize) -> Option<f64> {
    let mut groups = vec![(0usize, 0.0f64); choices];
    let (mut n, mut sum) = (0usize, 0.0);
    for (token, value) in values.clone() {
        let group = groups.get_mut(usize::from(token))?;
        (group.0, group.1) = (group.0 + 1, group.1 + value);
        (n, sum) = (n + 1, sum + value);
    }
    let used = groups.iter().filter(|g| g.0 > 0).count();
    if used < 2 || n <= used {
        return None;
    }
    let mean = sum / n as f64;
    let (mut total, mut within) = (0.0, 0.0);
    for (token, value) in values {
        let (count, sum) = groups[usize::from(token)];
        total += (value - mean).powi(2);
        within += (value - sum / count as f64).powi(2);
    }
    // Values that are equal up to rounding explain nothing.
    if total <= 1e-18 * (1.0 + mean * mean) * n as f64 {
        return None;
    }
    let noise = within / (n - used) as f64;
    let between = total - within - (used - 1) as f64 * noise;
    Some((between / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn a_decision_that_sets_the_value_explains_it_all() {
        let values = (0..40u16).map(|i| (i % 2, f64::from(i % 2)));
        assert_eq!(explained(values, 2), Some(1.0));
    }

    #[test]
    fn a_textbook_analysis() {
        // SSB = 84 (2 df), SSW = 68 (15 df), SST = 152: (84 - 2 x 68 / 15) / 152.
        let groups = [
            [6.0, 8.0, 4.0, 5.0, 3.0, 4.0],
            [8.0, 12.0, 9.0, 11.0, 6.0, 8.0],
            [13.0, 9.0, 11.0, 8.0, 7.0, 12.0],
        ];
        let values = groups
            .iter()
            .zip(0u16..)
            .flat_map(|(g, i)| g.iter().map(move |v| (i, *v)));
        let got = explained(values, 3).unwrap();
        assert!(
            (got - (84.0 - 2.0 * 68.0 / 15.0) / 152.0).abs() < 1e-12,
            "{got}"
        );
    }

    #[test]
    fn what_means_nothing_is_near_nothing_or_unknown() {
        // Each choice has the same values.
        let values = (0..60u16).map(|i| (i % 3, f64::from(i / 3)));
        assert_eq!(explained(values, 3), Some(0.0));
        let constant = (0..20u16).map(|i| (i % 2, 0.7));
        assert_eq!(explained(constant, 2), None);
        let one_choice = (0..20u16).map(|i| (1, f64::from(i)));
        assert_eq!(explained(one_choice, 2), None);
        let unknown_token = (0..20u16).map(|i| (i, f64::from(i)));
        assert_eq!(explained(unknown_token, 2), None);
    }
}

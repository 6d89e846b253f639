//! What the controller would choose, now and over time.

use mnas_search::{Decision, Diagnostics, Study};
use serde::{Deserialize, Serialize};

use super::Belief;

/// Moments kept of a history: enough for a picture, whatever the number of batches.
const MOMENTS_MAX: usize = 24;

/// What a controller would have chosen at one decision, over the batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeliefHistory {
    /// Name of the decision, as `block3.kernel`.
    pub decision: String,
    /// Its choices.
    pub choices: Vec<String>,
    /// The last trial of a batch, and the probability of every choice after it. At most 24 batches,
    /// evenly taken, the last among them.
    pub moments: Vec<(u64, Vec<f64>)>,
}

/// Whether probabilities fit the decisions. Where they don't, none are shown: wrong names would be
/// worse.
fn fits(diagnostics: &Diagnostics, decisions: &[Decision]) -> bool {
    let rows = &diagnostics.probabilities;
    let mut pairs = decisions.iter().zip(rows);
    decisions.len() == rows.len() && pairs.all(|(d, p)| d.choices.len() == p.len())
}

/// The probabilities after the last batch seen, with the names of the space's decisions.
pub(super) fn beliefs(study: &Study, decisions: &[Decision]) -> Vec<Belief> {
    let mut newest_first = study.batches().iter().rev();
    let last = newest_first.find_map(|b| b.diagnostics.as_ref());
    let Some(last) = last.filter(|d| fits(d, decisions)) else {
        return vec![];
    };
    let named = |(d, p): (&Decision, &Vec<f64>)| Belief {
        decision: d.name.clone(),
        choices: d.choices.iter().cloned().zip(p.iter().copied()).collect(),
    };
    decisions
        .iter()
        .zip(&last.probabilities)
        .map(named)
        .collect()
}

/// The probabilities over time, where at least two batches told any.
pub(super) fn history(study: &Study, decisions: &[Decision]) -> Vec<BeliefHistory> {
    let told: Vec<(u64, &Diagnostics)> = study
        .batches()
        .iter()
        .filter_map(|b| Some((b.trials().end.saturating_sub(1), b.diagnostics.as_ref()?)))
        .filter(|(_, d)| fits(d, decisions))
        .collect();
    if told.len() < 2 {
        return vec![];
    }
    let kept = evenly(told.len(), MOMENTS_MAX);
    let of = |(i, d): (usize, &Decision)| BeliefHistory {
        decision: d.name.clone(),
        choices: d.choices.clone(),
        moments: kept
            .iter()
            .map(|at| (told[*at].0, told[*at].1.probabilities[i].clone()))
            .collect(),
    };
    decisions.iter().enumerate().map(of).collect()
}

/// At most `most` of `n` places, evenly spread, the first and the last among them.
pub(crate) fn evenly(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let last = (most - 1).max(1);
    (0..most).map(|i| i * (n - 1) / last).collect()
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn places_are_spread_from_end_to_end() {
        assert_eq!(evenly(3, 5), [0, 1, 2]);
        assert_eq!(evenly(101, 5), [0, 25, 50, 75, 100]);
        let many = evenly(12_500, 24);
        assert_eq!((many.len(), many[0], many[23]), (24, 0, 12_499));
        assert!(many.windows(2).all(|w| w[0] < w[1]));
    }
}

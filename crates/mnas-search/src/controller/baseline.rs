//! What a policy compares rewards with.

use serde::{Deserialize, Serialize};

/// Least spread that rewards are divided by: where all are equal, nothing is to be learnt.
const SPREAD_MIN: f64 = 1e-6;

/// Moving averages of rewards and of their spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    /// Moving average of rewards; `None` before the first.
    pub(super) mean: Option<f64>,
    /// Moving average of squared deviations from it; `None` before the second.
    variance: Option<f64>,
}

impl Baseline {
    /// Takes in a reward, the past weighing `decay`.
    pub(super) fn update(&mut self, reward: f64, decay: f64) {
        let Some(mean) = self.mean else {
            self.mean = Some(reward);
            return;
        };
        let square = (reward - mean) * (reward - mean);
        self.mean = Some(decay * mean + (1.0 - decay) * reward);
        self.variance = Some(match self.variance {
            None => square,
            Some(variance) => decay * variance + (1.0 - decay) * square,
        });
    }

    /// Spread of rewards; 1 before two were seen.
    pub(super) fn spread(&self) -> f64 {
        self.variance
            .map_or(1.0, |variance| libm::sqrt(variance).max(SPREAD_MIN))
    }
}

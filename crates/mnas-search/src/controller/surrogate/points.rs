//! What was observed, in the form that the models learn from.

use serde::{Deserialize, Serialize};

use super::super::Observation;
use crate::Objective;

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    /// What was proposed.
    pub(super) tokens: Vec<u16>,
    /// Accuracy, where it was measured.
    pub(super) accuracy: Option<f64>,
    /// Latency, where it was measured.
    pub(super) latency_ms: Option<f64>,
    /// The reward.
    pub(super) reward: f64,
}

impl Point {
    /// The point of an observed trial; `None` where nothing was observed.
    pub(super) fn of(observation: &Observation) -> Option<Point> {
        Some(Point {
            tokens: observation.tokens.clone(),
            accuracy: observation.accuracy,
            latency_ms: observation.latency_ms.filter(|l| *l > 0.0),
            reward: observation.reward?,
        })
    }

    /// Whether the network failed: nothing was measured, and nothing earned.
    pub(super) fn failed(&self) -> bool {
        self.accuracy.is_none() && self.latency_ms.is_none() && self.reward == 0.0
    }

    /// What the model of accuracy learns: the accuracy, or, where a study tells no more than
    /// rewards, the reward.
    pub(super) fn quality(&self) -> Option<f64> {
        match (self.accuracy, self.latency_ms) {
            (None, None) if self.reward != 0.0 => Some(self.reward),
            (accuracy, _) => accuracy,
        }
    }
}

/// Samples and values of one quantity.
pub(super) type Values = (Vec<Vec<u16>>, Vec<f64>);

/// The points for which there is a value.
pub(super) fn values(points: &[Point], of: impl Fn(&Point) -> Option<f64>) -> Values {
    points
        .iter()
        .filter_map(|p| Some((p.tokens.clone(), of(p)?)))
        .unzip()
}

/// Forgets points until `most` are left: the oldest go first, but the better half of `most` stays.
pub(super) fn forget(points: &mut Vec<Point>, most: usize) {
    while points.len() > most {
        let mut rewards: Vec<f64> = points.iter().map(|p| p.reward).collect();
        rewards.sort_by(|a, b| b.total_cmp(a));
        let kept = rewards[(most / 2).min(rewards.len() - 1)];
        let oldest = points.iter().position(|p| p.reward <= kept);
        points.remove(oldest.unwrap_or(0));
    }
}

/// The reward at values, where `None` is a latency that a study doesn't tell.
pub(super) fn reward(objective: &Objective, quality: f64, latency_ms: Option<f64>) -> f64 {
    latency_ms.map_or(quality, |latency_ms| objective.reward(quality, latency_ms))
}

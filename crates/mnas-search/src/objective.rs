//! Accuracy and latency in one number.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::trial::{FailureKind, Outcome};

/// The form of the reward.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// `ACC x (LAT/T)^w` with `w = alpha` if `LAT <= T`, else `beta` (MnasNet, equation 2).
    Soft {
        /// Exponent at or under the target.
        alpha: f64,
        /// Exponent over the target.
        beta: f64,
    },
    /// `ACC` if `LAT <= T`, else `ACC x (LAT/T)^beta`: `Soft` with alpha 0 (MnasNet, section 3.1).
    Hard {
        /// Exponent over the target.
        beta: f64,
    },
    /// `ACC + beta x |LAT/T - 1|` (TuNAS, section 3.4): meets the target in one search.
    Absolute {
        /// Price of missing the target, negative.
        beta: f64,
    },
}

impl ObjectiveKind {
    /// MnasNet's soft constraint, alpha = beta = -0.07: doubling the latency costs as much as 5 %
    /// of the accuracy.
    pub const SOFT: ObjectiveKind = ObjectiveKind::Soft {
        alpha: -0.07,
        beta: -0.07,
    };
    /// MnasNet's hard constraint, alpha = 0, beta = -1.
    pub const HARD: ObjectiveKind = ObjectiveKind::Hard { beta: -1.0 };
    /// TuNAS's absolute reward with its published beta = -0.10.
    pub const ABSOLUTE: ObjectiveKind = ObjectiveKind::Absolute { beta: -0.10 };

    /// The published form with that name: `soft`, `hard` or `absolute`.
    pub fn named(name: &str) -> Option<ObjectiveKind> {
        match name {
            "soft" => Some(Self::SOFT),
            "hard" => Some(Self::HARD),
            "absolute" => Some(Self::ABSOLUTE),
            _ => None,
        }
    }
}

/// What a study maximises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Form of the reward.
    pub kind: ObjectiveKind,
    /// Latency target, milliseconds.
    pub target_ms: f64,
}

impl Objective {
    /// The reward of a network with `accuracy` in 0..=1 and `latency_ms` milliseconds.
    /// At the target, it is the accuracy.
    pub fn reward(&self, accuracy: f64, latency_ms: f64) -> f64 {
        let ratio = latency_ms / self.target_ms;
        match self.kind {
            ObjectiveKind::Soft { alpha, beta } => {
                let exponent = if ratio <= 1.0 { alpha } else { beta };
                accuracy * libm::pow(ratio, exponent)
            }
            ObjectiveKind::Hard { beta } if ratio > 1.0 => accuracy * libm::pow(ratio, beta),
            ObjectiveKind::Hard { .. } => accuracy,
            ObjectiveKind::Absolute { beta } => accuracy + beta * libm::fabs(ratio - 1.0),
        }
    }

    /// What the controller is told of an outcome: 0 for a network that can't be used (over a limit,
    /// diverged, out of memory, not exportable, crashing), `None` where the machines failed or the
    /// device couldn't say, because that says nothing of the network.
    pub fn outcome_reward(&self, outcome: &Outcome) -> Option<f64> {
        match outcome {
            Outcome::Done(m) => Some(self.reward(m.accuracy, m.latency.median_ms)),
            Outcome::TooSlow { latency, accuracy }
            | Outcome::Stopped {
                latency, accuracy, ..
            } => Some(self.reward(*accuracy, latency.median_ms)),
            Outcome::Infeasible { .. } => Some(0.0),
            Outcome::Failed(failure) => match failure.kind {
                FailureKind::Diverged
                | FailureKind::OutOfMemory
                | FailureKind::Export
                | FailureKind::Crashed => Some(0.0),
                FailureKind::UnstableLatency | FailureKind::Device => None,
            },
            Outcome::Lost { .. } => None,
        }
    }
}

//! Algorithms that propose networks. They see decisions and rewards, never a network.

mod adam;
mod baseline;
mod evolution;
mod nsga2;
mod numbers;
mod ppo;
mod random;
mod reinforce;
mod settings;
mod setup;
mod surrogate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::settings::Values;
pub use self::setup::{Network, Setup};
use crate::Tokens;

/// What a controller is told of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The trial.
    pub trial: u64,
    /// What was proposed.
    pub tokens: Tokens,
    /// The reward; `None` = unobserved, not to be learnt from.
    pub reward: Option<f64>,
    /// Accuracy in 0..=1, where it was measured.
    pub accuracy: Option<f64>,
    /// Latency in milliseconds, where it was measured.
    pub latency_ms: Option<f64>,
}

/// A controller's view of itself, for people to look at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Mean entropy per decision as a fraction of the uniform distribution's (1 = no preference).
    pub entropy: Option<f64>,
    /// The reward that the controller compares with.
    pub baseline: Option<f64>,
    /// Probability of each choice of each decision; empty where the algorithm has none.
    pub probabilities: Vec<Vec<f64>>,
}

/// A search algorithm.
///
/// Randomness: `propose(trial)` draws only from the stream of (seed, trial, Propose), and learning
/// only from (seed, batch, Learn). So the same state and trial give the same tokens, whatever was
/// asked before.
pub trait Controller: Send {
    /// One index per decision for a trial.
    fn propose(&mut self, trial: u64) -> Tokens;
    /// Learns from a batch. Batches come in order, once each, and were proposed in the state left
    /// by the batch before, or by an earlier one where the study lets batches overlap. Unobserved
    /// trials are passed too, so that batches count alike.
    ///
    /// # Panics
    /// If tokens aren't a sample of the space that the controller was built for, or a reward isn't
    /// a finite number; the study fold refuses both.
    fn observe(&mut self, batch: &[Observation]);
    /// The whole state, as JSON, exact.
    fn snapshot(&self) -> String;
    /// Takes over a state written by `snapshot` of a controller built alike. On an error the
    /// controller is unchanged.
    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError>;
    /// The algorithm's name.
    fn name(&self) -> &'static str;
    /// A view of itself.
    fn diagnostics(&self) -> Diagnostics;
}

/// Which algorithm, and what differs from its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerSpec {
    /// A name of [`ALGORITHMS`].
    pub algorithm: String,
    /// Settings that differ from the defaults.
    #[serde(default)]
    pub settings: BTreeMap<String, f64>,
}

/// One setting of an algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Name, as in [`ControllerSpec::settings`].
    pub name: &'static str,
    /// Default.
    pub default: f64,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
    /// Whether only whole numbers make sense.
    pub whole: bool,
    /// What it means, and where the default comes from.
    pub source: &'static str,
}

/// An algorithm that can be built by name.
#[derive(Debug)]
pub struct Algorithm {
    /// Name.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    make: fn(&Values, &Setup) -> Box<dyn Controller>,
}

/// Why a controller can't be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// No such algorithm.
    #[error("unknown algorithm {name:?}; known: {known}")]
    UnknownAlgorithm {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// No such setting.
    #[error("algorithm {algorithm} has no setting {name:?}; known: {known}")]
    UnknownSetting {
        /// The algorithm.
        algorithm: &'static str,
        /// The setting asked for.
        name: String,
        /// The settings there are.
        known: String,
    },
    /// A value out of range, or a fraction where a whole number is needed.
    #[error("setting {name} of {algorithm} is {value}, allowed: {allowed}")]
    SettingRange {
        /// The algorithm.
        algorithm: &'static str,
        /// The setting.
        name: &'static str,
        /// The value asked for.
        value: f64,
        /// What is allowed.
        allowed: String,
    },
}

/// Why a snapshot can't be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It isn't JSON of the expected form.
    #[error("controller snapshot is unreadable: {0}")]
    Json(#[from] serde_json::Error),
    /// It belongs to another algorithm.
    #[error("snapshot of {found:?}, but the controller is {expected:?}")]
    Algorithm {
        /// The snapshot's algorithm.
        found: String,
        /// This controller's.
        expected: &'static str,
    },
    /// It belongs to a controller of another size (another space or other settings).
    #[error("{field} of the snapshot has {found} values, the controller {expected}")]
    Size {
        /// Which part.
        field: &'static str,
        /// Its size in the snapshot.
        found: usize,
        /// Its size here.
        expected: usize,
    },
    /// Numbers that aren't base64 of little-endian floats.
    #[error("{field} of the snapshot isn't a list of numbers")]
    Numbers {
        /// Which part.
        field: &'static str,
    },
}

/// Every algorithm.
pub const ALGORITHMS: &[Algorithm] = &[
    surrogate::ALGORITHM,
    surrogate::FRONT,
    ppo::DEFAULT,
    ppo::PAPER,
    reinforce::ALGORITHM,
    evolution::ALGORITHM,
    nsga2::ALGORITHM,
    random::ALGORITHM,
];

/// Builds a controller.
pub fn build(spec: &ControllerSpec, setup: &Setup) -> Result<Box<dyn Controller>, BuildError> {
    let (algorithm, values) = checked(spec)?;
    Ok((algorithm.make)(&values, setup))
}

impl ControllerSpec {
    /// Checks the algorithm's name and its settings, before there is anything to build it for.
    pub fn check(&self) -> Result<(), BuildError> {
        checked(self).map(|_| ())
    }
}

fn checked(spec: &ControllerSpec) -> Result<(&'static Algorithm, Values), BuildError> {
    let algorithm = ALGORITHMS
        .iter()
        .find(|a| a.name == spec.algorithm)
        .ok_or_else(|| BuildError::UnknownAlgorithm {
            name: spec.algorithm.clone(),
            known: names(ALGORITHMS.iter().map(|a| a.name)),
        })?;
    let values = Values::check(algorithm, &spec.settings)?;
    Ok((algorithm, values))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// Checks that a snapshot is this algorithm's.
fn same_algorithm(found: String, expected: &'static str) -> Result<(), RestoreError> {
    match found == expected {
        true => Ok(()),
        false => Err(RestoreError::Algorithm { found, expected }),
    }
}

/// Whether tokens are a sample of decisions with so many choices.
fn fits(choices: &[usize], tokens: &[u16]) -> bool {
    tokens.len() == choices.len()
        && tokens
            .iter()
            .zip(choices)
            .all(|(t, n)| usize::from(*t) < *n)
}

/// Checks that a batch's tokens fit the space; a controller that learnt from others would be
/// silently wrong.
fn assert_sample(choices: &[usize], observation: &Observation) {
    assert!(
        fits(choices, &observation.tokens),
        "trial {} isn't a sample of this space",
        observation.trial
    );
    let finite = observation.reward.is_none_or(f64::is_finite);
    assert!(finite, "reward of trial {} isn't finite", observation.trial);
}

//! Algorithms that propose networks. They see decisions and rewards, never a network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Space, Tokens};

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
    /// by the batch before.
    fn observe(&mut self, batch: &[Observation]);
    /// The whole state, as JSON, exact.
    fn snapshot(&self) -> String;
    /// Takes over a state written by `snapshot` of a controller built alike.
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
    /// Where the default comes from.
    pub source: &'static str,
}

/// An algorithm that can be built by name.
pub struct Algorithm {
    /// Name.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
}

/// Why a controller can't be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// No such algorithm.
    #[error("unknown algorithm {name:?}")]
    UnknownAlgorithm {
        /// The name asked for.
        name: String,
    },
}

/// Why a snapshot can't be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It isn't JSON of the expected form.
    #[error("controller snapshot is unreadable")]
    Json(#[from] serde_json::Error),
}

/// Every algorithm.
pub const ALGORITHMS: &[Algorithm] = &[];

/// Builds a controller.
pub fn build(
    spec: &ControllerSpec,
    _space: &Space,
    _seed: u64,
    _budget: u64,
) -> Result<Box<dyn Controller>, BuildError> {
    Err(BuildError::UnknownAlgorithm {
        name: spec.algorithm.clone(),
    })
}

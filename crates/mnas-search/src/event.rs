//! What can happen in a study: the alphabet of its store.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::Tokens;
use crate::controller::Diagnostics;
use crate::trial::{CurvePoint, Failure, LatencyRecord, Outcome};

/// Version of the event format. A store written by a newer version is refused, not guessed at;
/// a snapshot test of every event's JSON fails when the format changes without it.
pub const VERSION: u32 = 1;

/// One proposal of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Number of the proposal, from 0, without gaps.
    pub trial: u64,
    /// One index per decision.
    pub tokens: Tokens,
    /// Canonical text of the network.
    pub spec: String,
    /// Hash of the canonical text.
    pub hash: String,
    /// The earlier trial of the same network, if there is one whose outcome isn't `Lost`.
    pub duplicate_of: Option<u64>,
}

/// Whether a network of the final round comes from the search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalKind {
    /// A trial of this study.
    Finalist {
        /// Its number.
        trial: u64,
    },
    /// A published network, given the same recipe.
    Reference,
}

/// A network of the final round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalEntry {
    /// Unique name, as `trial 17` or `mobilenet-v2-small-0.75x`.
    pub name: String,
    /// Where it comes from.
    pub kind: FinalKind,
    /// Canonical text of the network.
    pub spec: String,
    /// Hash of the canonical text.
    pub hash: String,
}

/// What full training and measuring gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful exist, and boxes would show in every reader"
)]
pub enum FinalOutcome {
    /// Trained in full and measured.
    Done {
        /// Accuracy on the validation split, 0..=1.
        validation_accuracy: f64,
        /// Accuracy on the test split, 0..=1; measured once, for chosen networks.
        test_accuracy: Option<f64>,
        /// Top-5 accuracy on the test split, 0..=1.
        test_top5: Option<f64>,
        /// What the 8-bit file gave, where the study is of 8-bit networks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        int8: Option<Int8Outcome>,
        /// Latency, measured interleaved with the other entries.
        latency: LatencyRecord,
        /// Trainable values.
        params: u64,
        /// Multiply-accumulates for one image.
        macs: u64,
        /// Training curve.
        curve: Vec<CurvePoint>,
        /// Files written, relative to the study's directory.
        files: Vec<String>,
    },
    /// It failed.
    Failed(Failure),
}

/// What a network gave in 8 bits. One that has no 8-bit form still has its float one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Int8Outcome {
    /// It was quantised and tested.
    Tested(Int8Accuracy),
    /// It could not be quantised, or the engine can't run what came of it.
    Failed(Failure),
}

/// How a network does in 8 bits, tested as the file that ships.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Int8Accuracy {
    /// Accuracy on the test split, 0..=1.
    pub test_accuracy: f64,
    /// Top-5 accuracy on the test split, 0..=1.
    pub test_top5: f64,
    /// Inference engine that ran it.
    pub engine: String,
    /// How it was calibrated, for people.
    pub calibration: String,
}

/// A network of the final round and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalResult {
    /// The network.
    pub entry: FinalEntry,
    /// What it gave.
    pub outcome: FinalOutcome,
}

/// One thing that happened in a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The study began. Always the first event.
    Started {
        /// [`VERSION`] of the program that wrote it.
        version: u32,
        /// Everything that was decided beforehand. The fold reads three keys where they exist:
        /// `objective` (an [`crate::ObjectiveKind`]), `trials` (the number of proposals) and
        /// `staleness` (batches that may be open besides the newest).
        plan: serde_json::Value,
        /// Seed of all randomness.
        seed: u64,
        /// Text of the search space.
        space: String,
        /// Wall time, milliseconds since 1970.
        time_ms: u64,
    },
    /// The latency target is known.
    Target {
        /// Milliseconds.
        target_ms: f64,
        /// The reference network whose latency became the target.
        reference: Option<String>,
        /// That network's latency.
        latency: Option<LatencyRecord>,
    },
    /// The controller proposed a batch.
    Proposed {
        /// Number of the batch, from 0, without gaps.
        batch: u32,
        /// Its proposals, in order.
        proposals: Vec<Proposal>,
    },
    /// A trial is tried again; results of earlier attempts no longer count.
    Retried {
        /// The trial.
        trial: u64,
        /// The attempt that counts from now on (the first attempt is 1).
        attempt: u32,
        /// Why the attempt before it was given up.
        reason: String,
    },
    /// A result came in.
    Finished {
        /// The trial.
        trial: u64,
        /// The attempt that the result belongs to, from 1.
        attempt: u32,
        /// The result.
        outcome: Outcome,
    },
    /// The controller has seen a batch.
    Observed {
        /// The batch.
        batch: u32,
        /// Reward of every trial of the batch, in order; `None` = unobserved.
        rewards: Vec<(u64, Option<f64>)>,
        /// The controller's state after it.
        snapshot: String,
        /// The controller's view of itself after it.
        diagnostics: Diagnostics,
    },
    /// The number of proposals was raised.
    Extended {
        /// The new number of proposals in all.
        trials: u64,
    },
    /// The search stopped before its end.
    Stopped {
        /// Why.
        reason: String,
    },
    /// The final round began.
    FinalStarted {
        /// Its networks, references included.
        finalists: Vec<FinalEntry>,
    },
    /// A network of the final round is done.
    FinalDone {
        /// What it gave.
        result: FinalResult,
    },
    /// The study is complete.
    Ended {
        /// Wall time, milliseconds since 1970.
        time_ms: u64,
    },
}

//! What a report says about a study, as plain data: computed once from the folded study, printed
//! as text, HTML, figures or JSON.

use std::collections::{BTreeMap, BTreeSet};

use mnas_search::{CurvePoint, Space, Study};
use serde::{Deserialize, Serialize};

mod architecture;
pub(crate) mod beliefs;
mod devices;
pub(crate) mod facts;
mod finals;
mod importance;
pub(crate) mod search;
#[cfg(test)]
mod tests;

pub use architecture::{Architecture, Stage, StageKind, Step, StepRole};
pub use beliefs::BeliefHistory;
pub use devices::DeviceView;
pub use importance::Importance;

/// A study as a report shows it. Its JSON is `mnas report --json`: totals before details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Counts over all trials.
    pub totals: Totals,
    /// What was searched, on what, and how.
    pub facts: Facts,
    /// Every proposal, in order of its number.
    pub trials: Vec<TrialView>,
    /// Trials that no other beats in both accuracy and latency, fastest first.
    pub front: Vec<TrialView>,
    /// The trial with the best reward among those within the target, or among all where none is.
    pub best: Option<TrialView>,
    /// Finalists and references after full training, as measured side by side at the end.
    pub finals: Vec<FinalView>,
    /// What the study recommends.
    pub winner: Option<Winner>,
    /// The controller after each batch.
    pub batches: Vec<BatchView>,
    /// What the controller would choose after the last batch, where it has such beliefs.
    pub beliefs: Vec<Belief>,
    /// The same over the batches.
    pub belief_history: Vec<BeliefHistory>,
    /// Which decisions explain accuracy and latency, where enough networks are trained.
    pub importance: Vec<Importance>,
    /// Sources of latencies in the search.
    pub devices: Vec<DeviceView>,
    /// Networks that failed because the device broke, refused them or was too unstable.
    pub device_failures: u64,
}

impl View {
    /// The view of a study, finished or not.
    pub fn of(study: &Study) -> Self {
        Self::with_trials(study, search::trials(study))
    }

    /// The view of a study whose trials are known already: whoever follows a running study
    /// recomputes only those that changed.
    pub(crate) fn with_trials(study: &Study, trials: Vec<TrialView>) -> Self {
        let space = facts::space(study);
        let decisions = space.as_ref().map_or(&[][..], Space::decisions);
        let facts = facts::facts(study, space.as_ref());
        let by_id = |id: u64| trials.get(usize::try_from(id).ok()?).cloned();
        let front: Vec<TrialView> = study.front().iter().filter_map(|t| by_id(t.id)).collect();
        let best = study.best_within_target().or_else(|| study.best());
        let best = best.and_then(|t| by_id(t.id));
        let finals = finals::finals(study);
        let winner = finals::winner(study, &facts, best.as_ref(), &finals);
        let (devices, device_failures) = devices::devices(study);
        Self {
            totals: search::totals(study, &trials, &finals),
            facts,
            front,
            best,
            winner,
            finals,
            batches: search::batches(study),
            beliefs: beliefs::beliefs(study, decisions),
            belief_history: beliefs::history(study, decisions),
            importance: importance::importance(study, decisions),
            devices,
            device_failures,
            trials,
        }
    }

    /// Numbers of the trials on the front, for quick look-up.
    pub(crate) fn front_ids(&self) -> BTreeSet<u64> {
        self.front.iter().map(|t| t.trial).collect()
    }

    /// The name of a latency axis, which tells where no latency was measured.
    pub(crate) fn latency_axis(&self) -> &'static str {
        let records = self.trials.iter().filter_map(|t| t.latency.as_ref());
        let mut records = records.chain(self.finals.iter().filter_map(|f| f.latency.as_ref()));
        if records.all(|l| l.predicted) {
            "predicted latency, ms"
        } else {
            "latency, ms"
        }
    }

    /// The finals entry of the winner, where there is one.
    pub(crate) fn winning_final(&self) -> Option<&FinalView> {
        let name = &self.winner.as_ref()?.name;
        self.finals
            .iter()
            .find(|f| f.is_finalist() && f.name == *name)
    }
}

/// Counts over all trials. `proposals` = `distinct` + `duplicates`; `distinct` = `trained` +
/// `too_slow` + `stopped` + `infeasible` + `failed` + `lost` + `pending`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Proposals of the controller.
    pub proposals: u64,
    /// Proposals of a network not proposed before.
    pub distinct: u64,
    /// Proposals of a network proposed before, which reuse its result.
    pub duplicates: u64,
    /// Networks trained and measured.
    pub trained: u64,
    /// Networks measured and found too far over the target to be worth training.
    pub too_slow: u64,
    /// Networks measured whose training was cut short, since their curve promised too little.
    #[serde(default)]
    pub stopped: u64,
    /// Networks over a limit (parameters, file size, memory).
    pub infeasible: u64,
    /// Networks that failed by their own fault.
    pub failed: u64,
    /// Networks whose result was lost with a worker or a device.
    pub lost: u64,
    /// Networks without a result yet.
    pub pending: u64,
    /// Attempts that were repeated after a worker or a device was lost.
    pub retries: u64,
    /// Results that came too late to count.
    pub stale: u64,
    /// Failed networks by kind of failure.
    pub failures: BTreeMap<String, u64>,
    /// Seconds spent in training trials.
    pub train_seconds: f64,
    /// Seconds spent in measuring trials.
    pub measure_seconds: f64,
    /// Latency measurements marked noisy, finals included.
    pub noisy: u64,
}

/// What was searched, on what, and how. Names that the plan doesn't give are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Whether and how the study ended.
    pub status: String,
    /// The images.
    pub data: Option<String>,
    /// Where latency was measured: the device as the plan names it.
    pub device: Option<String>,
    /// Every source of a latency in this study, in words.
    pub latency_sources: Vec<String>,
    /// Latency target.
    pub target_ms: Option<f64>,
    /// Where the target came from.
    pub target_from: Option<String>,
    /// Name of the search space.
    pub space: Option<String>,
    /// Decimal logarithm of the number of samples of the space.
    pub space_size_log10: Option<f64>,
    /// Number of decisions in the space.
    pub decisions: Option<u64>,
    /// The search algorithm.
    pub algorithm: Option<String>,
    /// The reward's formula.
    pub objective: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Proposals planned.
    pub budget: Option<u64>,
    /// Image shape, as `28x28x1`.
    pub input: Option<String>,
    /// Number of classes.
    pub classes: Option<u64>,
    /// The whole plan, as stored.
    pub plan: serde_json::Value,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Trained and measured.
    Done,
    /// Measured, too far over the target to be trained; rewarded with chance accuracy.
    TooSlow,
    /// Measured, its training cut short; rewarded with the accuracy that its curve promised.
    Stopped,
    /// Over a limit; neither trained nor measured.
    Infeasible,
    /// Failed by its own fault.
    Failed,
    /// Its result was lost with a worker or a device.
    Lost,
    /// No result yet.
    Pending,
}

impl State {
    /// The state in words.
    pub fn words(self) -> &'static str {
        match self {
            State::Done => "trained",
            State::TooSlow => "too slow",
            State::Stopped => "cut short",
            State::Infeasible => "infeasible",
            State::Failed => "failed",
            State::Lost => "lost",
            State::Pending => "pending",
        }
    }
}

/// One proposal. A duplicate shows its original's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialView {
    /// Number of the proposal, from 0.
    pub trial: u64,
    /// Attempt that counts, from 1.
    pub attempt: u32,
    /// What became of it.
    pub state: State,
    /// The network, a line per block.
    pub spec: String,
    /// Hash of the canonical network.
    pub hash: String,
    /// Batch that proposed it.
    pub batch: u32,
    /// Top-1 accuracy on the validation split after the search's short training; chance where the
    /// network was too slow to train, what the curve promised where the training was cut short.
    pub accuracy: Option<f64>,
    /// Median latency.
    pub latency_ms: Option<f64>,
    /// Reward given to the controller.
    pub reward: Option<f64>,
    /// Trainable values.
    pub params: Option<u64>,
    /// Multiply-accumulates.
    pub macs: Option<u64>,
    /// First trial with the same network.
    pub duplicate_of: Option<u64>,
    /// Why there is no result.
    pub failure: Option<FailureView>,
    /// How the latency was measured.
    pub latency: Option<LatencyView>,
    /// Epochs trained.
    pub epochs: Option<f64>,
    /// Seconds of training.
    pub train_seconds: Option<f64>,
    /// Seconds of measuring.
    pub measure_seconds: Option<f64>,
}

/// Why a trial has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// Kind of failure, in words.
    pub kind: String,
    /// What was reported.
    pub message: String,
}

/// How a latency was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyView {
    /// Median of the kept samples.
    pub median_ms: f64,
    /// 25th percentile.
    pub p25_ms: f64,
    /// Interquartile range.
    pub iqr_ms: f64,
    /// Samples kept.
    pub samples: u64,
    /// Samples dropped.
    pub dropped: u32,
    /// Whether the samples disagree more than they should.
    pub noisy: bool,
    /// Whether a table predicted it rather than a device measured it.
    pub predicted: bool,
    /// The device and engine, or the table.
    pub source: String,
}

/// A finalist or reference after full training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinalView {
    /// `trial 17` or a zoo name.
    pub name: String,
    /// The trial of a finalist; absent for a reference.
    pub trial: Option<u64>,
    /// The network.
    pub spec: String,
    /// Top-1 accuracy on the validation split, on which finalists are compared.
    pub accuracy: Option<f64>,
    /// Top-1 accuracy on the test split, looked at once.
    pub test_accuracy: Option<f64>,
    /// Top-5 accuracy on the test split.
    pub test_top5: Option<f64>,
    /// Top-1 accuracy of the 8-bit file on the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_test_accuracy: Option<f64>,
    /// Engine and calibration of the 8-bit file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_source: Option<String>,
    /// Why it has no 8-bit form, where it should have one.
    pub int8_failure: Option<String>,
    /// Median latency.
    pub latency_ms: Option<f64>,
    /// How the latency was measured.
    pub latency: Option<LatencyView>,
    /// Whether the median is within the target; absent without either.
    pub within_target: Option<bool>,
    /// Trainable values.
    pub params: Option<u64>,
    /// Multiply-accumulates.
    pub macs: Option<u64>,
    /// Epochs trained.
    pub epochs: Option<f64>,
    /// Training curve.
    pub curve: Vec<CurvePoint>,
    /// Kept latency samples, milliseconds, in the order they were taken.
    pub samples_ms: Vec<f64>,
    /// Files written for it.
    pub files: Vec<String>,
    /// Why there is no result.
    pub failure: Option<FailureView>,
}

impl FinalView {
    /// Whether the search found this network (rather than the zoo supplying it).
    pub fn is_finalist(&self) -> bool {
        self.trial.is_some()
    }
}

/// What the study recommends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Winner {
    /// `trial 17`.
    pub name: String,
    /// Its trial.
    pub trial: u64,
    /// Whether it was trained in full and measured against the references; else it only leads the
    /// search so far.
    pub fully_trained: bool,
    /// The network.
    pub spec: String,
    /// Validation accuracy.
    pub accuracy: Option<f64>,
    /// Test accuracy.
    pub test_accuracy: Option<f64>,
    /// Median latency.
    pub latency_ms: Option<f64>,
    /// The device and engine that measured it, or the table that predicted it.
    pub latency_source: Option<String>,
    /// Trainable values.
    pub params: Option<u64>,
    /// Multiply-accumulates.
    pub macs: Option<u64>,
    /// The network block by block; absent where the plan doesn't tell the image's shape.
    pub architecture: Option<Architecture>,
}

/// The controller after a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchView {
    /// Number of the batch, from 0.
    pub batch: u32,
    /// Mean entropy of the controller's decisions, as a share of an even choice's (1 = no
    /// preference).
    pub entropy: Option<f64>,
    /// The reward that the controller compares with.
    pub baseline: Option<f64>,
    /// The last trial proposed in this batch.
    pub last_trial: u64,
}

/// What a controller would choose at one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// Name of the decision, as `block3.kernel`.
    pub decision: String,
    /// Choices with their probabilities.
    pub choices: Vec<(String, f64)>,
}

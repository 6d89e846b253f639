//! One proposal and what became of it.

use serde::{Deserialize, Serialize};

use crate::Tokens;

/// Where a latency comes from. No latency is shown without it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencySource {
    /// A device ran the network.
    Measured {
        /// The device, as the study names it.
        device: String,
        /// The inference engine and its version.
        engine: String,
    },
    /// A table or a model of a device gave the number.
    Predicted {
        /// The table's name.
        table: String,
    },
}

/// The latency of one network: raw samples, and statistics computed from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// The kept samples, milliseconds, in the order they were taken.
    pub samples_ms: Vec<f64>,
    /// Samples taken and thrown away (a disturbed round, say).
    pub dropped: u32,
    /// Median of the kept samples, milliseconds: the latency that objective and front use.
    pub median_ms: f64,
    /// First quartile, milliseconds.
    pub p25_ms: f64,
    /// Third quartile minus first quartile, milliseconds.
    pub iqr_ms: f64,
    /// Whether the samples scatter more than the measuring plan allows.
    pub noisy: bool,
    /// Who says so.
    pub source: LatencySource,
}

impl LatencyRecord {
    /// A record whose statistics are computed from the samples (linear interpolation between
    /// order statistics, as numpy's default). `None` when there is no sample or one isn't a
    /// finite, positive number.
    pub fn from_samples(
        samples_ms: Vec<f64>,
        dropped: u32,
        noisy: bool,
        source: LatencySource,
    ) -> Option<LatencyRecord> {
        if samples_ms.is_empty() || samples_ms.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return None;
        }
        let mut sorted = samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let p25_ms = quantile(&sorted, 0.25);
        Some(LatencyRecord {
            median_ms: quantile(&sorted, 0.5),
            p25_ms,
            iqr_ms: quantile(&sorted, 0.75) - p25_ms,
            samples_ms,
            dropped,
            noisy,
            source,
        })
    }
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let low = at as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}

/// One point of a training curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Epochs trained so far; fractions allowed.
    pub epoch: f64,
    /// Training loss; `null` in JSON where it isn't a finite number.
    #[serde(with = "finite_or_null")]
    pub loss: f64,
    /// Validation accuracy in 0..=1 where it was measured.
    pub accuracy: Option<f64>,
}

/// JSON has no NaN: a loss that diverged is written as `null` and read back as NaN, so that a
/// curve of a diverged training never makes a study unreadable.
mod finite_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// What was measured of a network that was trained and timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Validation accuracy in 0..=1 after the trial's short training.
    pub accuracy: f64,
    /// Latency on the study's device.
    pub latency: LatencyRecord,
    /// Trainable values.
    pub params: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Training curve.
    pub curve: Vec<CurvePoint>,
    /// Seconds spent training.
    pub train_seconds: f64,
    /// Seconds spent measuring.
    pub measure_seconds: f64,
}

/// A limit besides latency that a study may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Trainable values.
    Params,
    /// Multiply-accumulates.
    Macs,
    /// Bytes of the exported model.
    FileBytes,
    /// Peak bytes of activations.
    ActivationBytes,
}

/// What went wrong with a network (not with the machines: that is [`Outcome::Lost`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The loss stopped being a finite number.
    Diverged,
    /// Training or inference needs more memory than there is.
    OutOfMemory,
    /// Samples scatter too much to state a latency.
    UnstableLatency,
    /// The device refused the network or broke.
    Device,
    /// The network could not be exported.
    Export,
    /// The worker process died on this network, every time it was tried.
    Crashed,
}

/// A failure, kept as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// What was reported, for a person to read.
    pub message: String,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Trained and measured.
    Done(Metrics),
    /// Measured, and too far over the target to be worth training.
    TooSlow {
        /// The latency.
        latency: LatencyRecord,
        /// Chance accuracy (1 / classes), which stands in for an accuracy.
        accuracy: f64,
    },
    /// Measured, and its training cut short, since its curve promised too little
    /// ([`crate::EarlyStop`]).
    Stopped {
        /// The latency.
        latency: LatencyRecord,
        /// The accuracy that the curve promised.
        accuracy: f64,
        /// Training curve up to there.
        curve: Vec<CurvePoint>,
        /// Seconds spent training.
        train_seconds: f64,
    },
    /// Over a limit; neither trained nor measured.
    Infeasible {
        /// Which limit.
        reason: Limit,
        /// The network's value.
        value: u64,
        /// The limit's value.
        allowed: u64,
    },
    /// The network failed.
    Failed(Failure),
    /// The machines failed, after retries; nothing is known of the network.
    Lost {
        /// How often it was tried.
        attempts: u32,
        /// The last thing that was reported.
        message: String,
    },
}

/// One proposal of a study, with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Number of the proposal, from 0.
    pub id: u64,
    /// One index per decision of the space.
    pub tokens: Tokens,
    /// Canonical text of the network.
    pub spec: String,
    /// Hash of the canonical text.
    pub hash: String,
    /// The earlier trial of the same network whose outcome this one shares.
    pub duplicate_of: Option<u64>,
    /// The attempt that counts, from 1.
    pub attempt: u32,
    /// What became of it; for a duplicate, its original's outcome.
    pub outcome: Option<Outcome>,
    /// Reward, once the controller has seen it (`None` also where nothing was observed).
    pub reward: Option<f64>,
    /// The batch it was proposed in, from 0.
    pub batch: u32,
}

impl Trial {
    /// What was measured, if the trial is done.
    pub fn metrics(&self) -> Option<&Metrics> {
        match &self.outcome {
            Some(Outcome::Done(metrics)) => Some(metrics),
            _ => None,
        }
    }

    /// Validation accuracy in 0..=1, if the trial is done.
    pub fn accuracy(&self) -> Option<f64> {
        self.metrics().map(|m| m.accuracy)
    }

    /// The accuracy that the controller is told: that of a trial that is done, or what a training
    /// that was cut short promised.
    pub fn observed_accuracy(&self) -> Option<f64> {
        match &self.outcome {
            Some(Outcome::Stopped { accuracy, .. }) => Some(*accuracy),
            _ => self.accuracy(),
        }
    }

    /// Median latency in milliseconds, if the network was timed (done, cut short or too slow).
    pub fn latency_ms(&self) -> Option<f64> {
        match &self.outcome {
            Some(Outcome::Done(m)) => Some(m.latency.median_ms),
            Some(Outcome::TooSlow { latency, .. } | Outcome::Stopped { latency, .. }) => {
                Some(latency.median_ms)
            }
            _ => None,
        }
    }
}

//! What a running study tells its observer, for progress bars and logs.

use mnas_search::Outcome;

/// A part of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening the data and the device, and comparing them with the plan.
    Probe,
    /// Measuring the target and the space's smallest networks.
    Target,
    /// Measuring a batch.
    Measure {
        /// The batch, from 0.
        batch: u32,
    },
    /// Training a batch.
    Train {
        /// The batch, from 0.
        batch: u32,
    },
    /// Measuring the references' width grids.
    References,
    /// Training finalists and references in full.
    FinalTrain,
    /// Measuring finalists and references, interleaved.
    FinalMeasure,
    /// Testing and exporting finalists.
    Export,
}

/// News from a running study. Borrow nothing and may be dropped.
#[derive(Debug, Clone)]
pub enum Update {
    /// Another controller leads the study; this one waits.
    StandingBy {
        /// Which process leads.
        leader: String,
    },
    /// The one that led has ended or died; this one goes on.
    TookOver {
        /// Which process led.
        from: String,
    },
    /// A phase begins.
    Phase {
        /// Which.
        phase: Phase,
        /// Jobs in it.
        jobs: u64,
    },
    /// The latency target is known.
    Target {
        /// Milliseconds per image.
        target_ms: f64,
        /// The network whose latency it is, if any.
        reference: Option<String>,
    },
    /// A job moved on.
    Job {
        /// The job's name, as `trial 17` or `mobilenet-v2-small-0.75x`.
        name: String,
        /// Share done, 0 to 1.
        fraction: f64,
        /// Epochs trained so far, while training.
        epoch: Option<f64>,
        /// Training loss, while training.
        loss: Option<f64>,
        /// Validation accuracy, where it was just computed.
        accuracy: Option<f64>,
    },
    /// A job is over.
    JobDone {
        /// The job's name.
        name: String,
    },
    /// A worker died under a job, which is tried again.
    Retry {
        /// The job's name.
        name: String,
        /// The attempt that follows, from 1.
        attempt: u32,
        /// What the worker said last.
        message: String,
    },
    /// A trial has its outcome, newly found or shared with an earlier trial.
    Trial {
        /// The trial.
        trial: u64,
        /// Its outcome.
        outcome: Outcome,
        /// The trial whose outcome it shares.
        duplicate_of: Option<u64>,
    },
    /// A batch was observed by the controller.
    Batch {
        /// The batch, from 0.
        batch: u32,
        /// Trials with an outcome, and trials planned.
        trials: (u64, u64),
        /// The best trial so far and its reward.
        best: Option<(u64, f64)>,
        /// Seconds until the search ends, at the pace so far.
        eta_seconds: Option<f64>,
    },
    /// The final stage's expected length, from the pace of the trials' training.
    FinalEta {
        /// Networks trained in full.
        networks: u64,
        /// Seconds, if any trial was trained.
        seconds: Option<f64>,
    },
    /// Something a person should know that doesn't end the study.
    Warning {
        /// What, in a sentence.
        message: String,
    },
}

//! Why a study can't be made, run or read.

use std::path::PathBuf;

use mnas_search::{FoldError, RestoreError, SpaceError};

use crate::executor::ExecutorError;
use crate::job::Changed;
use crate::lock::LockError;
use crate::plan::PlanError;
use crate::store::StoreError;

/// Which part of the surroundings is to blame for an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What was asked for.
    Plan,
    /// The images.
    Data,
    /// The device.
    Device,
    /// The study's folder.
    Store,
    /// The workers or the program itself.
    Program,
}

/// Why a study ended in an error. What was stored stays, and the study can be resumed once the
/// cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The plan can't be followed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The stored plan can't be read.
    #[error("the study's plan can't be read (was it made by another version?): {0}")]
    PlanText(serde_json::Error),
    /// The events contradict each other.
    #[error("event {seq} of the study can't follow the events before it: {source}")]
    Fold {
        /// The event's position.
        seq: u64,
        /// Why.
        source: FoldError,
    },
    /// Jobs can't be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The controller's state can't be taken over.
    #[error("the search can't be continued: {0}")]
    Restore(#[from] RestoreError),
    /// The controller no longer proposes what it proposed.
    #[error(
        "the search can't be continued: replayed, trial {trial} would be another network; the study was made by another version of mnas"
    )]
    Replay {
        /// The first trial that differs.
        trial: u64,
    },
    /// A proposal that the space can't decode.
    #[error("trial {trial} is no network of the space: {source}")]
    Decode {
        /// The trial.
        trial: u64,
        /// Where and why.
        source: SpaceError,
    },
    /// Images or device differ from the plan's.
    #[error("the {} changed since the study began: planned {planned}, found {found}; results could not be compared", what.name())]
    Changed {
        /// Which.
        what: Changed,
        /// What the plan says.
        planned: String,
        /// What was found.
        found: String,
    },
    /// Images can't be opened.
    #[error("the images can't be opened: {message}")]
    Data {
        /// What was reported.
        message: String,
    },
    /// The device can't be opened, or measured nothing that the study can't do without.
    #[error("{what}: {message}")]
    Device {
        /// What was to be measured or opened.
        what: String,
        /// What was reported.
        message: String,
    },
    /// No network of the space is fast enough.
    #[error(
        "the target of {target_ms} ms can't be reached: the space's smallest network takes {fastest_ms:.3} ms; raise the target, shrink the images or choose a smaller space"
    )]
    TargetUnreachable {
        /// The target.
        target_ms: f64,
        /// The lowest latency found.
        fastest_ms: f64,
        /// The network it was found of.
        spec: String,
    },
    /// Too many trials failed.
    #[error(
        "{failed} of {evaluated} trials failed, the last: {last}; the search was stopped because something is wrong beyond the networks"
    )]
    TooManyFailures {
        /// How many failed.
        failed: u64,
        /// Of how many.
        evaluated: u64,
        /// What the last one said.
        last: String,
    },
    /// The controller that led while this one stood by stopped for a reason that still holds.
    #[error(
        "{by} led the search and stopped it: {reason}; `mnas resume` goes on once that is mended"
    )]
    StoppedElsewhere {
        /// Which process led.
        by: String,
        /// Its last words.
        reason: String,
    },
    /// A job that the study can't do without was lost each time.
    #[error("{job} was lost {attempts} time(s): {message}")]
    JobLost {
        /// What people call the job.
        job: String,
        /// Attempts made.
        attempts: u32,
        /// What was reported last.
        message: String,
    },
    /// A worker answered something else than what it was asked for.
    #[error("{job}: a worker gave the wrong kind of answer")]
    WrongAnswer {
        /// What people call the job.
        job: String,
    },
    /// Searching was begun before there was a target.
    #[error("the study has no target to search for yet")]
    NoTarget,
    /// A check of another plan.
    #[error("{path} holds another study, or a check of another plan or number of networks; choose another --dir or delete it", path = path.display())]
    OtherCheck {
        /// The folder or file.
        path: PathBuf,
    },
    /// A file of the study's folder.
    #[error("{path}: can't {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// This program's own path, which workers are started from.
    #[error("this program's own file can't be found: {0}")]
    Program(std::io::Error),
}

impl StudyError {
    /// Which part of the surroundings is to blame.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Store(_) | Self::Lock(_) | Self::PlanText(_) | Self::Fold { .. } => Cause::Store,
            Self::Io { .. } | Self::OtherCheck { .. } => Cause::Store,
            Self::Plan(_) | Self::Decode { .. } | Self::TargetUnreachable { .. } => Cause::Plan,
            Self::Data { .. }
            | Self::Changed {
                what: Changed::Data,
                ..
            } => Cause::Data,
            Self::Device { .. }
            | Self::Changed {
                what: Changed::Device,
                ..
            } => Cause::Device,
            Self::Executor(ExecutorError::Refused { .. }) => Cause::Plan,
            Self::Restore(_) | Self::Replay { .. } => Cause::Store,
            Self::Executor(_)
            | Self::TooManyFailures { .. }
            | Self::StoppedElsewhere { .. }
            | Self::JobLost { .. }
            | Self::WrongAnswer { .. }
            | Self::NoTarget
            | Self::Program(_) => Cause::Program,
        }
    }
}

impl Changed {
    fn name(self) -> &'static str {
        match self {
            Changed::Data => "images",
            Changed::Device => "device",
        }
    }
}

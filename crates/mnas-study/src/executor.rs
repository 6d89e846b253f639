//! Where jobs run. The loop submits attempts at jobs and polls for reports; it owns retries.

mod in_process;
mod local;
pub(crate) mod queue;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::job::{Job, JobFailure, JobId, JobOutput, JobProgress};

pub use in_process::{EvaluatorFactory, InProcess};
pub use local::LocalProcesses;

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The job's name.
    pub id: JobId,
    /// Which attempt, from 1.
    pub number: u32,
    /// What to do.
    pub job: Job,
    /// Seconds after which it is ended.
    pub seconds_max: Option<f64>,
}

/// News of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The job's name.
    pub id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// What happened.
    pub verdict: Verdict,
}

/// What happened to an attempt. All but [`Verdict::Progress`] end it.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Progress(JobProgress),
    /// It is done.
    Done(JobOutput),
    /// It failed.
    Failed(JobFailure),
    /// Its worker fell over the job itself (a panic, or death by a fault of its own code).
    Crashed {
        /// What the worker said last.
        message: String,
    },
    /// Its worker vanished (killed from outside, out of memory, node gone).
    Lost {
        /// What is known.
        message: String,
    },
    /// It took longer than [`Attempt::seconds_max`].
    TimedOut {
        /// The limit.
        seconds: f64,
    },
}

/// Runs jobs. An [exclusive](Job::exclusive) job runs alone; jobs start in the order submitted.
pub trait Executor {
    /// Jobs that run at a time.
    fn capacity(&self) -> usize;

    /// Takes an attempt; it starts when there is room.
    fn submit(&mut self, attempt: Attempt);

    /// Reports since the last call, in the order that they came in; waits up to `wait` where there
    /// are none. Empty where nothing is under way.
    ///
    /// # Errors
    /// [`ExecutorError`] where jobs can't be run at all.
    fn poll(&mut self, wait: Duration) -> Result<Vec<Report>, ExecutorError>;

    /// Ends everything queued and under way; none of it is reported on.
    fn cancel_all(&mut self);
}

/// Why jobs can't be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A worker can't be started.
    #[error("could not start the worker {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A worker that speaks another version of the protocol, or none.
    #[error("{program} is no worker of this version: {message}")]
    Protocol {
        /// The program.
        program: String,
        /// What is wrong.
        message: String,
    },
}

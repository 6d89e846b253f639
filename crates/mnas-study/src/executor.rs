//! Where jobs run. The loop submits attempts at jobs and polls for reports; it owns retries.

pub(crate) mod cluster;
mod in_process;
mod local;
pub(crate) mod queue;
mod split;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Job, JobFailure, JobId, JobOutput, JobProgress};

pub use cluster::{
    Answer, Bundle, Cluster, ClusterOptions, FolderMailbox, JobState, MailError, Mailbox, Ray,
    Request, Scheduler, SchedulerError, Slurm, WorkerCommand, work_bundle,
};
pub use in_process::{EvaluatorFactory, InProcess};
pub use local::LocalProcesses;
pub use split::Split;

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// Attempts of an earlier run that go on without it, or whose answers wait. Submitting one of
    /// them again takes it over instead of starting it.
    ///
    /// # Errors
    /// [`ExecutorError`] where it can't be found out.
    fn adopt(&mut self) -> Result<Vec<(JobId, u32)>, ExecutorError> {
        Ok(vec![])
    }

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
    /// A cluster refuses a job.
    #[error("{scheduler} refuses jobs of this study: {message}")]
    Refused {
        /// Which cluster software.
        scheduler: &'static str,
        /// Its words.
        message: String,
    },
    /// A cluster, or what carries jobs and answers, was out of reach for too long.
    #[error(
        "{what} was out of reach for {seconds:.0} s: {message}; jobs that run go on, and `mnas resume` takes them over"
    )]
    Unreachable {
        /// What was asked.
        what: String,
        /// For how long.
        seconds: f64,
        /// What was reported last.
        message: String,
    },
}

//! What runs jobs on other machines: a seam for Slurm, Ray, and a simulation.

use std::collections::BTreeMap;

/// A job for the cluster: one run of the worker program.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Unique within the cluster, and the same each time the same job is submitted.
    pub name: String,
    /// Whether it measures, and so needs the device to itself.
    pub exclusive: bool,
    /// Cores that it uses.
    pub threads: usize,
    /// Arguments of the worker program.
    pub args: Vec<String>,
}

/// Where a job of the cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It waits for resources.
    Waiting,
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// Whether its program ended well, so that its answers must be there.
        well: bool,
        /// The cluster's words.
        message: String,
    },
}

/// Why a cluster didn't do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulerError {
    /// It can't be reached now; asking again later may help.
    #[error("{message}")]
    Unreachable {
        /// What was reported.
        message: String,
    },
    /// It says no, and will say so again.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
    },
}

/// A cluster's own scheduler.
pub trait Scheduler: Send {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// Seconds that it takes to start and end a job, beside the job's own.
    fn overhead_seconds(&self) -> f64;

    /// Whether a job that measures has its device to itself by the cluster's doing. Otherwise it
    /// is kept apart from the study's other jobs.
    fn keeps_measuring_apart(&self) -> bool;

    /// Submits a job. Where a job of that name waits or runs, nothing is done; an ended one is
    /// replaced.
    ///
    /// # Errors
    /// [`SchedulerError`]; after [`SchedulerError::Unreachable`] the job may have been taken all
    /// the same.
    fn submit(&mut self, request: &Request) -> Result<(), SchedulerError>;

    /// Jobs by name, those that ended a while ago left out or not. Names of other studies may be
    /// among them.
    ///
    /// # Errors
    /// [`SchedulerError`].
    fn list(&mut self) -> Result<BTreeMap<String, JobState>, SchedulerError>;

    /// Ends jobs; those unknown are passed over.
    ///
    /// # Errors
    /// [`SchedulerError`].
    fn cancel(&mut self, names: &[String]) -> Result<(), SchedulerError>;
}

//! Jobs on a cluster that exists, through its own scheduler. One job of the cluster runs
//! `mnas worker` on a bundle of attempts; bundles and answers travel by a [`Mailbox`], never by the
//! cluster's logs. This side decides what is lost and when; the loop decides what is retried.
//!
//! What makes it safe: a bundle is kept before its job is submitted, its name follows from its
//! content, an answer names attempt and bundle, and an answer is dropped only after the report of
//! it was handled. So a controller that dies at any moment finds its jobs again, and what a node
//! that was given up still says is told apart.

mod adopt;
mod flight;
mod intake;
mod mailbox;
mod options;
mod patience;
mod ray;
mod scheduler;
mod slurm;
mod start;
mod worker;

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flight::{Flight, Pace};

use super::{Attempt, Executor, ExecutorError, Report};
use crate::clock::Clock;
use crate::job::JobId;

pub use mailbox::{Answer, Bundle, FolderMailbox, MailError, Mailbox};
pub use options::ClusterOptions;
pub use ray::Ray;
pub use scheduler::{JobState, Request, Scheduler, SchedulerError};
pub use slurm::Slurm;
pub use worker::{WorkerCommand, work_bundle};

/// Runs jobs on a cluster.
pub struct Cluster {
    scheduler: Box<dyn Scheduler>,
    mailbox: Box<dyn Mailbox>,
    clock: Arc<dyn Clock>,
    options: ClusterOptions,
    waiting: VecDeque<Attempt>,
    /// By name.
    flights: BTreeMap<String, Flight>,
    /// Answers handed out by the last poll: bundle and place.
    delivered: BTreeSet<(String, usize)>,
    listed_ms: Option<u64>,
    /// Since when each kind of request fails.
    trouble_ms: BTreeMap<&'static str, u64>,
    pace: Pace,
}

impl Cluster {
    /// An executor over a scheduler and a mailbox.
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        mailbox: Box<dyn Mailbox>,
        clock: Arc<dyn Clock>,
        options: ClusterOptions,
    ) -> Self {
        Self {
            scheduler,
            mailbox,
            clock,
            options,
            waiting: VecDeque::new(),
            flights: BTreeMap::new(),
            delivered: BTreeSet::new(),
            listed_ms: None,
            trouble_ms: BTreeMap::new(),
            pace: Pace::default(),
        }
    }

    /// Whether nothing was asked for that isn't answered.
    fn idle(&self) -> bool {
        self.waiting.is_empty() && self.flights.values().all(|f| !f.awaited())
    }

    /// Forgets a job and its bundle; a worker that still works on it stops after its attempt.
    fn drop_flight(&mut self, name: &str) {
        self.flights.remove(name);
        if let Err(error) = self.mailbox.forget(name) {
            tracing::warn!("job {name} stays in the mailbox: {error}");
        }
    }

    /// Ends jobs.
    fn end(&mut self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        if let Err(error) = self.scheduler.cancel(&names) {
            tracing::warn!("{} job(s) could not be ended: {error}", names.len());
        }
        names.iter().for_each(|name| self.drop_flight(name));
    }
}

impl Executor for Cluster {
    fn capacity(&self) -> usize {
        self.options.jobs_max
    }

    fn adopt(&mut self) -> Result<Vec<(JobId, u32)>, ExecutorError> {
        self.find_jobs()
    }

    fn submit(&mut self, attempt: Attempt) {
        if self.take_over(&attempt) {
            return;
        }
        self.end_older(&attempt);
        self.waiting.push_back(attempt);
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<Report>, ExecutorError> {
        let until_ms = self.clock.now_ms() + wait.as_millis() as u64;
        self.clear_delivered();
        loop {
            let mut reports = self.take_answers()?;
            reports.extend(self.take_states()?);
            self.start_waiting()?;
            let now = self.clock.now_ms();
            if !reports.is_empty() || self.idle() || now >= until_ms {
                return Ok(reports);
            }
            let pause_ms = self.options.answers_ms.min(until_ms - now).max(1);
            self.clock.pause(Duration::from_millis(pause_ms));
        }
    }

    fn cancel_all(&mut self) {
        self.waiting.clear();
        let names = self.flights.keys().cloned().collect();
        self.end(names);
    }
}

//! Two executors as one: measuring where the device is, the rest elsewhere. For a phone at the
//! controller's own machine, and for latencies that a table predicts, which need no cluster.

use std::time::Duration;

use super::{Attempt, Executor, ExecutorError, Report};
use crate::job::{Job, JobId};

/// Sends device and measuring jobs to `near` and all others to `far`.
pub struct Split {
    /// Where devices are.
    pub near: Box<dyn Executor>,
    /// Where networks are trained.
    pub far: Box<dyn Executor>,
}

/// How long one of the two is waited for before the other is looked at.
const TURN: Duration = Duration::from_millis(50);

impl Executor for Split {
    fn capacity(&self) -> usize {
        self.far.capacity()
    }

    fn adopt(&mut self) -> Result<Vec<(JobId, u32)>, ExecutorError> {
        let mut adopted = self.near.adopt()?;
        adopted.extend(self.far.adopt()?);
        Ok(adopted)
    }

    fn submit(&mut self, attempt: Attempt) {
        match attempt.job {
            Job::OpenDevice(_) | Job::Measure(_) => self.near.submit(attempt),
            Job::OpenData(_) | Job::Train(_) | Job::Test(_) => self.far.submit(attempt),
        }
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<Report>, ExecutorError> {
        // Where one has nothing to do it returns at once, so the wait is the other's.
        let turn = wait.min(TURN);
        let mut reports = self.near.poll(turn)?;
        let rest = if reports.is_empty() {
            wait - turn
        } else {
            Duration::ZERO
        };
        reports.extend(self.far.poll(rest)?);
        Ok(reports)
    }

    fn cancel_all(&mut self) {
        self.near.cancel_all();
        self.far.cancel_all();
    }
}

//! Trouble with a cluster or a mailbox is borne for a while.

use super::Cluster;
use super::scheduler::SchedulerError;
use crate::executor::ExecutorError;

/// Kinds of requests, each with a patience of its own.
pub(super) const LIST: &str = "the cluster's list of jobs";
pub(super) const SUBMIT: &str = "submitting jobs to the cluster";
pub(super) const MAIL: &str = "the folder of jobs and answers";

impl Cluster {
    /// The value, or nothing for now: trouble with one kind of request is borne for a while.
    pub(super) fn patient<T, E: std::fmt::Display>(
        &mut self,
        request: &'static str,
        result: Result<T, E>,
    ) -> Result<Option<T>, ExecutorError> {
        let error = match result {
            Ok(value) => {
                self.trouble_ms.remove(request);
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        let now = self.clock.now_ms();
        let since = *self.trouble_ms.entry(request).or_insert(now);
        let for_ms = now.saturating_sub(since);
        tracing::warn!("{request}: {error}");
        if for_ms < self.options.patience_ms {
            return Ok(None);
        }
        Err(ExecutorError::Unreachable {
            what: request.into(),
            seconds: for_ms as f64 / 1e3,
            message: error.to_string(),
        })
    }

    /// As [`Cluster::patient`] for the scheduler, whose refusal ends the run at once.
    pub(super) fn asked<T>(
        &mut self,
        request: &'static str,
        result: Result<T, SchedulerError>,
    ) -> Result<Option<T>, ExecutorError> {
        let scheduler = self.scheduler.name();
        match result {
            Err(SchedulerError::Refused { message }) => {
                Err(ExecutorError::Refused { scheduler, message })
            }
            other => self.patient(request, other),
        }
    }
}

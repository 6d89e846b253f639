//! Jobs of an earlier run: which go on, and who takes them over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Cluster;
use super::flight::{Flight, Slot};
use super::patience::{LIST, MAIL};
use super::scheduler::JobState;
use crate::executor::{Attempt, ExecutorError};
use crate::job::JobId;

impl Cluster {
    /// Attempts of bundles whose jobs live or whose answers wait; see [`Executor::adopt`].
    ///
    /// [`Executor::adopt`]: crate::executor::Executor::adopt
    pub(super) fn find_jobs(&mut self) -> Result<Vec<(JobId, u32)>, ExecutorError> {
        let bundles = self.insist(|c| {
            let bundles = c.mailbox.bundles();
            c.patient(MAIL, bundles)
        })?;
        if bundles.is_empty() {
            return Ok(vec![]);
        }
        let listed = self.insist(|c| {
            let listed = c.scheduler.list();
            c.asked(LIST, listed)
        })?;
        // Read after the list, so that the last answers of a job that has ended are among them.
        let answers = self.insist(|c| {
            let answers = c.mailbox.answers(&|_, _| false);
            c.patient(MAIL, answers)
        })?;
        let answered: BTreeSet<(&str, usize)> = answers
            .iter()
            .map(|a| (a.bundle.as_str(), a.index))
            .collect();
        let mut adopted = vec![];
        for bundle in bundles {
            let name = bundle.name.clone();
            let lives = matches!(
                listed.get(&name),
                Some(JobState::Waiting | JobState::Running)
            );
            let mut flight = Flight::new(bundle);
            for (index, slot) in flight.slots.iter_mut().enumerate() {
                *slot = match lives || answered.contains(&(name.as_str(), index)) {
                    true => Slot::Unclaimed,
                    false => Slot::Closed,
                };
            }
            flight.submitted_ms = Some(self.clock.now_ms());
            flight.adopted = true;
            adopted.extend(
                flight
                    .unclaimed_attempts()
                    .map(|a| (a.id.clone(), a.number)),
            );
            if flight.open() == 0 {
                self.drop_flight(&name);
            } else {
                self.flights.insert(name, flight);
            }
        }
        Ok(adopted)
    }

    /// Asks until there is an answer, or patience ends.
    fn insist<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>, ExecutorError>,
    ) -> Result<T, ExecutorError> {
        loop {
            if let Some(value) = ask(self)? {
                return Ok(value);
            }
            let pause = Duration::from_millis(self.options.list_ms);
            self.clock.pause(pause);
        }
    }

    /// Whether this attempt goes on from an earlier run; takes it over then.
    pub(super) fn take_over(&mut self, attempt: &Attempt) -> bool {
        for flight in self.flights.values_mut() {
            if let Some(index) = flight.unclaimed(attempt) {
                flight.slots[index] = Slot::Awaited;
                return true;
            }
        }
        false
    }

    /// Ends jobs of earlier runs that nothing waits for any more, since `attempt` came after them.
    pub(super) fn end_older(&mut self, attempt: &Attempt) {
        let mut ended = vec![];
        for (name, flight) in &mut self.flights {
            if flight.close_older(attempt) && flight.open() == 0 {
                ended.push(name.clone());
            }
        }
        self.end(ended);
    }
}

//! What comes back: answers of workers, and what the cluster's list says of jobs.

use super::Cluster;
use super::flight::Slot;
use super::mailbox::Answer;
use super::patience::{LIST, MAIL};
use crate::executor::{ExecutorError, Report, Verdict};

impl Cluster {
    /// Drops what the loop has taken in since the last poll.
    pub(super) fn clear_delivered(&mut self) {
        let done = std::mem::take(&mut self.delivered);
        for (bundle, index) in done {
            if let Err(error) = self.mailbox.clear(&bundle, index) {
                tracing::warn!("an answer stays in the mailbox for now: {error}");
                self.delivered.insert((bundle, index));
            }
        }
        let answered: Vec<String> = self
            .flights
            .iter()
            .filter(|(_, f)| f.open() == 0)
            .map(|(name, _)| name.clone())
            .collect();
        for name in answered {
            self.drop_flight(&name);
        }
    }

    /// Reports of answers that came in.
    pub(super) fn take_answers(&mut self) -> Result<Vec<Report>, ExecutorError> {
        let (flights, delivered) = (&self.flights, &self.delivered);
        let known = |bundle: &str, index: usize| {
            let unclaimed = flights
                .get(bundle)
                .is_some_and(|f| f.slots.get(index) == Some(&Slot::Unclaimed));
            unclaimed || delivered.contains(&(bundle.to_string(), index))
        };
        let answers = self.mailbox.answers(&known);
        let Some(answers) = self.patient(MAIL, answers)? else {
            return Ok(vec![]);
        };
        let mut reports = vec![];
        for answer in answers {
            reports.extend(self.take_answer(answer));
        }
        Ok(reports)
    }

    fn take_answer(&mut self, answer: Answer) -> Option<Report> {
        let Answer {
            bundle,
            index,
            id,
            attempt,
            verdict,
            seconds,
        } = answer;
        let now_ms = self.clock.now_ms();
        let ours = match self.flights.get_mut(&bundle) {
            Some(flight) if flight.slots.get(index) == Some(&Slot::Awaited) => {
                flight.slots[index] = Slot::Closed;
                flight.worked_seconds += seconds;
                self.pace.add(flight.exclusive, seconds);
                if let Some(seconds) = flight.overhead_seconds(now_ms) {
                    self.pace.add_overhead(seconds);
                }
                true
            }
            _ => false,
        };
        // The same attempt under way elsewhere was asked for anew since; this isn't its answer.
        let superseded = !ours
            && (self
                .waiting
                .iter()
                .any(|a| a.id == id && a.number == attempt)
                || self.flights.values().any(|f| f.awaits(&id, attempt)));
        self.delivered.insert((bundle, index));
        (!superseded).then_some(Report {
            id,
            attempt,
            verdict,
        })
    }

    /// Looks at the cluster's list and reports what is lost.
    pub(super) fn take_states(&mut self) -> Result<Vec<Report>, ExecutorError> {
        let now = self.clock.now_ms();
        let due = self
            .listed_ms
            .is_none_or(|at| now.saturating_sub(at) >= self.options.list_ms);
        if due && !self.flights.is_empty() {
            self.listed_ms = Some(now);
            let listed = self.scheduler.list();
            if let Some(listed) = self.asked(LIST, listed)? {
                let settle_ms = self.options.settle_ms;
                for (name, flight) in &mut self.flights {
                    flight.see(listed.get(name), now, settle_ms);
                }
            }
        }
        let mut reports = vec![];
        let over: Vec<(String, String)> = self
            .flights
            .iter()
            .filter_map(|(name, f)| Some((name.clone(), f.given_up(now, self.options.grace_ms)?)))
            .collect();
        for (name, message) in over {
            if let Some(flight) = self.flights.get(&name) {
                reports.extend(flight.awaited_attempts().map(|a| Report {
                    id: a.id.clone(),
                    attempt: a.number,
                    verdict: Verdict::Lost {
                        message: format!("job {name}: {message}"),
                    },
                }));
            }
            self.drop_flight(&name);
        }
        Ok(reports)
    }
}

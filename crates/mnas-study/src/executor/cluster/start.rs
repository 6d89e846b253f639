//! Which attempts make the next job, and how it reaches the cluster.

use super::Cluster;
use super::flight::{self, Flight};
use super::mailbox::Bundle;
use super::patience::{MAIL, SUBMIT};
use super::scheduler::Request;
use crate::executor::{Attempt, ExecutorError};

impl Cluster {
    /// Sends what may start: first what was kept but never reached the cluster.
    pub(super) fn start_waiting(&mut self) -> Result<(), ExecutorError> {
        let unsent: Vec<String> = self
            .flights
            .iter()
            .filter(|(_, f)| f.submitted_ms.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in unsent {
            if !self.send(&name)? {
                return Ok(());
            }
        }
        while let Some(count) = self.may_start() {
            let attempts: Vec<Attempt> = self.waiting.iter().take(count).cloned().collect();
            let name = flight::name(&self.options.prefix, &attempts);
            let bundle = Bundle {
                name: name.clone(),
                folder: self.options.folder.clone(),
                attempts,
            };
            let posted = self.mailbox.post(&bundle);
            if self.patient(MAIL, posted)?.is_none() {
                return Ok(());
            }
            self.waiting.drain(..count);
            self.flights.insert(name.clone(), Flight::new(bundle));
            if !self.send(&name)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Submits a flight's job; false where the cluster is out of reach.
    fn send(&mut self, name: &str) -> Result<bool, ExecutorError> {
        let Some(flight) = self.flights.get(name) else {
            return Ok(true);
        };
        let request = Request {
            name: name.into(),
            exclusive: flight.exclusive,
            threads: self.options.threads,
            args: vec![
                "--study".into(),
                self.mailbox.address(),
                "--bundle".into(),
                name.into(),
            ],
        };
        let submitted = self.scheduler.submit(&request);
        let sent = self.asked(SUBMIT, submitted)?.is_some();
        let now = self.clock.now_ms();
        if let Some(flight) = self.flights.get_mut(name).filter(|_| sent) {
            flight.submitted_ms = Some(now);
        }
        Ok(sent)
    }

    /// How many of the waiting attempts make the next job; `None` where none may start.
    fn may_start(&self) -> Option<usize> {
        let first = self.waiting.front()?;
        let exclusive = first.job.measures();
        let flights = self.flights.values().filter(|f| f.open() > 0);
        let (mut running, mut measuring) = (0, 0);
        for flight in flights {
            running += 1;
            measuring += usize::from(flight.exclusive);
        }
        let mut room = self.options.jobs_max.saturating_sub(running);
        if !self.scheduler.keeps_measuring_apart() {
            room = match exclusive {
                true => usize::from(running == 0),
                false => room * usize::from(measuring == 0),
            };
        }
        if room == 0 {
            return None;
        }
        let alike = self
            .waiting
            .iter()
            .take_while(|a| flight::may_share(&first.job, &a.job))
            .count();
        let overhead = self.scheduler.overhead_seconds();
        let most = self
            .options
            .per_job
            .unwrap_or_else(|| self.pace.per_job(exclusive, overhead));
        // No place stays empty for the sake of a fuller job.
        Some(most.min(alike.div_ceil(room)).max(1))
    }
}

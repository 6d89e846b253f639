//! Jobs on a cluster that exists, through its own scheduler. One job of the cluster runs
//! `mnas worker` on a bundle of attempts; bundles and answers travel by a [`Mailbox`], never by the
//! cluster's logs. This side decides what is lost and when; the loop decides what is retried.
//!
//! What makes it safe: a bundle is kept before its job is submitted, its name follows from its
//! content, an answer names attempt and bundle, and an answer is dropped only after the report of
//! it was handled. So a controller that dies at any moment finds its jobs again, and what a node
//! that was given up still says is told apart.

mod flight;
mod mailbox;
mod ray;
mod scheduler;
mod slurm;
mod worker;

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flight::{Flight, Pace, Slot};

use super::{Attempt, Executor, ExecutorError, Report, Verdict};
use crate::clock::Clock;
use crate::job::JobId;

pub use mailbox::{Answer, Bundle, FolderMailbox, MailError, Mailbox};
pub use ray::Ray;
pub use scheduler::{JobState, Request, Scheduler, SchedulerError};
pub use slurm::Slurm;
pub use worker::{WorkerCommand, work_bundle};

/// Kinds of requests, each with a patience of its own.
const LIST: &str = "the cluster's list of jobs";
const SUBMIT: &str = "submitting jobs to the cluster";
const MAIL: &str = "the folder of jobs and answers";

/// How a cluster is used.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterOptions {
    /// Begins the names of this study's jobs; no other study's names begin so.
    pub prefix: String,
    /// Jobs in the cluster at a time.
    pub jobs_max: usize,
    /// Cores that an attempt uses.
    pub threads: usize,
    /// Attempts per job; by default as many as keep the cluster's overhead under a tenth.
    pub per_job: Option<usize>,
    /// The folder that relative paths in jobs start from.
    pub folder: PathBuf,
    /// Milliseconds between two looks at the cluster's list of jobs.
    pub list_ms: u64,
    /// Milliseconds between two looks for answers.
    pub answers_ms: u64,
    /// Milliseconds that answers of an ended job may take to be seen here: after a bad end, and
    /// after a good one, whose answers are known to be written.
    pub grace_ms: [u64; 2],
    /// Milliseconds after which a job that was submitted must be in the list.
    pub settle_ms: u64,
    /// Milliseconds that cluster or mailbox may be out of reach before the run ends.
    pub patience_ms: u64,
}

impl ClusterOptions {
    /// What suits Slurm and Ray: a look at the list every 3 s and for answers every 0.3 s; answers
    /// of an ended job may take 10 s, or 90 s where a shared folder is slow to show them.
    pub fn new(prefix: String, jobs_max: usize, threads: usize, folder: PathBuf) -> Self {
        Self {
            prefix,
            jobs_max,
            threads,
            per_job: None,
            folder,
            list_ms: 3_000,
            answers_ms: 300,
            grace_ms: [10_000, 90_000],
            settle_ms: 60_000,
            patience_ms: 600_000,
        }
    }
}

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

    /// The value, or nothing for now: trouble with one kind of request is borne for a while.
    fn patient<T, E: std::fmt::Display>(
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
    fn asked<T>(
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

    /// Drops what the loop has taken in since the last poll.
    fn clear_delivered(&mut self) {
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

    fn drop_flight(&mut self, name: &str) {
        self.flights.remove(name);
        if let Err(error) = self.mailbox.forget(name) {
            tracing::warn!("job {name} stays in the mailbox: {error}");
        }
    }

    /// Reports of answers that came in.
    fn take_answers(&mut self) -> Result<Vec<Report>, ExecutorError> {
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
        let ours = match self.flights.get_mut(&bundle) {
            Some(flight) if flight.slots.get(index) == Some(&Slot::Awaited) => {
                flight.slots[index] = Slot::Closed;
                self.pace.add(flight.exclusive, seconds);
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
    fn take_states(&mut self) -> Result<Vec<Report>, ExecutorError> {
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

    /// Sends what may start: first what was kept but never reached the cluster.
    fn start_waiting(&mut self) -> Result<(), ExecutorError> {
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

    /// Whether this attempt goes on from an earlier run; takes it over then.
    fn take_over(&mut self, attempt: &Attempt) -> bool {
        for flight in self.flights.values_mut() {
            if let Some(index) = flight.unclaimed(attempt) {
                flight.slots[index] = Slot::Awaited;
                return true;
            }
        }
        false
    }

    /// Ends jobs of earlier runs that nothing waits for any more, since `attempt` came after them.
    fn end_older(&mut self, attempt: &Attempt) {
        let mut ended = vec![];
        for (name, flight) in &mut self.flights {
            if flight.close_older(attempt) && flight.open() == 0 {
                ended.push(name.clone());
            }
        }
        self.end(ended);
    }

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
        let bundles = loop {
            let bundles = self.mailbox.bundles();
            match self.patient(MAIL, bundles)? {
                Some(bundles) => break bundles,
                None => self
                    .clock
                    .pause(Duration::from_millis(self.options.list_ms)),
            }
        };
        if bundles.is_empty() {
            return Ok(vec![]);
        }
        let listed = loop {
            let listed = self.scheduler.list();
            match self.asked(LIST, listed)? {
                Some(listed) => break listed,
                None => self
                    .clock
                    .pause(Duration::from_millis(self.options.list_ms)),
            }
        };
        let answers = self.mailbox.answers(&|_, _| false);
        let answers = self.patient(MAIL, answers)?.unwrap_or_default();
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

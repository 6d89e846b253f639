//! A bundle in the cluster and what is known of it, and how bundles are made up.

use sha2::{Digest, Sha256};

use super::mailbox::Bundle;
use super::scheduler::JobState;
use crate::executor::Attempt;
use crate::job::{Job, JobId};

/// Where one attempt of a bundle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Its answer is waited for.
    Awaited,
    /// It goes on from an earlier run, and nobody has asked for it so far.
    Unclaimed,
    /// Its answer came, or isn't wanted any more.
    Closed,
}

/// A bundle in the cluster.
#[derive(Debug)]
pub(super) struct Flight {
    bundle: Bundle,
    pub(super) exclusive: bool,
    /// One per attempt.
    pub(super) slots: Vec<Slot>,
    /// When the cluster took it; `None` until then.
    pub(super) submitted_ms: Option<u64>,
    /// Whether an earlier run submitted it, at a time that isn't known.
    pub(super) adopted: bool,
    /// Seconds that its answered attempts took.
    pub(super) worked_seconds: f64,
    /// Since when it is known to have ended, whether well, and the cluster's words.
    ended: Option<(u64, bool, String)>,
}

impl Flight {
    pub(super) fn new(bundle: Bundle) -> Self {
        Self {
            exclusive: bundle.attempts.iter().any(|a| a.job.measures()),
            slots: vec![Slot::Awaited; bundle.attempts.len()],
            bundle,
            submitted_ms: None,
            adopted: false,
            worked_seconds: 0.0,
            ended: None,
        }
    }

    /// Attempts without an answer.
    pub(super) fn open(&self) -> usize {
        self.slots.iter().filter(|s| **s != Slot::Closed).count()
    }

    /// Seconds from its submission to its last answer beside its attempts' own, once all are here.
    pub(super) fn overhead_seconds(&self, now_ms: u64) -> Option<f64> {
        // One that measures waits for its device, which is no overhead.
        let told = !self.adopted && !self.exclusive && self.open() == 0;
        let submitted_ms = self.submitted_ms.filter(|_| told)?;
        let seconds = now_ms.saturating_sub(submitted_ms) as f64 / 1e3;
        Some((seconds - self.worked_seconds).max(0.0))
    }

    /// Whether an answer is waited for.
    pub(super) fn awaited(&self) -> bool {
        self.slots.contains(&Slot::Awaited)
    }

    fn attempts(&self, slot: Slot) -> impl Iterator<Item = &Attempt> {
        let all = self.bundle.attempts.iter().zip(&self.slots);
        all.filter(move |(_, s)| **s == slot).map(|(a, _)| a)
    }

    pub(super) fn awaited_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts(Slot::Awaited)
    }

    pub(super) fn unclaimed_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts(Slot::Unclaimed)
    }

    pub(super) fn awaits(&self, id: &JobId, number: u32) -> bool {
        self.awaited_attempts()
            .any(|a| a.id == *id && a.number == number)
    }

    /// The place of this very attempt, where nobody has asked for it so far.
    pub(super) fn unclaimed(&self, attempt: &Attempt) -> Option<usize> {
        let mut all = self.bundle.attempts.iter().zip(&self.slots);
        all.position(|(a, s)| *s == Slot::Unclaimed && a == attempt)
    }

    /// Closes unclaimed attempts at the same job; whether there was one.
    pub(super) fn close_older(&mut self, attempt: &Attempt) -> bool {
        let mut closed = false;
        for (a, slot) in self.bundle.attempts.iter().zip(&mut self.slots) {
            if *slot == Slot::Unclaimed && a.id == attempt.id {
                *slot = Slot::Closed;
                closed = true;
            }
        }
        closed
    }

    /// Takes in what the cluster's list says.
    pub(super) fn see(&mut self, state: Option<&JobState>, now_ms: u64, settle_ms: u64) {
        let submitted_ms = self.submitted_ms.unwrap_or(now_ms);
        let (well, message) = match state {
            Some(JobState::Waiting | JobState::Running) => {
                self.ended = None;
                return;
            }
            Some(JobState::Ended { well, message }) => (*well, message.clone()),
            None if now_ms.saturating_sub(submitted_ms) < settle_ms => return,
            None => (false, "the cluster doesn't know the job (any more)".into()),
        };
        if self.submitted_ms.is_some() && self.ended.is_none() {
            self.ended = Some((now_ms, well, message));
        }
    }

    /// Why its answers aren't waited for any longer, if they aren't.
    pub(super) fn given_up(&self, now_ms: u64, grace_ms: [u64; 2]) -> Option<String> {
        let (since_ms, well, message) = self.ended.as_ref()?;
        let over = now_ms.saturating_sub(*since_ms) >= grace_ms[usize::from(*well)];
        over.then(|| message.clone())
    }
}

/// A bundle's name: of letters, digits and `-`, the same for the same attempts.
pub(super) fn name(prefix: &str, attempts: &[Attempt]) -> String {
    let mut digest = Sha256::new();
    for attempt in attempts {
        let text = serde_json::to_vec(attempt);
        digest.update(text.expect("jobs hold strings and finite numbers, which JSON can write"));
    }
    let digest = digest.finalize();
    let digest: String = digest[..4].iter().map(|b| format!("{b:02x}")).collect();
    let first = attempts.first().map_or("", |a| a.id.0.as_str());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let first: String = first.chars().map(plain).take(40).collect();
    let number = attempts.first().map_or(0, |a| a.number);
    format!("{prefix}-{first}-{number}-{digest}")
}

/// Whether two jobs may be of one bundle: both short, and of one kind. A training that keeps its
/// weights is a long one.
pub(super) fn may_share(first: &Job, other: &Job) -> bool {
    match (first, other) {
        (Job::Train(a), Job::Train(b)) => {
            std::ptr::eq(a, b) || (a.weights_out.is_none() && b.weights_out.is_none())
        }
        (Job::Measure(a), Job::Measure(b)) => {
            std::ptr::eq(a, b) || (a.nets.len() == 1 && b.nets.len() == 1)
        }
        (a, b) => std::ptr::eq(a, b),
    }
}

/// How long attempts take, apart for measuring and for the rest, and what a job costs beside them:
/// means that forget.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seconds: [Option<f64>; 2],
    overhead_seconds: Option<f64>,
}

/// Weight of a new value in a mean.
const NEWEST: f64 = 0.2;
/// Most attempts per job: as many are lost with it.
const PER_JOB_MAX: f64 = 64.0;
/// Share of a job's time that the cluster's overhead may be.
const OVERHEAD: f64 = 0.1;
/// What is seen counts up to this multiple of the usual overhead; more is waiting for resources,
/// which a larger job doesn't shorten.
const LOADED: f64 = 4.0;

impl Pace {
    pub(super) fn add(&mut self, exclusive: bool, seconds: f64) {
        follow(&mut self.seconds[usize::from(exclusive)], seconds);
    }

    pub(super) fn add_overhead(&mut self, seconds: f64) {
        follow(&mut self.overhead_seconds, seconds);
    }

    /// Attempts per job that keep the overhead small; one where nothing is known. `usual_seconds`
    /// is the overhead of a cluster at rest.
    pub(super) fn per_job(&self, exclusive: bool, usual_seconds: f64) -> usize {
        let Some(mean) = self.seconds[usize::from(exclusive)] else {
            return 1;
        };
        let seen = self.overhead_seconds.filter(|_| !exclusive);
        let seen = seen.unwrap_or(usual_seconds);
        let overhead = seen.clamp(usual_seconds, LOADED * usual_seconds);
        let needed = overhead / OVERHEAD / mean.max(1e-3);
        needed.ceil().clamp(1.0, PER_JOB_MAX) as usize
    }
}

fn follow(mean: &mut Option<f64>, value: f64) {
    *mean = Some(mean.map_or(value, |m| m + NEWEST * (value - m)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_grow_with_what_they_cost_and_shrink_with_what_they_do() {
        // Seconds of an attempt, overhead seen if any, attempts per job at a usual 1.6 s.
        for (seconds, seen, expected) in [
            (5.0, None, 4),
            (5.0, Some(0.2), 4),
            (5.0, Some(3.5), 7),
            (5.0, Some(600.0), 13),
            (60.0, Some(3.5), 1),
            (0.01, None, 64),
        ] {
            let mut pace = Pace::default();
            assert_eq!(pace.per_job(false, 1.6), 1, "nothing is known");
            pace.add(false, seconds);
            seen.into_iter().for_each(|s| pace.add_overhead(s));
            assert_eq!(pace.per_job(false, 1.6), expected, "{seconds} {seen:?}");
            assert_eq!(pace.per_job(true, 1.6), 1, "measuring is another matter");
        }
    }
}

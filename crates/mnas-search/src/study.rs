//! A study is the fold of its events.

mod apply;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::controller::{Diagnostics, Observation};
use crate::event::{Event, FinalEntry, FinalResult};
use crate::front;
use crate::objective::{Objective, ObjectiveKind};
use crate::trial::{LatencyRecord, Outcome, Trial};

/// An event that can't follow the events before it. The study is unchanged by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FoldError {
    /// The first event isn't `Started`, or a later one is.
    #[error("a study starts with one Started event, and only with it")]
    Start,
    /// Written by a newer program.
    #[error("the study was written in format {found}, this program reads up to {known}")]
    Newer {
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A second target.
    #[error("the target is already known")]
    SecondTarget,
    /// A target that isn't a positive number.
    #[error("the target of {0} ms isn't a positive number")]
    BadTarget(f64),
    /// Batches have gaps, or one is proposed before the batch before it was observed.
    #[error("batch {found} can't come now, batch {expected} can")]
    Batch {
        /// The event's batch.
        found: u32,
        /// The only batch that could come.
        expected: u32,
    },
    /// A batch before an earlier one was observed that it may not run ahead of.
    #[error("batch {0} isn't observed yet")]
    Unobserved(u32),
    /// A batch without proposals.
    #[error("batch {0} is empty")]
    EmptyBatch(u32),
    /// Trial numbers have gaps.
    #[error("trial {found} can't come now, trial {expected} can")]
    TrialOrder {
        /// The event's trial.
        found: u64,
        /// The only trial that could come.
        expected: u64,
    },
    /// `duplicate_of` contradicts the hashes.
    #[error("trial {trial} has the network of {expected:?}, but says it duplicates {found:?}")]
    Duplicate {
        /// The proposal.
        trial: u64,
        /// What it says.
        found: Option<u64>,
        /// The earlier trial of the same network whose outcome isn't `Lost`.
        expected: Option<u64>,
    },
    /// No such trial.
    #[error("there is no trial {0}")]
    NoTrial(u64),
    /// A duplicate isn't evaluated.
    #[error("trial {0} is a duplicate and has no attempts of its own")]
    EvaluatedDuplicate(u64),
    /// Attempts only go up, from 1, and only while the trial is open.
    #[error("attempt {found} of trial {trial} can't begin, attempt {current} counts")]
    Attempt {
        /// The trial.
        trial: u64,
        /// The event's attempt.
        found: u32,
        /// The attempt that counts.
        current: u32,
    },
    /// An accuracy, latency or reward that isn't a finite number.
    #[error("trial {0} has a result that isn't a finite number")]
    NotFinite(u64),
    /// A batch is observed before all its trials have an outcome.
    #[error("trial {0} has no outcome yet")]
    Unresolved(u64),
    /// Rewards don't list the batch's trials in order.
    #[error("rewards of batch {0} don't list its trials in order")]
    Rewards(u32),
    /// A reward for a lost trial, none for a done one, or one that differs from its original's.
    #[error("the reward of trial {0} contradicts its outcome")]
    RewardMismatch(u64),
    /// Fewer proposals than there are.
    #[error("{trials} proposals are fewer than the {proposed} there are")]
    Shrunk {
        /// The event's number.
        trials: u64,
        /// Proposals so far.
        proposed: u64,
    },
    /// After the end, only an extension can follow.
    #[error("the study has ended")]
    Ended,
    /// A final result without its entry in the final round, or a second one.
    #[error("{0:?} isn't waited for in the final round")]
    Final(String),
}

/// A batch of proposals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Batch {
    /// Number, from 0.
    pub index: u32,
    /// First trial.
    pub first: u64,
    /// Number of trials.
    pub len: u64,
    /// Batches that were observed when it was proposed.
    pub seen: u32,
    /// The controller's view of itself after it; `None` until it was observed.
    pub diagnostics: Option<Diagnostics>,
}

impl Batch {
    /// Numbers of its trials.
    pub fn trials(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.len
    }
}

/// A result that came too late to count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stale {
    /// The trial.
    pub trial: u64,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// The result.
    pub outcome: Outcome,
}

/// A failed attempt that was repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// The trial.
    pub trial: u64,
    /// The attempt that began.
    pub attempt: u32,
    /// Why the one before it was given up.
    pub reason: String,
}

/// How many trials there are of each kind. `proposals = distinct + duplicates`; the outcomes
/// count distinct trials only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Proposals of the controller.
    pub proposals: u64,
    /// Trials that are evaluated themselves.
    pub distinct: u64,
    /// Proposals that share an earlier trial's outcome.
    pub duplicates: u64,
    /// Distinct networks that were trained to the end, which is what `done` means.
    pub trained: u64,
    /// Measured, not trained.
    pub too_slow: u64,
    /// Measured, and their training cut short.
    #[serde(default)]
    pub stopped: u64,
    /// Over a limit.
    pub infeasible: u64,
    /// Failed.
    pub failed: u64,
    /// Lost by the machines.
    pub lost: u64,
    /// Without an outcome so far.
    pub pending: u64,
}

/// Everything known of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    plan: serde_json::Value,
    seed: u64,
    space_text: String,
    started_ms: u64,
    target: Option<Target>,
    budget: Option<u64>,
    /// Batches that may be open besides the newest.
    staleness: u64,
    trials: Vec<Trial>,
    batches: Vec<Batch>,
    /// Batches observed, which are the first so many.
    observed: usize,
    /// Last original trial of each hash.
    originals: BTreeMap<String, u64>,
    stale: Vec<Stale>,
    retries: Vec<Retry>,
    snapshot: Option<String>,
    stopped: Option<String>,
    finalists: Vec<FinalEntry>,
    finals: Vec<FinalResult>,
    ended_ms: Option<u64>,
}

/// The latency target and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Milliseconds.
    pub target_ms: f64,
    /// The reference whose latency it is.
    pub reference: Option<String>,
    /// That reference's latency.
    pub latency: Option<LatencyRecord>,
}

impl Study {
    /// Folds events from the first on. The error tells the index of the event that doesn't fit.
    pub fn fold<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Study, (usize, FoldError)> {
        let mut events = events.into_iter().enumerate();
        let (_, first) = events.next().ok_or((0, FoldError::Start))?;
        let mut study = Study::start(first).map_err(|e| (0, e))?;
        for (index, event) in events {
            study.apply(event).map_err(|e| (index, e))?;
        }
        Ok(study)
    }

    /// The plan, as the study stored it.
    pub fn plan(&self) -> &serde_json::Value {
        &self.plan
    }

    /// Seed of all randomness.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Text of the search space.
    pub fn space_text(&self) -> &str {
        &self.space_text
    }

    /// When it began, milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// When it ended, milliseconds since 1970; `None` while it runs or after an extension.
    pub fn ended_ms(&self) -> Option<u64> {
        self.ended_ms
    }

    /// The latency target, milliseconds.
    pub fn target_ms(&self) -> Option<f64> {
        self.target.as_ref().map(|t| t.target_ms)
    }

    /// The latency target and where it comes from.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The objective: the plan's key `objective` (an [`ObjectiveKind`]) with the target.
    pub fn objective(&self) -> Option<Objective> {
        let kind: ObjectiveKind =
            serde_json::from_value(self.plan.get("objective")?.clone()).ok()?;
        Some(Objective {
            kind,
            target_ms: self.target_ms()?,
        })
    }

    /// Number of proposals wanted: the last extension, else the plan's key `trials`.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// All proposals, in order.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// One proposal.
    pub fn trial(&self, id: u64) -> Option<&Trial> {
        self.trials.get(usize::try_from(id).ok()?)
    }

    /// All batches, in order.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The batches that were proposed and not observed yet, in order: one at most, unless the plan's
    /// key `staleness` allows more.
    pub fn open_batches(&self) -> &[Batch] {
        &self.batches[self.observed..]
    }

    /// The batch to observe next.
    pub fn open_batch(&self) -> Option<&Batch> {
        self.open_batches().first()
    }

    /// The trial whose outcome a network with this hash would share: the last one that was
    /// evaluated itself and isn't `Lost`.
    pub fn original(&self, hash: &str) -> Option<u64> {
        let id = *self.originals.get(hash)?;
        let lost = matches!(self.trial(id)?.outcome, Some(Outcome::Lost { .. }));
        (!lost).then_some(id)
    }

    /// Results that came too late to count, in order.
    pub fn stale(&self) -> &[Stale] {
        &self.stale
    }

    /// Attempts that were repeated, in order.
    pub fn retries(&self) -> &[Retry] {
        &self.retries
    }

    /// The controller's state after the last observed batch.
    pub fn snapshot(&self) -> Option<&str> {
        self.snapshot.as_deref()
    }

    /// What the controller was told of an observed batch; `None` if it isn't observed.
    pub fn observations(&self, batch: u32) -> Option<Vec<Observation>> {
        let batch = self.batches.get(batch as usize)?;
        batch.diagnostics.as_ref()?;
        let of = |t: &Trial| Observation {
            trial: t.id,
            tokens: t.tokens.clone(),
            reward: t.reward,
            accuracy: t.observed_accuracy(),
            latency_ms: t.latency_ms(),
        };
        Some(self.trials_of(batch).iter().map(of).collect())
    }

    /// The trials of a batch.
    pub fn trials_of(&self, batch: &Batch) -> &[Trial] {
        &self.trials[batch.first as usize..(batch.first + batch.len) as usize]
    }

    /// Why the search stopped early, if nothing happened since.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Networks of the final round, references included.
    pub fn finalists(&self) -> &[FinalEntry] {
        &self.finalists
    }

    /// What the final round gave so far, in the order in which it came.
    pub fn finals(&self) -> &[FinalResult] {
        &self.finals
    }

    /// How many trials there are of each kind.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            proposals: self.trials.len() as u64,
            ..Counts::default()
        };
        for trial in &self.trials {
            if trial.duplicate_of.is_some() {
                counts.duplicates += 1;
                continue;
            }
            counts.distinct += 1;
            *match trial.outcome {
                Some(Outcome::Done(_)) => &mut counts.trained,
                Some(Outcome::TooSlow { .. }) => &mut counts.too_slow,
                Some(Outcome::Stopped { .. }) => &mut counts.stopped,
                Some(Outcome::Infeasible { .. }) => &mut counts.infeasible,
                Some(Outcome::Failed(_)) => &mut counts.failed,
                Some(Outcome::Lost { .. }) => &mut counts.lost,
                None => &mut counts.pending,
            } += 1;
        }
        counts
    }

    /// Distinct trials that are done.
    pub fn done(&self) -> impl Iterator<Item = &Trial> {
        self.trials
            .iter()
            .filter(|t| t.duplicate_of.is_none() && t.metrics().is_some())
    }

    /// Pareto front of accuracy and median latency over the done trials, by rising latency.
    pub fn front(&self) -> Vec<&Trial> {
        let done: Vec<(&Trial, (f64, f64))> = self
            .done()
            .filter_map(|t| Some((t, (t.accuracy()?, t.latency_ms()?))))
            .collect();
        let points: Vec<(f64, f64)> = done.iter().map(|(_, p)| *p).collect();
        front::pareto(&points)
            .into_iter()
            .map(|i| done[i].0)
            .collect()
    }

    /// The done trial with the best reward; the first of equals.
    pub fn best(&self) -> Option<&Trial> {
        self.best_where(|_| true)
    }

    /// The done trial with the best reward among those at or under the target.
    pub fn best_within_target(&self) -> Option<&Trial> {
        let target = self.target_ms()?;
        self.best_where(|t| t.latency_ms().is_some_and(|ms| ms <= target))
    }

    fn best_where(&self, keep: impl Fn(&Trial) -> bool) -> Option<&Trial> {
        let mut best: Option<(&Trial, f64)> = None;
        for trial in self.done().filter(|t| keep(t)) {
            let Some(reward) = trial.reward else { continue };
            if best.is_none_or(|(_, b)| reward > b) {
                best = Some((trial, reward));
            }
        }
        best.map(|(trial, _)| trial)
    }
}

//! What each event does to a study. Everything is checked before anything is changed.

use std::collections::BTreeMap;

use super::{Batch, FoldError, Retry, Stale, Study, Target};
use crate::controller::Diagnostics;
use crate::event::{Event, FinalEntry, FinalResult, Proposal, VERSION};
use crate::trial::{Outcome, Trial};

impl Study {
    pub(super) fn start(event: &Event) -> Result<Study, FoldError> {
        let Event::Started {
            version,
            plan,
            seed,
            space,
            time_ms,
        } = event
        else {
            return Err(FoldError::Start);
        };
        if *version > VERSION {
            return Err(FoldError::Newer {
                found: *version,
                known: VERSION,
            });
        }
        Ok(Study {
            budget: plan.get("trials").and_then(serde_json::Value::as_u64),
            plan: plan.clone(),
            seed: *seed,
            space_text: space.clone(),
            started_ms: *time_ms,
            staleness: plan
                .get("staleness")
                .and_then(serde_json::Value::as_u64)
                .unwrap_or(0),
            target: None,
            trials: Vec::new(),
            batches: Vec::new(),
            observed: 0,
            originals: BTreeMap::new(),
            stale: Vec::new(),
            retries: Vec::new(),
            snapshot: None,
            stopped: None,
            finalists: Vec::new(),
            finals: Vec::new(),
            ended_ms: None,
        })
    }

    /// Adds one event. On an error the study is unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        // A late result may still trickle in after the end; it is recorded like any other.
        let allowed_after_end = matches!(event, Event::Extended { .. } | Event::Finished { .. });
        if self.ended_ms.is_some() && !allowed_after_end {
            return Err(FoldError::Ended);
        }
        match event {
            Event::Started { .. } => Err(FoldError::Start),
            Event::Target {
                target_ms,
                reference,
                latency,
            } => self.set_target(Target {
                target_ms: *target_ms,
                reference: reference.clone(),
                latency: latency.clone(),
            }),
            Event::Proposed { batch, proposals } => self.propose(*batch, proposals),
            Event::Retried {
                trial,
                attempt,
                reason,
            } => self.retry(*trial, *attempt, reason),
            Event::Finished {
                trial,
                attempt,
                outcome,
            } => self.finish(*trial, *attempt, outcome),
            Event::Observed {
                batch,
                rewards,
                snapshot,
                diagnostics,
            } => self.observe(*batch, rewards, snapshot, diagnostics),
            Event::Extended { trials } => self.extend(*trials),
            Event::Stopped { reason } => {
                self.stopped = Some(reason.clone());
                Ok(())
            }
            Event::FinalStarted { finalists } => self.start_final(finalists),
            Event::FinalDone { result } => self.finish_final(result),
            Event::Ended { time_ms } => {
                self.ended_ms = Some(*time_ms);
                Ok(())
            }
        }
    }

    fn set_target(&mut self, target: Target) -> Result<(), FoldError> {
        if self.target.is_some() {
            return Err(FoldError::SecondTarget);
        }
        if !target.target_ms.is_finite() || target.target_ms <= 0.0 {
            return Err(FoldError::BadTarget(target.target_ms));
        }
        self.target = Some(target);
        Ok(())
    }

    fn propose(&mut self, batch: u32, proposals: &[Proposal]) -> Result<(), FoldError> {
        let expected = self.batches.len() as u32;
        if batch != expected {
            return Err(FoldError::Batch {
                found: batch,
                expected,
            });
        }
        if let Some(open) = self.open_batch()
            && self.open_batches().len() as u64 > self.staleness
        {
            return Err(FoldError::Unobserved(open.index));
        }
        if proposals.is_empty() {
            return Err(FoldError::EmptyBatch(batch));
        }
        let mut in_batch: BTreeMap<&str, u64> = BTreeMap::new();
        for (i, proposal) in proposals.iter().enumerate() {
            let expected = (self.trials.len() + i) as u64;
            if proposal.trial != expected {
                return Err(FoldError::TrialOrder {
                    found: proposal.trial,
                    expected,
                });
            }
            let hash = proposal.hash.as_str();
            let original = in_batch.get(hash).copied().or_else(|| self.original(hash));
            if proposal.duplicate_of != original {
                return Err(FoldError::Duplicate {
                    trial: proposal.trial,
                    found: proposal.duplicate_of,
                    expected: original,
                });
            }
            if original.is_none() {
                in_batch.insert(hash, proposal.trial);
            }
        }
        self.batches.push(Batch {
            index: batch,
            first: self.trials.len() as u64,
            len: proposals.len() as u64,
            seen: self.observed as u32,
            diagnostics: None,
        });
        for proposal in proposals {
            self.add(batch, proposal);
        }
        self.stopped = None;
        Ok(())
    }

    fn add(&mut self, batch: u32, proposal: &Proposal) {
        let original = proposal.duplicate_of.and_then(|id| self.trial(id));
        let trial = Trial {
            id: proposal.trial,
            tokens: proposal.tokens.clone(),
            spec: proposal.spec.clone(),
            hash: proposal.hash.clone(),
            duplicate_of: proposal.duplicate_of,
            attempt: 1,
            outcome: original.and_then(|o| o.outcome.clone()),
            reward: None,
            batch,
        };
        if trial.duplicate_of.is_none() {
            self.originals.insert(trial.hash.clone(), trial.id);
        }
        self.trials.push(trial);
    }

    /// The trial, which must exist and be evaluated itself.
    fn evaluated(&self, id: u64) -> Result<&Trial, FoldError> {
        let trial = self.trial(id).ok_or(FoldError::NoTrial(id))?;
        match trial.duplicate_of {
            None => Ok(trial),
            Some(_) => Err(FoldError::EvaluatedDuplicate(id)),
        }
    }

    /// Whether a newer attempt may still change the trial's outcome.
    fn is_open(&self, trial: &Trial) -> bool {
        let observed = self.batches[trial.batch as usize].diagnostics.is_some();
        let lost = matches!(trial.outcome, Some(Outcome::Lost { .. }));
        !observed && (trial.outcome.is_none() || lost)
    }

    fn retry(&mut self, id: u64, attempt: u32, reason: &str) -> Result<(), FoldError> {
        let trial = self.evaluated(id)?;
        if attempt <= trial.attempt || !self.is_open(trial) {
            return Err(FoldError::Attempt {
                trial: id,
                found: attempt,
                current: trial.attempt,
            });
        }
        self.resolve(id, attempt, None);
        self.retries.push(Retry {
            trial: id,
            attempt,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    fn finish(&mut self, id: u64, attempt: u32, outcome: &Outcome) -> Result<(), FoldError> {
        let trial = self.evaluated(id)?;
        if !is_finite(outcome) {
            return Err(FoldError::NotFinite(id));
        }
        let first = trial.outcome.is_none() && attempt >= trial.attempt;
        let supersedes = attempt > trial.attempt && self.is_open(trial);
        if first || supersedes {
            self.resolve(id, attempt, Some(outcome.clone()));
        } else {
            self.stale.push(Stale {
                trial: id,
                attempt,
                outcome: outcome.clone(),
            });
        }
        Ok(())
    }

    /// Sets attempt and outcome of a trial, and the outcome of its duplicates.
    fn resolve(&mut self, id: u64, attempt: u32, outcome: Option<Outcome>) {
        self.trials[id as usize].attempt = attempt;
        for trial in &mut self.trials[id as usize..] {
            if trial.id == id || trial.duplicate_of == Some(id) {
                trial.outcome.clone_from(&outcome);
            }
        }
    }

    fn observe(
        &mut self,
        batch: u32,
        rewards: &[(u64, Option<f64>)],
        snapshot: &str,
        diagnostics: &Diagnostics,
    ) -> Result<(), FoldError> {
        let Some(open) = self.open_batch().filter(|b| b.index == batch) else {
            let expected = self
                .open_batch()
                .map_or(self.batches.len() as u32, |b| b.index);
            return Err(FoldError::Batch {
                found: batch,
                expected,
            });
        };
        if !rewards.iter().map(|(id, _)| *id).eq(open.trials()) {
            return Err(FoldError::Rewards(batch));
        }
        for (id, reward) in rewards {
            self.check_reward(*id, *reward, rewards)?;
        }
        for (id, reward) in rewards {
            self.trials[*id as usize].reward = *reward;
        }
        self.batches[batch as usize].diagnostics = Some(diagnostics.clone());
        self.observed += 1;
        self.snapshot = Some(snapshot.to_owned());
        Ok(())
    }

    fn check_reward(
        &self,
        id: u64,
        reward: Option<f64>,
        batch: &[(u64, Option<f64>)],
    ) -> Result<(), FoldError> {
        let trial = self.trial(id).ok_or(FoldError::NoTrial(id))?;
        let outcome = trial.outcome.as_ref().ok_or(FoldError::Unresolved(id))?;
        if reward.is_some_and(|r| !r.is_finite()) {
            return Err(FoldError::NotFinite(id));
        }
        let mut agrees = match outcome {
            Outcome::Done(_) => reward.is_some(),
            Outcome::Lost { .. } => reward.is_none(),
            _ => true,
        };
        if let Some(original) = trial.duplicate_of {
            let in_batch = batch.iter().find(|(id, _)| *id == original);
            let expected = match in_batch {
                Some((_, reward)) => *reward,
                None => self.trial(original).and_then(|t| t.reward),
            };
            agrees &= reward == expected;
        }
        agrees.then_some(()).ok_or(FoldError::RewardMismatch(id))
    }

    fn extend(&mut self, trials: u64) -> Result<(), FoldError> {
        let proposed = self.trials.len() as u64;
        if trials < proposed {
            return Err(FoldError::Shrunk { trials, proposed });
        }
        self.budget = Some(trials);
        self.stopped = None;
        self.ended_ms = None;
        Ok(())
    }

    /// A new final round (after an extension, say) replaces the one before it.
    fn start_final(&mut self, finalists: &[FinalEntry]) -> Result<(), FoldError> {
        for (i, entry) in finalists.iter().enumerate() {
            if finalists[..i].iter().any(|e| e.name == entry.name) {
                return Err(FoldError::Final(entry.name.clone()));
            }
        }
        self.finalists = finalists.to_vec();
        self.finals.clear();
        Ok(())
    }

    fn finish_final(&mut self, result: &FinalResult) -> Result<(), FoldError> {
        let waited_for = self.finalists.contains(&result.entry)
            && self.finals.iter().all(|f| f.entry != result.entry);
        if !waited_for {
            return Err(FoldError::Final(result.entry.name.clone()));
        }
        self.finals.push(result.clone());
        Ok(())
    }
}

fn is_finite(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done(m) => m.accuracy.is_finite() && m.latency.median_ms.is_finite(),
        Outcome::TooSlow { latency, accuracy }
        | Outcome::Stopped {
            latency, accuracy, ..
        } => accuracy.is_finite() && latency.median_ms.is_finite(),
        Outcome::Infeasible { .. } | Outcome::Failed(_) | Outcome::Lost { .. } => true,
    }
}

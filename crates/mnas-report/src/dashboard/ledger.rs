//! A study followed event by event: the fold without its bulk, and the view that pages show.

use std::collections::{BTreeSet, VecDeque};

use mnas_search::{Event, FoldError, Outcome, Study};

use super::News;
use crate::view::{TrialView, View, search};

/// Events kept to be listed.
const LAST_EVENTS: usize = 30;

/// A study as far as it was read. Samples, curves and snapshots are dropped as events pass: a trial's
/// page reads its own again, and a hundred thousand trials fit into memory.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    study: Option<Study>,
    view: Option<View>,
    /// Kept latency samples of every trial, which the lightened fold doesn't know any more.
    samples: Vec<u32>,
    touched: BTreeSet<u64>,
    /// The last events with their times, the newest first.
    last: VecDeque<(u64, String)>,
    /// Events taken in, and those of them that the view shows.
    seq: u64,
    shown: u64,
    /// Whether the final round of the trials there are has begun.
    final_begun: bool,
}

impl Ledger {
    /// Takes in an event; pages see it after [`Ledger::settle`].
    pub(super) fn take(&mut self, news: News) -> Result<(), FoldError> {
        let News {
            time_ms,
            mut event,
            samples,
        } = news;
        lighten(&mut event);
        match &mut self.study {
            Some(study) => study.apply(&event)?,
            None => self.study = Some(Study::fold([&event]).map_err(|(_, e)| e)?),
        }
        self.seq += 1;
        self.last.push_front((time_ms, words(&event)));
        self.last.truncate(LAST_EVENTS);
        self.touch(&event, samples);
        Ok(())
    }

    /// Notes the trials that an event changed.
    fn touch(&mut self, event: &Event, samples: u32) {
        let Some(study) = &self.study else { return };
        match event {
            Event::Proposed { proposals, .. } => {
                self.final_begun = false;
                self.touched.extend(proposals.iter().map(|p| p.trial));
                self.samples.resize(study.trials().len(), 0);
            }
            Event::Finished { trial, attempt, .. } => {
                let counts = study.trial(*trial).is_some_and(|t| t.attempt == *attempt);
                if let Some(kept) = self.samples.get_mut(*trial as usize).filter(|_| counts) {
                    *kept = samples;
                }
                self.touched.extend(sharing(study, *trial));
            }
            Event::Retried { trial, .. } => self.touched.extend(sharing(study, *trial)),
            Event::Observed { rewards, .. } => self.touched.extend(rewards.iter().map(|r| r.0)),
            Event::FinalStarted { .. } => self.final_begun = true,
            _ => {}
        }
    }

    /// Brings the view up to the events taken in.
    pub(super) fn settle(&mut self) {
        let Some(study) = &self.study else { return };
        let mut trials = self.view.take().map_or(vec![], |v| v.trials);
        for id in std::mem::take(&mut self.touched) {
            let Some(trial) = study.trial(id) else {
                continue;
            };
            let mut shown = search::trial(trial);
            let original = trial.duplicate_of.unwrap_or(id) as usize;
            if let Some(latency) = &mut shown.latency {
                latency.samples = u64::from(self.samples.get(original).copied().unwrap_or(0));
            }
            place(&mut trials, id, shown);
        }
        self.view = Some(View::with_trials(study, trials));
        self.shown = self.seq;
    }

    /// The view, once there is an event.
    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The fold, without samples, curves and snapshots.
    pub(super) fn study(&self) -> Option<&Study> {
        self.study.as_ref()
    }

    /// Events that the view shows.
    pub(super) fn shown(&self) -> u64 {
        self.shown
    }

    /// The last events with their times, the newest first.
    pub(super) fn last(&self) -> &VecDeque<(u64, String)> {
        &self.last
    }

    /// Whether a trial can still join the final round.
    pub(super) fn takes_finalists(&self) -> bool {
        let ended = self.study.as_ref().is_some_and(|s| s.ended_ms().is_some());
        !self.final_begun && !ended
    }
}

/// Ids come in order, so a new one is the next.
fn place(trials: &mut Vec<TrialView>, id: u64, shown: TrialView) {
    match trials.get_mut(id as usize) {
        Some(old) => *old = shown,
        None => trials.push(shown),
    }
}

/// A trial and those that share its outcome, which come after it.
fn sharing(study: &Study, id: u64) -> impl Iterator<Item = u64> + '_ {
    let later = study.trials().iter().skip(id as usize);
    later
        .filter(move |t| t.id == id || t.duplicate_of == Some(id))
        .map(|t| t.id)
}

/// Drops an event's bulk.
fn lighten(event: &mut Event) {
    match event {
        Event::Finished { outcome, .. } => match outcome {
            Outcome::Done(m) => {
                let last = m.curve.len().saturating_sub(1);
                m.curve.drain(..last);
                m.curve.shrink_to_fit();
                m.latency.samples_ms = vec![];
            }
            Outcome::TooSlow { latency, .. } => latency.samples_ms = vec![],
            Outcome::Stopped { latency, curve, .. } => {
                latency.samples_ms = vec![];
                *curve = vec![];
            }
            Outcome::Infeasible { .. } | Outcome::Failed(_) | Outcome::Lost { .. } => {}
        },
        Event::Observed { snapshot, .. } => *snapshot = String::new(),
        _ => {}
    }
}

/// An event in a sentence.
pub(super) fn words(event: &Event) -> String {
    use crate::format::{count, ms, percent, significant};
    match event {
        Event::Started { .. } => "The study was made".into(),
        Event::Target { target_ms, .. } => format!("The target is {}", ms(*target_ms)),
        Event::Proposed { batch, proposals } => {
            let n = count(proposals.len() as u64, "network");
            format!("Batch {batch}: {n} proposed")
        }
        Event::Retried {
            trial,
            attempt,
            reason,
        } => format!("Trial {trial}: attempt {attempt} begins, because {reason}"),
        Event::Finished { trial, outcome, .. } => match outcome {
            Outcome::Done(m) => {
                let (accuracy, latency) = (percent(m.accuracy), ms(m.latency.median_ms));
                format!("Trial {trial}: {accuracy} at {latency}")
            }
            Outcome::TooSlow { latency, .. } => {
                format!("Trial {trial}: too slow, {}", ms(latency.median_ms))
            }
            other => match search::why_not(other) {
                Some(failure) => format!("Trial {trial}: {}, {}", failure.kind, failure.message),
                None => format!("Trial {trial} ended"),
            },
        },
        Event::Observed { batch, rewards, .. } => {
            let best = rewards.iter().filter_map(|r| r.1).max_by(f64::total_cmp);
            let best = best.map(|r| format!(", best reward {}", significant(r)));
            format!("Batch {batch}: learnt from{}", best.unwrap_or_default())
        }
        Event::Extended { trials } => format!("Extended to {}", count(*trials, "proposal")),
        Event::Stopped { reason } => format!("Stopped: {reason}"),
        Event::FinalStarted { finalists } => {
            let n = count(finalists.len() as u64, "network");
            format!("The final round begins with {n}")
        }
        Event::FinalDone { result } => format!("Final round: {} is done", result.entry.name),
        Event::Ended { .. } => "The study is complete".into(),
    }
}

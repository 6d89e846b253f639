//! One run of a study: its events, its clock and its jobs.

mod jobs;
mod spent;

use std::collections::BTreeSet;
use std::path::PathBuf;

use mnas_search::{CurvePoint, Event, Outcome, Space, Study};

use crate::error::StudyError;
use crate::job::{DataJob, JobId, Net};
use crate::plan::Plan;
use crate::run::Rig;
use crate::tensorboard::TensorBoard;
use crate::update::{Phase, Update};
use crate::view;

pub(crate) use jobs::{JobEnd, Jobs, Work, measure_id, train_id};
pub(crate) use spent::Spent;

/// Whether a part of the study came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It did.
    Done,
    /// A stop was asked for.
    Stopped,
}

/// A study under way. Events go through [`Session::append`], which keeps fold and store alike.
pub(crate) struct Session<'a> {
    rig: Rig<'a>,
    plan: Plan,
    space: Space,
    study: Study,
    spent: Spent,
    /// Position of the last event.
    seq: u64,
    /// Whether a final stage has begun that knows all trials.
    final_begun: bool,
    /// Batches that were observed before this run.
    observed_before: u32,
    board: Option<TensorBoard>,
}

impl<'a> Session<'a> {
    /// Folds what the store holds.
    pub(crate) fn open(rig: Rig<'a>) -> Result<Self, StudyError> {
        let events = rig.store.read_from(1)?;
        let study = view::fold(&events)?;
        let plan = view::plan(&study)?;
        plan.check()?;
        let space = plan.space()?;
        let (spent, seq, final_begun) = (Spent::default(), 0, false);
        let open = study.open_batches().len() as u32;
        let observed_before = study.batches().len() as u32 - open;
        let mut session = Self {
            rig,
            plan,
            space,
            study,
            spent,
            seq,
            final_begun,
            observed_before,
            board: None,
        };
        events
            .iter()
            .for_each(|s| session.note(s.time_ms, s.seq, &s.event));
        if session.plan.tensorboard {
            let folder = session.rig.dir.tensorboard();
            match TensorBoard::open(folder, &session.study, &events) {
                Ok(board) => session.board = Some(board),
                Err(e) => session.warn(format!("TensorBoard's event files can't be written: {e}")),
            }
        }
        Ok(session)
    }

    /// Applies events, then stores them; in this order, because the fold refuses an event that
    /// can't follow, and an event that is stored must fold for ever.
    pub(crate) fn append(&mut self, events: Vec<Event>) -> Result<(), StudyError> {
        self.append_at(self.rig.clock.now_ms(), events)
    }

    fn append_at(&mut self, time_ms: u64, events: Vec<Event>) -> Result<(), StudyError> {
        for (event, seq) in events.iter().zip(self.seq + 1..) {
            self.study
                .apply(event)
                .map_err(|source| StudyError::Fold { seq, source })?;
        }
        let first = self.seq + 1;
        self.rig.store.append(time_ms, &events)?;
        events
            .iter()
            .zip(first..)
            .for_each(|(e, seq)| self.note(time_ms, seq, e));
        self.plot(|board, study| events.iter().try_for_each(|e| board.add(study, time_ms, e)));
        Ok(())
    }

    /// Writes to TensorBoard's event files. A failure ends them, not the study.
    fn plot(&mut self, write: impl FnOnce(&mut TensorBoard, &Study) -> std::io::Result<()>) {
        let Some(board) = &mut self.board else {
            return;
        };
        if let Err(e) = write(board, &self.study) {
            self.board = None;
            self.warn(format!(
                "TensorBoard's event files are written no longer: {e}"
            ));
        }
    }

    /// Takes in what the fold doesn't know of a stored event.
    fn note(&mut self, time_ms: u64, seq: u64, event: &Event) {
        self.seq = seq;
        self.spent.add(time_ms, event);
        match event {
            Event::FinalStarted { .. } => self.final_begun = true,
            Event::Proposed { .. } => self.final_begun = false,
            _ => {}
        }
    }

    /// Records that the run before this one ended without a word, as of its last event, so that
    /// the time between doesn't count; and starts trials that were under way afresh, so that a
    /// result of the old attempt, should it still come, doesn't count either. Attempts that go on
    /// in a cluster stay the ones that count.
    pub(crate) fn note_interruption(&mut self) -> Result<(), StudyError> {
        if let Some(time_ms) = self.spent.unclosed() {
            let reason = "the program ended without a word".into();
            self.append_at(time_ms, vec![Event::Stopped { reason }])?;
        }
        let adopted: BTreeSet<(JobId, u32)> = self.rig.executor.adopt()?.into_iter().collect();
        let goes_on = |trial: u64, attempt: u32| {
            let ids = [jobs::measure_id(trial), jobs::train_id(trial)];
            ids.into_iter().any(|id| adopted.contains(&(id, attempt)))
        };
        let reason = "the run before was interrupted";
        let mut retried = vec![];
        for trial in self.unfinished() {
            let attempt = self.study.trials()[trial as usize].attempt;
            if !goes_on(trial, attempt) {
                retried.push(Event::Retried {
                    trial,
                    attempt: attempt + 1,
                    reason: reason.into(),
                });
            }
        }
        if retried.is_empty() {
            Ok(())
        } else {
            self.append(retried)
        }
    }

    /// Trials of open batches that are to be evaluated and have no outcome.
    pub(crate) fn unfinished(&self) -> Vec<u64> {
        let batches = self.study.open_batches().iter();
        let trials = batches.flat_map(|b| self.study.trials_of(b));
        let open = trials.filter(|t| t.duplicate_of.is_none() && t.outcome.is_none());
        open.map(|t| t.id).collect()
    }

    /// Stores a trial's outcome and tells of it, and of the duplicates that share it.
    pub(crate) fn finish(&mut self, trial: u64, outcome: Outcome) -> Result<(), StudyError> {
        let attempt = self.study.trials()[trial as usize].attempt;
        let event = Event::Finished {
            trial,
            attempt,
            outcome: outcome.clone(),
        };
        self.append(vec![event])?;
        self.tell(Update::Trial {
            trial,
            outcome,
            duplicate_of: None,
        });
        Ok(())
    }

    /// Whether a final stage has begun for the trials there are: an extension's trials ask for a
    /// new one.
    pub(crate) fn final_begun(&self) -> bool {
        self.final_begun
    }

    /// Whether a batch was observed in this run.
    pub(crate) fn observed_now(&self, batch: u32) -> bool {
        batch >= self.observed_before
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn study(&self) -> &Study {
        &self.study
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.rig.clock.now_ms()
    }

    pub(crate) fn dir(&self) -> &crate::dir::StudyDir {
        &self.rig.dir
    }

    pub(crate) fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Seconds of searching so far, over all runs.
    pub(crate) fn search_seconds(&self) -> f64 {
        self.spent.seconds()
    }

    pub(crate) fn stop_requested(&self) -> bool {
        self.rig.stop.requested() || self.rig.dir.stop_asked()
    }

    pub(crate) fn tell(&mut self, update: Update) {
        if let Update::Job {
            name,
            epoch: Some(epoch),
            loss: Some(loss),
            accuracy,
            ..
        } = &update
            && self.final_begun
        {
            let (time_ms, epoch, loss, accuracy) = (self.now_ms(), *epoch, *loss, *accuracy);
            let point = CurvePoint {
                epoch,
                loss,
                accuracy,
            };
            self.plot(|board, _| board.curve(name, time_ms, &[point]));
        }
        (self.rig.observer)(&update);
    }

    pub(crate) fn warn(&mut self, message: String) {
        tracing::warn!("{message}");
        self.tell(Update::Warning { message });
    }

    pub(crate) fn begin(&mut self, phase: Phase, jobs: usize) {
        self.tell(Update::Phase {
            phase,
            jobs: jobs as u64,
        });
    }

    /// How workers open the images.
    pub(crate) fn data_job(&self) -> DataJob {
        let data = &self.plan.data;
        DataJob {
            source: data.source.clone(),
            image_size: data.image_size,
            validation_fraction: data.validation_fraction,
            split_seed: data.split_seed,
            cache_dir: PathBuf::clone(&self.rig.cache_dir),
            fingerprint: data.fingerprint.clone(),
        }
    }

    /// A network at the study's images and classes.
    pub(crate) fn net(&self, name: &str, spec: &str) -> Net {
        Net {
            name: name.into(),
            spec: spec.into(),
            input: self.plan.data.shape,
            classes: self.plan.data.classes.len(),
        }
    }
}

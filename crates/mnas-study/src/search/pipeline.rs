//! Batches that overlap: while the oldest is waited for, the next ones are evaluated. Each trial
//! goes its own way from measuring to training; rewards still come batch by batch, in order, and
//! each batch is proposed in the state that the plan says, so that proposals depend on the plan
//! alone. That nothing is measured beside a training is the executor's doing here.

use mnas_search::Controller;

use super::candidate::{Candidates, admit};
use super::{budget, observe, propose};
use crate::error::StudyError;
use crate::job::Job;
use crate::session::{Flow, JobEnd, Jobs, Session, Work};
use crate::update::Phase;

/// Runs batches until the budget is spent.
pub(super) fn run(
    session: &mut Session<'_>,
    controller: &mut dyn Controller,
) -> Result<Flow, StudyError> {
    let mut pipeline = Pipeline::default();
    let result = pipeline.run(session, controller);
    session.cancel_jobs_unless_done(&result);
    result
}

#[derive(Default)]
struct Pipeline {
    jobs: Jobs,
    candidates: Candidates,
}

impl Pipeline {
    fn run(
        &mut self,
        session: &mut Session<'_>,
        controller: &mut dyn Controller,
    ) -> Result<Flow, StudyError> {
        self.admit_new(session)?;
        loop {
            // One batch follows each that was observed, in the state that it left.
            while session.study().open_batches().len() as u32 <= session.plan().staleness
                && !session.stop_requested()
                && !budget::spent(session)
            {
                propose(session, controller)?;
                self.admit_new(session)?;
            }
            let Some(oldest) = session.study().open_batch() else {
                return Ok(match session.stop_requested() {
                    true => Flow::Stopped,
                    false => Flow::Done,
                });
            };
            let mut trials = session.study().trials_of(oldest).iter();
            if trials.all(|t| t.outcome.is_some()) {
                observe(session, controller)?;
                budget::check_failures(session)?;
                continue;
            }
            let Some(ends) = session.wait(&mut self.jobs)? else {
                return Ok(Flow::Stopped);
            };
            for (work, end) in ends {
                self.ended(session, work, end)?;
            }
        }
    }

    /// Begins with the trials that were proposed and not begun.
    fn admit_new(&mut self, session: &mut Session<'_>) -> Result<(), StudyError> {
        let batches = session.study().batches().len();
        for trial in session.unfinished() {
            if self.candidates.contains_key(&trial) {
                continue;
            }
            match admit(session, trial)? {
                Ok(candidate) => {
                    session.start(&mut self.jobs, candidate.measuring(session));
                    self.candidates.insert(trial, candidate);
                }
                Err(outcome) => session.finish(trial, outcome)?,
            }
        }
        let batch = batches.saturating_sub(1) as u32;
        session.begin(Phase::Train { batch }, self.jobs.len());
        Ok(())
    }

    /// Goes on with a trial whose job ended.
    fn ended(
        &mut self,
        session: &mut Session<'_>,
        work: Work,
        end: JobEnd,
    ) -> Result<(), StudyError> {
        let trial = work.trial.unwrap_or_default();
        let Some(candidate) = self.candidates.get_mut(&trial) else {
            return Err(StudyError::WrongAnswer { job: work.name });
        };
        let outcome = if matches!(work.job, Job::Measure(_)) {
            match candidate.measured(work, end)? {
                Err(outcome) => Some(outcome),
                Ok(()) => candidate.too_slow(session),
            }
        } else {
            Some(candidate.trained(session, work, end)?)
        };
        match outcome {
            Some(outcome) => {
                self.candidates.remove(&trial);
                session.finish(trial, outcome)
            }
            None => {
                session.start(&mut self.jobs, candidate.training(session));
                Ok(())
            }
        }
    }
}

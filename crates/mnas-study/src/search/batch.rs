//! One batch: limits, then latencies, then training, each over all networks before the next, so
//! that nothing is measured while something trains.

use super::candidate::{Candidate, Candidates, admit};
use crate::error::StudyError;
use crate::session::{Flow, Session, Work};
use crate::update::Phase;

/// Finds the outcome of every trial of the open batch that has none.
pub(super) fn evaluate_batch(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    let mut candidates = feasible(session)?;
    if measure(session, &mut candidates)? == Flow::Stopped {
        return Ok(Flow::Stopped);
    }
    drop_too_slow(session, &mut candidates)?;
    train(session, &candidates)
}

/// Builds each network and holds it against the limits.
fn feasible(session: &mut Session<'_>) -> Result<Candidates, StudyError> {
    let mut candidates = Candidates::new();
    for trial in session.unfinished() {
        match admit(session, trial)? {
            Ok(candidate) => drop(candidates.insert(trial, candidate)),
            Err(outcome) => session.finish(trial, outcome)?,
        }
    }
    Ok(candidates)
}

/// Measures each candidate; those that fail are finished and leave.
fn measure(session: &mut Session<'_>, candidates: &mut Candidates) -> Result<Flow, StudyError> {
    let works = candidates.values().map(|c| c.measuring(session));
    let works: Vec<Work> = works.collect();
    if works.is_empty() {
        return Ok(Flow::Done);
    }
    let batch = open_batch(session);
    session.begin(Phase::Measure { batch }, works.len());
    session.run_jobs(works, &mut |session, work, end| {
        let trial = work.trial.unwrap_or_default();
        let Some(candidate) = candidates.get_mut(&trial) else {
            return Err(StudyError::WrongAnswer { job: work.name });
        };
        match candidate.measured(work, end)? {
            Ok(()) => Ok(()),
            Err(outcome) => {
                candidates.remove(&trial);
                session.finish(trial, outcome)
            }
        }
    })
}

/// Finishes candidates too far over the target to be worth training.
fn drop_too_slow(session: &mut Session<'_>, candidates: &mut Candidates) -> Result<(), StudyError> {
    let slow = candidates.values();
    let slow = slow.filter_map(|c| Some((c.trial, c.too_slow(session)?)));
    for (trial, outcome) in slow.collect::<Vec<_>>() {
        candidates.remove(&trial);
        session.finish(trial, outcome)?;
    }
    Ok(())
}

/// Trains the candidates that are left, the largest first, so that no long one is left to run
/// alone at the end.
fn train(session: &mut Session<'_>, candidates: &Candidates) -> Result<Flow, StudyError> {
    if candidates.is_empty() {
        return Ok(Flow::Done);
    }
    let mut order: Vec<&Candidate> = candidates.values().collect();
    order.sort_by_key(|c| (std::cmp::Reverse(c.macs), c.trial));
    let works: Vec<Work> = order.iter().map(|c| c.training(session)).collect();
    let batch = open_batch(session);
    session.begin(Phase::Train { batch }, works.len());
    session.run_jobs(works, &mut |session, work, end| {
        let trial = work.trial.unwrap_or_default();
        let Some(candidate) = candidates.get(&trial) else {
            return Err(StudyError::WrongAnswer { job: work.name });
        };
        let outcome = candidate.trained(session, work, end)?;
        session.finish(trial, outcome)
    })
}

fn open_batch(session: &Session<'_>) -> u32 {
    session.study().open_batch().map_or(0, |b| b.index)
}

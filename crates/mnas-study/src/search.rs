//! Stage 1: the target, then batch after batch of propose, measure, train, observe.

mod batch;
mod budget;
mod candidate;
mod controller;
mod pipeline;
mod target;

use mnas_search::{Controller, Event, Observation, Proposal};

use crate::error::StudyError;
use crate::session::{Flow, Session};
use crate::update::Update;

use batch::evaluate_batch;
pub(crate) use candidate::trial_name;
pub(crate) use target::{find_target, measure, probe};

/// Runs batches until the budget is spent.
pub(crate) fn search(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    // A final stage that has begun is gone on with; only an extension, which clears the end, goes
    // back to searching.
    if budget::spent(session) && session.study().open_batch().is_none() {
        return Ok(Flow::Done);
    }
    let mut controller = controller::rebuild(session)?;
    if session.plan().staleness > 0 {
        return pipeline::run(session, &mut *controller);
    }
    loop {
        if session.study().open_batch().is_none() {
            if session.stop_requested() {
                return Ok(Flow::Stopped);
            }
            if budget::spent(session) {
                return Ok(Flow::Done);
            }
            propose(session, &mut *controller)?;
        }
        if evaluate_batch(session)? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
        observe(session, &mut *controller)?;
        budget::check_failures(session)?;
    }
}

fn propose(session: &mut Session<'_>, controller: &mut dyn Controller) -> Result<(), StudyError> {
    let study = session.study();
    let batch = study.batches().len() as u32;
    let first = study.trials().len() as u64;
    let left = budget::trials(session) - first;
    let mut proposals: Vec<Proposal> = vec![];
    for trial in first..first + left.min(u64::from(session.plan().batch)) {
        let tokens = controller.propose(trial);
        let spec = session.space().decode(&tokens);
        let spec = spec.map_err(|source| StudyError::Decode { trial, source })?;
        let hash = spec.hash();
        let in_batch = proposals
            .iter()
            .find(|p| p.duplicate_of.is_none() && p.hash == hash);
        let duplicate_of = in_batch
            .map(|p| p.trial)
            .or_else(|| session.study().original(&hash));
        let spec = spec.canonical().to_string();
        proposals.push(Proposal {
            trial,
            tokens,
            spec,
            hash,
            duplicate_of,
        });
    }
    session.append(vec![Event::Proposed { batch, proposals }])
}

/// Rewards in trial order, and the controller's update, once every trial has its outcome.
fn observe(session: &mut Session<'_>, controller: &mut dyn Controller) -> Result<(), StudyError> {
    let study = session.study();
    let (Some(batch), Some(objective)) = (study.open_batch(), study.objective()) else {
        return Ok(());
    };
    let observations: Vec<Observation> = study
        .trials_of(batch)
        .iter()
        .map(|t| Observation {
            trial: t.id,
            tokens: t.tokens.clone(),
            reward: t.outcome.as_ref().and_then(|o| objective.outcome_reward(o)),
            accuracy: t.observed_accuracy(),
            latency_ms: t.latency_ms(),
        })
        .collect();
    let duplicates: Vec<Update> = study
        .trials_of(batch)
        .iter()
        .filter_map(|t| {
            let duplicate_of = Some(t.duplicate_of?);
            Some(Update::Trial {
                trial: t.id,
                outcome: t.outcome.clone()?,
                duplicate_of,
            })
        })
        .collect();
    let batch = batch.index;
    controller.observe(&observations);
    let event = Event::Observed {
        batch,
        rewards: observations.iter().map(|o| (o.trial, o.reward)).collect(),
        snapshot: controller.snapshot(),
        diagnostics: controller.diagnostics(),
    };
    session.append(vec![event])?;
    duplicates.into_iter().for_each(|u| session.tell(u));
    let study = session.study();
    let update = Update::Batch {
        batch,
        trials: (study.trials().len() as u64, budget::trials(session)),
        best: study.best().and_then(|t| Some((t.id, t.reward?))),
        eta_seconds: budget::eta_seconds(session),
    };
    session.tell(update);
    Ok(())
}

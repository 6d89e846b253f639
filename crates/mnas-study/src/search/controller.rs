//! The controller as the study left it.

use mnas_search::{Controller, Images, Setup, build};

use crate::error::StudyError;
use crate::session::Session;

/// Builds the controller and brings it to where the study stands: from the newest snapshot, or,
/// where there is none, by replaying every batch. Either way it then proposes the open batch again,
/// so that whatever it keeps of its proposals until they are observed is there.
pub(super) fn rebuild(session: &Session<'_>) -> Result<Box<dyn Controller>, StudyError> {
    let plan = session.plan();
    let study = session.study();
    // The number of trials as planned, also after an extension: a controller whose settings follow
    // from it must stay the same one.
    let objective = study.objective().ok_or(StudyError::NoTarget)?;
    let setup = Setup::of(session.space(), objective)
        .for_images(Images {
            input: plan.data.input(),
            classes: plan.data.classes.len(),
        })
        .seed(plan.seed)
        .planned(plan.trials, u64::from(plan.batch));
    let built = build(&plan.controller, &setup);
    let mut controller = built.map_err(crate::plan::PlanError::from)?;
    match study.snapshot().filter(|s| !s.is_empty()) {
        Some(snapshot) => controller.restore(snapshot)?,
        None => replay(&mut *controller, session)?,
    }
    let observed = (study.batches().len() - study.open_batches().len()) as u32;
    // Open batches that were proposed in an earlier state can't be proposed again in this one.
    for open in study.open_batches().iter().filter(|b| b.seen == observed) {
        repropose(&mut *controller, session, open.trials())?;
    }
    Ok(controller)
}

/// Proposes and observes all batches again, in the order that the study did.
fn replay(controller: &mut dyn Controller, session: &Session<'_>) -> Result<(), StudyError> {
    let study = session.study();
    let mut observed = 0;
    let mut observe_up_to = |controller: &mut dyn Controller, end: u32| {
        while observed < end
            && let Some(observations) = study.observations(observed)
        {
            controller.observe(&observations);
            observed += 1;
        }
    };
    for batch in study.batches() {
        observe_up_to(controller, batch.seen);
        repropose(controller, session, batch.trials())?;
    }
    observe_up_to(controller, study.batches().len() as u32);
    Ok(())
}

fn repropose(
    controller: &mut dyn Controller,
    session: &Session<'_>,
    trials: std::ops::Range<u64>,
) -> Result<(), StudyError> {
    for trial in trials {
        let stored = session.study().trial(trial).map(|t| &t.tokens);
        if stored != Some(&controller.propose(trial)) {
            return Err(StudyError::Replay { trial });
        }
    }
    Ok(())
}

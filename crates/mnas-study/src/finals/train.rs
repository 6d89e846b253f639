//! Training in full.

use std::cmp::Reverse;

use mnas_net::cost;
use mnas_search::{Failure, FailureKind, FinalEntry, Study};

use super::{Entries, trial_of};
use crate::error::StudyError;
use crate::evaluate;
use crate::job::{Job, JobId, JobOutput, TrainJob};
use crate::plan::Plan;
use crate::session::{Flow, JobEnd, Session, Work};
use crate::update::{Phase, Update};

/// Trains all entries with the full recipe, the largest first.
pub(super) fn train(
    session: &mut Session<'_>,
    entries: &[FinalEntry],
    progress: &mut Entries,
) -> Result<Flow, StudyError> {
    let mut works: Vec<(u64, Work)> = vec![];
    for entry in entries {
        match evaluate::graph(&session.net(&entry.name, &entry.spec)) {
            Ok(graph) => works.push((cost(&graph).macs, work(session, entry))),
            Err(failure) => progress.entry(entry.name.clone()).or_default().failure = Some(failure),
        }
    }
    works.sort_by_key(|(macs, work)| (Reverse(*macs), work.name.clone()));
    session.begin(Phase::FinalTrain, works.len());
    let macs = works.iter().map(|(macs, _)| *macs);
    let seconds = eta_seconds(session.study(), session.plan(), macs.sum());
    session.tell(Update::FinalEta {
        networks: works.len() as u64,
        seconds,
    });
    let works = works.into_iter().map(|(_, work)| work).collect();
    session.run_jobs(works, &mut |_, work, end| {
        let entry = progress.entry(work.name.clone()).or_default();
        match end {
            JobEnd::Done(JobOutput::Trained(net)) => entry.trained = Some(net),
            JobEnd::Done(_) => return Err(StudyError::WrongAnswer { job: work.name }),
            JobEnd::Failed(failure) => entry.failure = Some(failure),
            JobEnd::Lost { attempts, message } => {
                let message = format!("lost {attempts} time(s): {message}");
                entry.failure = Some(Failure {
                    kind: FailureKind::Crashed,
                    message,
                });
            }
        }
        Ok(())
    })
}

fn work(session: &Session<'_>, entry: &FinalEntry) -> Work {
    let plan = session.plan();
    let weights = session.dir().weights(&entry.name);
    Work {
        name: entry.name.clone(),
        id: JobId(format!("final-{}-train", entry.name.replace(' ', "-"))),
        trial: None,
        job: Job::Train(TrainJob {
            net: session.net(&entry.name, &entry.spec),
            data: session.data_job(),
            recipe: plan.full.clone(),
            seed: plan.seed,
            trial: trial_of(entry),
            threads: plan.threads,
            cut: None,
            weights_out: Some(weights),
            checkpoint: Some(session.dir().checkpoint(&entry.name)),
        }),
    }
}

/// Seconds that training networks of `macs` multiply-accumulates in all may take: the trials'
/// median pace per multiply-accumulate and epoch, which the proxy's subset of images and the
/// number of workers correct.
fn eta_seconds(study: &Study, plan: &Plan, macs: u64) -> Option<f64> {
    let done = study.done().filter_map(|t| t.metrics());
    let mut paces: Vec<f64> = done
        .filter(|m| m.macs > 0)
        .map(|m| m.train_seconds / (m.macs as f64 * plan.proxy.epochs))
        .collect();
    paces.sort_by(f64::total_cmp);
    let pace = *paces.get(paces.len() / 2)?;
    let images = match (plan.full.train_images, plan.proxy.train_images) {
        (Some(full), Some(proxy)) if proxy > 0 => full as f64 / proxy as f64,
        (None, None) => 1.0,
        // How many images "all" are isn't known here.
        _ => return None,
    };
    Some(pace * macs as f64 * plan.full.epochs * images / plan.workers as f64)
}

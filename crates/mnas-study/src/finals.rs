//! The final stage: the search's best networks and the references, trained in full with one
//! recipe, measured interleaved, tested once, exported.

mod export;
mod pick;
mod references;
mod train;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mnas_deploy::{EngineId, Precision};
use mnas_net::cost;
use mnas_search::{
    Event, Failure, FailureKind, FinalEntry, FinalKind, FinalOutcome, FinalResult, LatencyRecord,
};

use crate::error::StudyError;
use crate::evaluate;
use crate::job::{
    Int8Job, Job, JobId, JobOutput, MeasureJob, Net, TestJob, Tested, TrainedNet, WeightsFrom,
};
use crate::session::{Flow, JobEnd, Session, Work};
use crate::update::Phase;

/// What is known of an entry on its way through the stage.
#[derive(Debug, Clone, Default)]
struct Progress {
    trained: Option<TrainedNet>,
    latency: Option<LatencyRecord>,
    tested: Option<Tested>,
    files: Vec<String>,
    failure: Option<Failure>,
}

type Entries = BTreeMap<String, Progress>;

/// Runs the stage, or goes on with it. Trained weights are files, so that only what isn't trained
/// yet is trained; results are stored together at the end.
pub(crate) fn final_stage(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    if session.plan().finalists == 0 {
        return Ok(Flow::Done);
    }
    if !session.final_begun() {
        let finalists = pick::finalists(session);
        if finalists.is_empty() {
            session.warn("no trial was trained to the end, so there is no final stage".into());
            return Ok(Flow::Done);
        }
        let Some(references) = references::pick(session)? else {
            return Ok(Flow::Stopped);
        };
        let finalists = finalists.into_iter().chain(references).collect();
        session.append(vec![Event::FinalStarted { finalists }])?;
        session.dir().forget_promoted(&session.dir().promoted());
    }
    let entries: Vec<FinalEntry> = session.study().finalists().to_vec();
    if session.study().finals().len() == entries.len() {
        return Ok(Flow::Done);
    }
    let mut progress: Entries = entries
        .iter()
        .map(|e| (e.name.clone(), Progress::default()))
        .collect();
    if train::train(session, &entries, &mut progress)? == Flow::Stopped
        || measure(session, &entries, &mut progress)? == Flow::Stopped
        || test(session, &entries, &mut progress)? == Flow::Stopped
    {
        return Ok(Flow::Stopped);
    }
    session.begin(Phase::Export, entries.len());
    for entry in &entries {
        if let Some(p) = progress.get_mut(&entry.name) {
            export::export(session, entry, p)?;
        }
    }
    let stored = session.study().finals();
    let missing = entries
        .iter()
        .filter(|e| stored.iter().all(|r| r.entry != **e));
    let results = missing.map(|entry| result(session, entry, &progress[&entry.name]));
    let results = results.map(|result| Event::FinalDone { result }).collect();
    session.append(results)?;
    Ok(Flow::Done)
}

/// Measures all trained entries in one go, round by round, with their trained weights.
fn measure(
    session: &mut Session<'_>,
    entries: &[FinalEntry],
    progress: &mut Entries,
) -> Result<Flow, StudyError> {
    let alive = alive(session, entries, progress);
    if alive.is_empty() {
        return Ok(Flow::Done);
    }
    session.begin(Phase::FinalMeasure, alive.len());
    let names: Vec<String> = alive.iter().map(|(net, _)| net.name.clone()).collect();
    let job = Job::Measure(MeasureJob {
        device: session.plan().device.clone(),
        nets: alive,
        plan: session.plan().measure_final.clone(),
    });
    one_job(
        session,
        "final-measure",
        "final measuring",
        job,
        &mut |output| match output {
            JobOutput::Measured(measured) if measured.records.len() == names.len() => {
                for (name, record) in names.iter().zip(measured.records) {
                    let entry = progress.entry(name.clone()).or_default();
                    match record {
                        Ok(latency) => entry.latency = Some(latency),
                        Err(failure) => entry.failure = Some(failure),
                    }
                }
                true
            }
            _ => false,
        },
    )
}

/// Evaluates all measured entries on the test split: the one time that it is looked at.
fn test(
    session: &mut Session<'_>,
    entries: &[FinalEntry],
    progress: &mut Entries,
) -> Result<Flow, StudyError> {
    let alive = alive(session, entries, progress);
    if alive.is_empty() {
        return Ok(Flow::Done);
    }
    let names: Vec<String> = alive.iter().map(|(net, _)| net.name.clone()).collect();
    let data = session.data_job();
    let int8 = match session.plan().measure_final.precision {
        Precision::Int8 => Some(int8_job(session, entries, progress)),
        _ => None,
    };
    let job = Job::Test(TestJob {
        nets: alive,
        data,
        threads: session.plan().threads,
        int8,
    });
    one_job(
        session,
        "final-test",
        "testing",
        job,
        &mut |output| match output {
            JobOutput::Tested(tested) if tested.len() == names.len() => {
                for (name, tested) in names.iter().zip(tested) {
                    progress.entry(name.clone()).or_default().tested = Some(tested);
                }
                true
            }
            _ => false,
        },
    )
}

/// What the 8-bit test needs: the engine of the study's device, or the one that would stand in for it
/// here, and where finalists' files go.
fn int8_job(session: &Session<'_>, entries: &[FinalEntry], progress: &Entries) -> Int8Job {
    let device = &session.plan().device;
    let named = device
        .name
        .strip_prefix("host:")
        .and_then(|e| e.parse().ok());
    let here = mnas_deploy::engines();
    let engine = named.or_else(|| here.first().map(|(id, _)| *id));
    let engine = engine.unwrap_or(EngineId::Rten);
    let label = here.iter().find(|(id, _)| *id == engine);
    let alive = entries
        .iter()
        .filter(|e| progress[&e.name].failure.is_none());
    Int8Job {
        engine,
        engine_label: label.map_or_else(|| engine.to_string(), |(_, label)| label.clone()),
        files: alive
            .map(|entry| export::int8_target(session, entry, &progress[&entry.name]))
            .collect(),
    }
}

/// Entries that haven't failed, with their trained weights.
fn alive(
    session: &Session<'_>,
    entries: &[FinalEntry],
    progress: &Entries,
) -> Vec<(Net, WeightsFrom)> {
    let alive = entries
        .iter()
        .filter(|e| progress[&e.name].failure.is_none());
    let net = |e: &FinalEntry| {
        let weights = WeightsFrom::File(session.dir().weights(&e.name));
        (session.net(&e.name, &e.spec), weights)
    };
    alive.map(net).collect()
}

/// Runs one job that the stage can't do without.
fn one_job(
    session: &mut Session<'_>,
    id: &str,
    name: &str,
    job: Job,
    take: &mut dyn FnMut(JobOutput) -> bool,
) -> Result<Flow, StudyError> {
    let work = Work {
        name: name.into(),
        id: JobId(id.into()),
        trial: None,
        job,
    };
    session.run_jobs(vec![work], &mut |_, work, end| match end {
        JobEnd::Done(output) => match take(output) {
            true => Ok(()),
            false => Err(StudyError::WrongAnswer { job: work.name }),
        },
        JobEnd::Failed(f) => Err(StudyError::JobLost {
            job: work.name,
            attempts: 1,
            message: f.message,
        }),
        JobEnd::Lost { attempts, message } => Err(StudyError::JobLost {
            job: work.name,
            attempts,
            message,
        }),
    })
}

fn result(session: &Session<'_>, entry: &FinalEntry, progress: &Progress) -> FinalResult {
    let graph = evaluate::graph(&session.net(&entry.name, &entry.spec));
    let outcome = match (
        &progress.failure,
        &progress.trained,
        &progress.latency,
        graph,
    ) {
        (None, Some(trained), Some(latency), Ok(graph)) => {
            let cost = cost(&graph);
            FinalOutcome::Done {
                validation_accuracy: trained.accuracy,
                test_accuracy: progress.tested.as_ref().map(|t| t.top1),
                test_top5: progress.tested.as_ref().map(|t| t.top5),
                int8: progress.tested.as_ref().and_then(|t| t.int8.clone()),
                latency: latency.clone(),
                params: cost.params,
                macs: cost.macs,
                curve: trained.curve.clone(),
                files: progress.files.clone(),
            }
        }
        (Some(failure), ..) => FinalOutcome::Failed(failure.clone()),
        (None, _, _, Err(failure)) => FinalOutcome::Failed(failure),
        (None, ..) => FinalOutcome::Failed(Failure {
            kind: FailureKind::Crashed,
            message: "no result came in".into(),
        }),
    };
    FinalResult {
        entry: entry.clone(),
        outcome,
    }
}

/// The trial that an entry comes from; references draw their weights as trial 0 does.
fn trial_of(entry: &FinalEntry) -> u64 {
    match entry.kind {
        FinalKind::Finalist { trial } => trial,
        FinalKind::Reference => 0,
    }
}

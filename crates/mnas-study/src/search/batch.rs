//! One batch: limits, then latencies, then training, each over all networks before the next, so
//! that nothing is measured while something trains.

use std::collections::BTreeMap;

use mnas_deploy::{Format, ModelMeta, export};
use mnas_net::{Graph, Purpose, Weights, cost, stream};
use mnas_search::{Failure, LatencyRecord, Limit, Metrics, Outcome};

use crate::error::StudyError;
use crate::evaluate;
use crate::job::{Job, JobId, JobOutput, MeasureJob, TrainJob, WeightsFrom};
use crate::session::{Flow, JobEnd, Session, Work};
use crate::update::Phase;

/// A network of the batch on its way to an outcome.
#[derive(Debug, Clone)]
struct Candidate {
    trial: u64,
    spec: String,
    params: u64,
    macs: u64,
    latency: Option<LatencyRecord>,
    measure_seconds: f64,
}

type Candidates = BTreeMap<u64, Candidate>;

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
        let spec = session.study().trials()[trial as usize].spec.clone();
        let graph = match evaluate::graph(&session.net(&trial_name(trial), &spec)) {
            Ok(graph) => graph,
            Err(failure) => {
                session.finish(trial, Outcome::Failed(failure))?;
                continue;
            }
        };
        match over_limit(session, &graph, trial) {
            Err(failure) => session.finish(trial, Outcome::Failed(failure))?,
            Ok(Some(infeasible)) => session.finish(trial, infeasible)?,
            Ok(None) => {
                let cost = cost(&graph);
                let (params, macs) = (cost.params, cost.macs);
                let new = Candidate {
                    trial,
                    spec,
                    params,
                    macs,
                    latency: None,
                    measure_seconds: 0.0,
                };
                candidates.insert(trial, new);
            }
        }
    }
    Ok(candidates)
}

fn over_limit(
    session: &Session<'_>,
    graph: &Graph,
    trial: u64,
) -> Result<Option<Outcome>, Failure> {
    let limits = &session.plan().limits;
    let cost = cost(graph);
    let mut values = vec![
        (Limit::Params, cost.params, limits.params),
        (
            Limit::ActivationBytes,
            cost.activation_bytes_peak,
            limits.activation_bytes,
        ),
    ];
    if limits.file_bytes.is_some() {
        let mut init = stream(session.plan().seed, trial, Purpose::Init);
        let weights = Weights::init(graph, &mut init);
        let file = export(graph, &weights, Format::Onnx, &ModelMeta::default());
        let file = file.map_err(|e| Failure {
            kind: mnas_search::FailureKind::Export,
            message: e.to_string(),
        })?;
        values.push((Limit::FileBytes, file.bytes.len() as u64, limits.file_bytes));
    }
    let over = values.into_iter().find_map(|(reason, value, allowed)| {
        let allowed = allowed.filter(|allowed| value > *allowed)?;
        Some(Outcome::Infeasible {
            reason,
            value,
            allowed,
        })
    });
    Ok(over)
}

/// Measures each candidate; those that fail are finished and leave.
fn measure(session: &mut Session<'_>, candidates: &mut Candidates) -> Result<Flow, StudyError> {
    let plan = session.plan();
    let (device, measure, seed) = (plan.device.clone(), plan.measure.clone(), plan.seed);
    let work = |c: &Candidate| Work {
        name: trial_name(c.trial),
        id: JobId(format!("trial-{}-measure", c.trial)),
        trial: Some(c.trial),
        job: Job::Measure(MeasureJob {
            device: device.clone(),
            nets: vec![(
                session.net(&trial_name(c.trial), &c.spec),
                WeightsFrom::Seed {
                    seed,
                    trial: c.trial,
                },
            )],
            plan: measure.clone(),
        }),
    };
    let works: Vec<Work> = candidates.values().map(work).collect();
    if works.is_empty() {
        return Ok(Flow::Done);
    }
    let batch = open_batch(session);
    session.begin(Phase::Measure { batch }, works.len());
    session.run_jobs(works, &mut |session, work, end| {
        let trial = work.trial.unwrap_or_default();
        let outcome = match end {
            JobEnd::Done(JobOutput::Measured(mut measured)) => match measured.records.pop() {
                Some(Ok(latency)) => {
                    if let Some(c) = candidates.get_mut(&trial) {
                        c.latency = Some(latency);
                        c.measure_seconds = measured.seconds;
                    }
                    return Ok(());
                }
                Some(Err(failure)) => Outcome::Failed(failure),
                None => return Err(StudyError::WrongAnswer { job: work.name }),
            },
            JobEnd::Done(_) => return Err(StudyError::WrongAnswer { job: work.name }),
            JobEnd::Failed(failure) => Outcome::Failed(failure),
            JobEnd::Lost { attempts, message } => Outcome::Lost { attempts, message },
        };
        candidates.remove(&trial);
        session.finish(trial, outcome)
    })
}

/// Finishes candidates too far over the target to be worth training.
fn drop_too_slow(session: &mut Session<'_>, candidates: &mut Candidates) -> Result<(), StudyError> {
    let Some(target_ms) = session.study().target_ms() else {
        return Ok(());
    };
    let most_ms = target_ms * session.plan().too_slow;
    let accuracy = session.plan().chance();
    let slow = |c: &Candidate| c.latency.as_ref().is_some_and(|l| l.median_ms > most_ms);
    let trials: Vec<u64> = candidates
        .values()
        .filter(|c| slow(c))
        .map(|c| c.trial)
        .collect();
    for trial in trials {
        if let Some(latency) = candidates.remove(&trial).and_then(|c| c.latency) {
            session.finish(trial, Outcome::TooSlow { latency, accuracy })?;
        }
    }
    Ok(())
}

/// Trains the candidates that are left, the largest first, so that no long one is left to run
/// alone at the end.
fn train(session: &mut Session<'_>, candidates: &Candidates) -> Result<Flow, StudyError> {
    if candidates.is_empty() {
        return Ok(Flow::Done);
    }
    let plan = session.plan();
    let (recipe, seed, threads) = (plan.proxy.clone(), plan.seed, plan.threads);
    let data = session.data_job();
    let mut order: Vec<&Candidate> = candidates.values().collect();
    order.sort_by_key(|c| (std::cmp::Reverse(c.macs), c.trial));
    let work = |c: &&Candidate| Work {
        name: trial_name(c.trial),
        id: JobId(format!("trial-{}-train", c.trial)),
        trial: Some(c.trial),
        job: Job::Train(TrainJob {
            net: session.net(&trial_name(c.trial), &c.spec),
            data: data.clone(),
            recipe: recipe.clone(),
            seed,
            trial: c.trial,
            threads,
            weights_out: None,
            checkpoint: None,
        }),
    };
    let works: Vec<Work> = order.iter().map(work).collect();
    let batch = open_batch(session);
    session.begin(Phase::Train { batch }, works.len());
    session.run_jobs(works, &mut |session, work, end| {
        let trial = work.trial.unwrap_or_default();
        let outcome = match end {
            JobEnd::Done(JobOutput::Trained(net)) => {
                let candidate = candidates.get(&trial);
                let Some((c, latency)) = candidate.and_then(|c| Some((c, c.latency.clone()?)))
                else {
                    return Err(StudyError::WrongAnswer { job: work.name });
                };
                Outcome::Done(Metrics {
                    accuracy: net.accuracy,
                    latency,
                    params: c.params,
                    macs: c.macs,
                    curve: net.curve,
                    train_seconds: net.seconds,
                    measure_seconds: c.measure_seconds,
                })
            }
            JobEnd::Done(_) => return Err(StudyError::WrongAnswer { job: work.name }),
            JobEnd::Failed(failure) => Outcome::Failed(failure),
            JobEnd::Lost { attempts, message } => Outcome::Lost { attempts, message },
        };
        session.finish(trial, outcome)
    })
}

fn open_batch(session: &Session<'_>) -> u32 {
    session.study().open_batch().map_or(0, |b| b.index)
}

/// What people call a trial.
pub(crate) fn trial_name(trial: u64) -> String {
    format!("trial {trial}")
}

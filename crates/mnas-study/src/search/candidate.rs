//! One network on its way to an outcome: what is known of it, the jobs it needs and what their
//! ends mean.

use std::collections::BTreeMap;

use mnas_deploy::{Format, ModelMeta, export};
use mnas_net::{Graph, Purpose, Weights, cost, stream};
use mnas_search::{EarlyStop, Failure, Forecast, LatencyRecord, Limit, Metrics, Outcome};
use mnas_train::Cut;

use crate::error::StudyError;
use crate::evaluate;
use crate::job::{Job, JobOutput, MeasureJob, TrainJob, WeightsFrom};
use crate::session::{JobEnd, Session, Work, measure_id, train_id};

/// A network of an open batch.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) trial: u64,
    spec: String,
    params: u64,
    pub(super) macs: u64,
    latency: Option<LatencyRecord>,
    measure_seconds: f64,
}

/// By trial.
pub(super) type Candidates = BTreeMap<u64, Candidate>;

/// Builds a trial's network and holds it against the limits; its outcome where that is known
/// already.
pub(super) fn admit(
    session: &Session<'_>,
    trial: u64,
) -> Result<Result<Candidate, Outcome>, StudyError> {
    let spec = session.study().trials()[trial as usize].spec.clone();
    let graph = match evaluate::graph(&session.net(&trial_name(trial), &spec)) {
        Ok(graph) => graph,
        Err(failure) => return Ok(Err(Outcome::Failed(failure))),
    };
    Ok(match over_limit(session, &graph, trial) {
        Err(failure) => Err(Outcome::Failed(failure)),
        Ok(Some(infeasible)) => Err(infeasible),
        Ok(None) => {
            let cost = cost(&graph);
            Ok(Candidate {
                trial,
                spec,
                params: cost.params,
                macs: cost.macs,
                latency: None,
                measure_seconds: 0.0,
            })
        }
    })
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

impl Candidate {
    /// The job that measures it, with weights freshly drawn.
    pub(super) fn measuring(&self, session: &Session<'_>) -> Work {
        let (plan, trial) = (session.plan(), self.trial);
        let weights = WeightsFrom::Seed {
            seed: plan.seed,
            trial,
        };
        Work {
            name: trial_name(trial),
            id: measure_id(trial),
            trial: Some(trial),
            job: Job::Measure(MeasureJob {
                device: plan.device.clone(),
                nets: vec![(session.net(&trial_name(trial), &self.spec), weights)],
                plan: plan.measure.clone(),
            }),
        }
    }

    /// Takes in its latency; its outcome where there is none.
    pub(super) fn measured(
        &mut self,
        work: Work,
        end: JobEnd,
    ) -> Result<Result<(), Outcome>, StudyError> {
        Ok(match end {
            JobEnd::Done(JobOutput::Measured(mut measured)) => match measured.records.pop() {
                Some(Ok(latency)) => {
                    self.latency = Some(latency);
                    self.measure_seconds = measured.seconds;
                    Ok(())
                }
                Some(Err(failure)) => Err(Outcome::Failed(failure)),
                None => return Err(StudyError::WrongAnswer { job: work.name }),
            },
            JobEnd::Done(_) => return Err(StudyError::WrongAnswer { job: work.name }),
            JobEnd::Failed(failure) => Err(Outcome::Failed(failure)),
            JobEnd::Lost { attempts, message } => Err(Outcome::Lost { attempts, message }),
        })
    }

    /// Its outcome, where it is too far over the target to be worth training.
    pub(super) fn too_slow(&self, session: &Session<'_>) -> Option<Outcome> {
        let most_ms = session.study().target_ms()? * session.plan().too_slow;
        let latency = self.latency.clone().filter(|l| l.median_ms > most_ms)?;
        let accuracy = session.plan().chance();
        Some(Outcome::TooSlow { latency, accuracy })
    }

    /// The job that trains it.
    pub(super) fn training(&self, session: &Session<'_>) -> Work {
        let (plan, trial) = (session.plan(), self.trial);
        let cut = self.forecast(session).and_then(|(rule, forecast)| {
            Some(Cut {
                point: rule.point,
                loss_max: forecast.loss_max(self.latency.as_ref()?.median_ms),
            })
        });
        Work {
            name: trial_name(trial),
            id: train_id(trial),
            trial: Some(trial),
            job: Job::Train(TrainJob {
                net: session.net(&trial_name(trial), &self.spec),
                data: session.data_job(),
                recipe: plan.proxy.clone(),
                seed: plan.seed,
                trial,
                threads: plan.threads,
                cut,
                weights_out: None,
                checkpoint: None,
            }),
        }
    }

    /// Its outcome, once its training has ended.
    pub(super) fn trained(
        &self,
        session: &Session<'_>,
        work: Work,
        end: JobEnd,
    ) -> Result<Outcome, StudyError> {
        Ok(match (end, &self.latency) {
            (JobEnd::Done(JobOutput::CutShort(curve, train_seconds)), Some(latency)) => {
                let promised = self.forecast(session);
                let promised = promised.and_then(|(r, f)| Some(f.accuracy(r.loss(&curve)?)));
                let Some(accuracy) = promised else {
                    return Err(StudyError::WrongAnswer { job: work.name });
                };
                Outcome::Stopped {
                    latency: latency.clone(),
                    accuracy,
                    curve,
                    train_seconds,
                }
            }
            (JobEnd::Done(JobOutput::Trained(net)), Some(latency)) => Outcome::Done(Metrics {
                accuracy: net.accuracy,
                latency: latency.clone(),
                params: self.params,
                macs: self.macs,
                curve: net.curve,
                train_seconds: net.seconds,
                measure_seconds: self.measure_seconds,
            }),
            (JobEnd::Done(_), _) => return Err(StudyError::WrongAnswer { job: work.name }),
            (JobEnd::Failed(failure), _) => Outcome::Failed(failure),
            (JobEnd::Lost { attempts, message }, _) => Outcome::Lost { attempts, message },
        })
    }

    /// The plan's rule and what it knew when the trial was proposed.
    fn forecast<'a>(&self, session: &'a Session<'_>) -> Option<(&'a EarlyStop, Forecast)> {
        let rule = session.plan().early_stop.as_ref()?;
        let study = session.study();
        let batch = study.trial(self.trial)?.batch;
        let seen = study.batches().get(batch as usize)?.seen;
        Some((rule, rule.forecast(study, seen)?))
    }
}

/// What people call a trial.
pub(crate) fn trial_name(trial: u64) -> String {
    format!("trial {trial}")
}

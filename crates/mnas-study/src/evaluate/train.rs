//! Training, validating and testing with the CPU engine.

use std::path::Path;

use mnas_net::Weights;
use mnas_search::{CurvePoint, Failure, FailureKind, Int8Outcome};
use mnas_train::{Control, Data, EngineError, TrainError, Trained};
use sha2::{Digest, Sha256};

use super::{infrastructure, keys, write_atomically};
use crate::job::{JobFailure, JobOutput, JobProgress, TestJob, Tested, TrainJob, TrainedNet};

/// Trains a network. A job whose weights lie there already is answered from the file, so that a
/// study that was cut off in its final stage doesn't train a network twice.
pub(super) fn train(
    data: &Data,
    job: &TrainJob,
    on_progress: &mut dyn FnMut(JobProgress) -> Control,
) -> Result<JobOutput, JobFailure> {
    let hash = job_hash(job);
    if let Some(done) = job
        .weights_out
        .as_deref()
        .and_then(|path| stored(path, &hash))
    {
        return Ok(JobOutput::Trained(done));
    }
    let graph = super::graph(&job.net).map_err(JobFailure::Net)?;
    if let Some(folder) = job.checkpoint.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(folder).map_err(infrastructure)?;
    }
    let run = |on_progress: &mut dyn FnMut(JobProgress) -> Control| {
        let train_job = mnas_train::TrainJob {
            graph: &graph,
            train: &data.train,
            validation: Some(&data.validation),
            meta: &data.meta,
            recipe: &job.recipe,
            seed: job.seed,
            trial: job.trial,
            threads: job.threads,
            cut: job.cut,
            start: None,
            checkpoint: job.checkpoint.as_deref(),
        };
        mnas_train::train(&mnas_train::cpu(), &train_job, &mut |p| {
            on_progress(JobProgress {
                fraction: p.step as f64 / p.steps.max(1) as f64,
                epoch: Some(p.epoch),
                loss: Some(p.loss).filter(|l| l.is_finite()),
                accuracy: None,
            })
        })
    };
    let trained = match run(on_progress) {
        // A checkpoint of another plan or a torn one is of no use to this job.
        Err(TrainError::OtherCheckpoint { path } | TrainError::BadCheckpoint { path, .. }) => {
            std::fs::remove_file(&path).map_err(infrastructure)?;
            run(on_progress)
        }
        other => other,
    };
    let trained = trained.map_err(failure)?;
    if trained.cut_short {
        return Ok(JobOutput::CutShort(curve(&trained), trained.seconds));
    }
    let Some(evaluation) = trained.evaluation.as_ref().filter(|_| !trained.stopped) else {
        return Err(JobFailure::Infrastructure {
            message: "the training was stopped".into(),
        });
    };
    let net = TrainedNet {
        accuracy: evaluation.top1,
        curve: curve(&trained),
        seconds: trained.seconds,
    };
    if let Some(path) = &job.weights_out {
        keep(path, job, &net, trained.weights, &hash)?;
    }
    if let Some(path) = &job.checkpoint {
        // It may never have been written; what matters is that it is gone.
        let _ = std::fs::remove_file(path);
    }
    Ok(JobOutput::Trained(net))
}

/// Evaluates networks on the test split.
pub(super) fn test(
    data: &Data,
    job: &TestJob,
    on_progress: &mut dyn FnMut(JobProgress) -> Control,
) -> Result<Vec<Tested>, JobFailure> {
    let mut tested = vec![];
    for (i, (net, from)) in job.nets.iter().enumerate() {
        let graph = super::graph(net).map_err(JobFailure::Net)?;
        let weights = super::weights(&graph, from)?;
        let (engine, meta) = (mnas_train::cpu(), &data.meta);
        let found = mnas_train::evaluate(&engine, &graph, &weights, &data.test, meta, job.threads);
        let found = found.map_err(failure)?;
        let int8 = match &job.int8 {
            Some(int8) => match super::int8::test(data, &graph, &weights, int8, i, job.threads) {
                Ok(accuracy) => Some(Int8Outcome::Tested(accuracy)),
                // A fact about this network; the others, and its float form, are tested all the same.
                Err(JobFailure::Net(failure)) => Some(Int8Outcome::Failed(failure)),
                Err(other) => return Err(other),
            },
            None => None,
        };
        tested.push(Tested {
            top1: found.top1,
            top5: found.top5,
            int8,
        });
        // A stop ends the process; there is nothing to tidy up here.
        let _ = on_progress(JobProgress::at((i + 1) as f64 / job.nets.len() as f64));
    }
    Ok(tested)
}

fn curve(trained: &Trained) -> Vec<CurvePoint> {
    let point = |p: &mnas_train::Point| CurvePoint {
        epoch: p.epoch,
        loss: p.loss,
        accuracy: p.accuracy,
    };
    trained.curve.iter().map(point).collect()
}

fn failure(error: TrainError) -> JobFailure {
    let message = error.to_string();
    let kind = match error {
        TrainError::Diverged { .. } | TrainError::Engine(EngineError::Diverged { .. }) => {
            FailureKind::Diverged
        }
        TrainError::Engine(EngineError::OutOfMemory { .. }) => FailureKind::OutOfMemory,
        TrainError::Io { .. } | TrainError::Engine(EngineError::Threads { .. }) => {
            return JobFailure::Infrastructure { message };
        }
        // What is left can't be trained: an unsupported primitive, a shape that doesn't fit.
        _ => FailureKind::Crashed,
    };
    JobFailure::Net(Failure { kind, message })
}

/// Names everything that decides a training's result.
fn job_hash(job: &TrainJob) -> String {
    let facts = serde_json::json!({
        "net": job.net.spec, "input": job.net.input, "classes": job.net.classes,
        "data": job.data.fingerprint, "validation": job.data.validation_fraction,
        "split_seed": job.data.split_seed, "recipe": job.recipe, "seed": job.seed,
        "trial": job.trial,
    });
    let digest = Sha256::digest(facts.to_string());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

fn stored(path: &Path, hash: &str) -> Option<TrainedNet> {
    let weights = Weights::from_safetensors(&std::fs::read(path).ok()?).ok()?;
    let same = weights.metadata.get(keys::JOB)? == hash;
    same.then(|| serde_json::from_str(weights.metadata.get(keys::TRAINED)?).ok())?
}

fn keep(
    path: &Path,
    job: &TrainJob,
    net: &TrainedNet,
    mut weights: Weights,
    hash: &str,
) -> Result<(), JobFailure> {
    let trained = serde_json::to_string(net).map_err(infrastructure)?;
    weights.metadata.extend([
        (keys::SPEC.to_string(), job.net.spec.clone()),
        (keys::JOB.to_string(), hash.to_string()),
        (keys::TRAINED.to_string(), trained),
        (
            keys::VALIDATION_ACCURACY.to_string(),
            net.accuracy.to_string(),
        ),
    ]);
    write_atomically(path, &weights.to_safetensors()).map_err(infrastructure)
}

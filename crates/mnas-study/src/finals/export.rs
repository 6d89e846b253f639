//! Files of the final stage: weights with their facts, ONNX and TFLite models of finalists.

use std::collections::BTreeMap;
use std::path::Path;

use mnas_deploy::{Format, ModelMeta};
use mnas_net::Weights;
use mnas_search::{Failure, FailureKind, FinalEntry, FinalKind, Int8Outcome, LatencySource};

use super::Progress;
use crate::error::StudyError;
use crate::evaluate::{self, keys, write_atomically};
use crate::job::Int8Target;
use crate::session::Session;

/// Adds what was measured to the weights' metadata, and exports a finalist. A network that can't be
/// exported has failed; a disk that can't be written ends the run.
pub(super) fn export(
    session: &Session<'_>,
    entry: &FinalEntry,
    progress: &mut Progress,
) -> Result<(), StudyError> {
    if progress.failure.is_some() {
        return Ok(());
    }
    let net = session.net(&entry.name, &entry.spec);
    let path = session.dir().weights(&entry.name);
    let weights = evaluate::graph(&net)
        .map_err(|f| f.message)
        .and_then(|graph| {
            let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
            let weights = Weights::from_safetensors(&bytes).map_err(|e| e.to_string())?;
            Ok((graph, weights))
        });
    let (graph, mut weights) = match weights {
        Ok(both) => both,
        Err(message) => {
            progress.failure = Some(Failure {
                kind: FailureKind::Export,
                message,
            });
            return Ok(());
        }
    };
    let meta = meta(session, entry, facts(progress));
    weights.metadata.extend(meta.extra.clone());
    write(&path, &weights.to_safetensors())?;
    progress.files = vec![session.dir().relative(&path)];
    if entry.kind == FinalKind::Reference {
        return Ok(());
    }
    for format in Format::ALL {
        match mnas_deploy::export(&graph, &weights, format, &meta) {
            Ok(file) => {
                let path = session.dir().model(&entry.name, format.extension());
                write(&path, &file.bytes)?;
                progress.files.push(session.dir().relative(&path));
            }
            Err(error) => {
                let message = error.to_string();
                progress.failure = Some(Failure {
                    kind: FailureKind::Export,
                    message,
                });
            }
        }
    }
    let int8 = progress.tested.as_ref().and_then(|t| t.int8.as_ref());
    if matches!(int8, Some(Int8Outcome::Tested(_))) {
        let paths = int8_target(session, entry, progress).paths;
        let files = paths.iter().filter(|(_, path)| path.is_file());
        let files = files.map(|(_, path)| session.dir().relative(path));
        progress.files.extend(files);
    }
    Ok(())
}

/// The 8-bit files of an entry: a finalist's in every format, a reference's none.
pub(super) fn int8_target(
    session: &Session<'_>,
    entry: &FinalEntry,
    progress: &Progress,
) -> Int8Target {
    let path = |f: Format| {
        let extension = format!("int8.{}", f.extension());
        (f, session.dir().model(&entry.name, &extension))
    };
    let is_finalist = entry.kind != FinalKind::Reference;
    Int8Target {
        paths: Format::ALL
            .into_iter()
            .filter(|_| is_finalist)
            .map(path)
            .collect(),
        meta: meta(session, entry, facts(progress)),
    }
}

fn meta(session: &Session<'_>, entry: &FinalEntry, facts: Vec<(String, String)>) -> ModelMeta {
    let data = &session.plan().data;
    let mut extra: BTreeMap<String, String> = facts.into_iter().collect();
    extra.insert(keys::SPEC.into(), entry.spec.clone());
    extra.insert(keys::STUDY.into(), session.dir().name());
    if let FinalKind::Finalist { trial } = entry.kind {
        extra.insert(keys::TRIAL.into(), trial.to_string());
    }
    ModelMeta {
        name: entry.name.clone(),
        classes: data.classes.clone(),
        normalize_mean: data.normalize.mean.clone(),
        normalize_std: data.normalize.std.clone(),
        extra,
    }
}

/// What was measured of a network, for its files.
fn facts(progress: &Progress) -> Vec<(String, String)> {
    let mut facts = vec![];
    let mut add = |key: &str, value: String| facts.push((key.to_string(), value));
    if let Some(trained) = &progress.trained {
        add(keys::VALIDATION_ACCURACY, trained.accuracy.to_string());
    }
    if let Some(tested) = &progress.tested {
        add(keys::TEST_ACCURACY, tested.top1.to_string());
    }
    if let Some(latency) = &progress.latency {
        add(keys::LATENCY_MS, latency.median_ms.to_string());
        add(
            keys::LATENCY_SOURCE,
            match &latency.source {
                LatencySource::Measured { device, engine } => {
                    format!("measured on {device} with {engine}")
                }
                LatencySource::Predicted { table } => format!("predicted by {table}"),
            },
        );
    }
    facts
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StudyError> {
    write_atomically(path, bytes).map_err(|source| StudyError::Io {
        path: path.into(),
        action: "write",
        source,
    })
}

//! Reading a study: for reports, for commands, and for a run that resumes.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use mnas_net::{NetSpec, SpecError, Weights, WeightsError};
use mnas_search::{FinalKind, FinalOutcome, Study, Trial};

use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::plan::{DataPlan, Plan};
use crate::store::{Home, Store, StoreError, Stored};

/// Folds stored events.
///
/// # Errors
/// [`StudyError::Fold`] with the position of the event that doesn't fit.
pub fn fold(events: &[Stored]) -> Result<Study, StudyError> {
    Study::fold(events.iter().map(|s| &s.event)).map_err(|(index, source)| StudyError::Fold {
        seq: events.get(index).map_or(0, |s| s.seq),
        source,
    })
}

/// The study in a folder, as it stands; also while a search runs on it.
///
/// # Errors
/// [`StudyError::Store`] or [`StudyError::Fold`].
pub fn load(dir: &Path) -> Result<Study, StudyError> {
    fold(&open_store(dir)?.read_from(1)?)
}

/// The store of the study in a folder, to follow what a search appends to it.
///
/// # Errors
/// A [`StoreError`].
pub fn open_store(dir: &Path) -> Result<Box<dyn Store>, StoreError> {
    Home::of(&StudyDir::new(dir))?.read()
}

/// The plan of a study.
///
/// # Errors
/// [`StudyError::PlanText`] where another version of mnas made it.
pub fn plan(study: &Study) -> Result<Plan, StudyError> {
    serde_json::from_value(study.plan().clone()).map_err(StudyError::PlanText)
}

/// The trial with the best reward: within the target, if any is.
pub fn best(study: &Study) -> Option<&Trial> {
    study.best_within_target().or_else(|| study.best())
}

/// The trial to deploy. After a final stage: of the finalists that meet the target, the most
/// accurate on the validation split; where none meets it, the one with the best reward. Before one,
/// [`best`].
///
/// A target that is a reference's latency is met by networks that are no slower than the reference
/// was when both were measured interleaved, so that a machine which became slower since the target
/// was set doesn't count against them.
pub fn winner(study: &Study) -> Option<u64> {
    let target = study.target()?;
    let objective = study.objective()?;
    let mut limit_ms = target.target_ms;
    let mut finalists: Vec<(u64, f64, f64)> = vec![];
    for result in study.finals() {
        let FinalOutcome::Done {
            validation_accuracy,
            latency,
            ..
        } = &result.outcome
        else {
            continue;
        };
        match result.entry.kind {
            FinalKind::Finalist { trial } => {
                finalists.push((trial, *validation_accuracy, latency.median_ms));
            }
            FinalKind::Reference if target.reference.as_ref() == Some(&result.entry.name) => {
                limit_ms = limit_ms.max(latency.median_ms);
            }
            FinalKind::Reference => {}
        }
    }
    let meets = |(_, _, ms): &&(u64, f64, f64)| *ms <= limit_ms;
    let most_accurate = finalists
        .iter()
        .filter(meets)
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
    let reward = |f: &(u64, f64, f64)| objective.reward(f.1, f.2);
    most_accurate
        .or_else(|| {
            finalists
                .iter()
                .max_by(|a, b| reward(a).total_cmp(&reward(b)))
        })
        .map(|(trial, _, _)| *trial)
        .or_else(|| best(study).map(|t| t.id))
}

/// Where the final stage keeps the weights of a network, by a trial's number or an entry's name.
/// There is no file for networks that weren't in it.
pub fn weights_path(dir: &Path, name: &str) -> PathBuf {
    StudyDir::new(dir).weights(name)
}

/// A network of a study, ready to use.
#[derive(Debug, Clone)]
pub struct OpenedNet {
    /// What people call it.
    pub name: String,
    /// The network.
    pub spec: NetSpec,
    /// The images it is for.
    pub data: DataPlan,
    /// Its weights, if it was trained in full.
    pub weights: Option<Weights>,
}

/// Why a study's network can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenNetError {
    /// The study.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// No such trial or entry.
    #[error(
        "the study has no network {name:?}; there are trials 0 to {last} and the final stage's names"
    )]
    NoNet {
        /// The name asked for.
        name: String,
        /// The last trial.
        last: u64,
    },
    /// Nothing is done yet.
    #[error("the study has no finished trial yet")]
    NothingDone,
    /// The stored text is no network.
    #[error("{name}: {source}")]
    Spec {
        /// What people call it.
        name: String,
        /// Where and why.
        source: SpecError,
    },
    /// The weights can't be read.
    #[error("{path}: {source}", path = path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WeightsError,
    },
    /// The weights can't be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// Opens a network of the study in `dir`: `best`, a trial's number, or a name of the final stage.
///
/// # Errors
/// [`OpenNetError`].
pub fn open_net(dir: &Path, name: &str) -> Result<OpenedNet, OpenNetError> {
    let study = load(dir)?;
    let name = match name {
        "best" => winner(&study).ok_or(OpenNetError::NothingDone)?.to_string(),
        name => name.strip_prefix("trial ").unwrap_or(name).to_string(),
    };
    let trial = name
        .parse()
        .ok()
        .and_then(|id| study.trial(id))
        .map(|t| &t.spec);
    let entry = study
        .finalists()
        .iter()
        .find(|e| e.name == name)
        .map(|e| &e.spec);
    let Some(text) = trial.or(entry) else {
        let last = (study.trials().len() as u64).saturating_sub(1);
        return Err(OpenNetError::NoNet { name, last });
    };
    let spec = text.parse().map_err(|source| OpenNetError::Spec {
        name: name.clone(),
        source,
    })?;
    let path = weights_path(dir, &name);
    let weights = match std::fs::read(&path) {
        Ok(bytes) => Some(
            Weights::from_safetensors(&bytes)
                .map_err(|source| OpenNetError::Weights { path, source })?,
        ),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenNetError::Io { path, source }),
    };
    let data = plan(&study)?.data;
    Ok(OpenedNet {
        name,
        spec,
        data,
        weights,
    })
}

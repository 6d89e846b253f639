//! What a check has done so far, as a file that is whole at any time.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::StudyError;
use crate::evaluate::write_atomically;

/// One training of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunKey {
    /// The trial of the short search that proposed the network.
    pub(super) trial: u64,
    /// Whether it is trained in full.
    pub(super) full: bool,
    /// Added to the plan's seed.
    pub(super) seed: u32,
}

impl RunKey {
    pub(super) fn proxy(trial: u64, seed: u32) -> Self {
        let full = false;
        Self { trial, full, seed }
    }

    pub(super) fn full(trial: u64, seed: u32) -> Self {
        let full = true;
        Self { trial, full, seed }
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.full { "in full" } else { "briefly" };
        write!(f, "trial {}, {how}, seed {}", self.trial, self.seed)
    }
}

/// A training and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) key: RunKey,
    /// Validation accuracy; absent where it failed.
    pub(super) accuracy: Option<f64>,
    pub(super) seconds: f64,
    pub(super) failure: Option<String>,
}

/// The trainings done, and the file that keeps them.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) runs: Vec<Run>,
    path: PathBuf,
}

impl Ledger {
    /// The file, or a fresh one where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, StudyError> {
        let runs = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|_| StudyError::OtherCheck { path: path.into() })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(source) => {
                return Err(StudyError::Io {
                    path: path.into(),
                    action: "read",
                    source,
                });
            }
        };
        let path = path.into();
        Ok(Self { runs, path })
    }

    pub(super) fn save(&self) -> Result<(), StudyError> {
        let bytes = serde_json::to_vec_pretty(&self.runs).map_err(StudyError::PlanText)?;
        write_atomically(&self.path, &bytes).map_err(|source| StudyError::Io {
            path: self.path.clone(),
            action: "write",
            source,
        })
    }

    pub(super) fn run(&self, key: RunKey) -> Option<&Run> {
        self.runs.iter().find(|r| r.key == key)
    }

    pub(super) fn accuracy(&self, key: RunKey) -> Option<f64> {
        self.run(key)?.accuracy
    }

    /// Mean seconds of the short, or of the full trainings.
    pub(super) fn mean_seconds(&self, full: bool) -> Option<f64> {
        let done = self.runs.iter().filter(|r| r.key.full == full);
        let done: Vec<f64> = done
            .filter(|r| r.accuracy.is_some())
            .map(|r| r.seconds)
            .collect();
        (!done.is_empty()).then(|| done.iter().sum::<f64>() / done.len() as f64)
    }
}

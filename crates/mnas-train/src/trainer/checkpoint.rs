//! The state of a run in a safetensors file, so that the run can be continued exactly.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use mnas_net::Weights;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Point, TrainError, TrainJob};
use crate::dataset::cache::hex16;

/// Key in the file's metadata: which run it belongs to.
const KEY: &str = "run";
/// Key in the file's metadata: the [`Ledger`] as JSON.
const LEDGER: &str = "ledger";

/// Where a run stands, besides the engine's state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Steps done.
    pub(crate) step: u64,
    /// Sum of the losses since the last point.
    pub(crate) loss_sum: f64,
    /// Steps since the last point.
    pub(crate) loss_steps: u64,
    /// Points so far.
    pub(crate) curve: Vec<Point>,
    /// Wall time so far.
    pub(crate) seconds: f64,
}

/// Identifies everything that a run's outcome depends on, besides the number of threads.
pub(crate) fn run_key(engine: &str, job: &TrainJob) -> String {
    let mut hash = Sha256::new();
    let recipe = serde_json::to_string(job.recipe).unwrap_or_default();
    let (seed, trial) = (job.seed, job.trial);
    hash.update(format!(
        "{engine}\n{}\n{recipe}\n{seed} {trial}\n",
        job.graph
    ));
    hash.update(&job.meta.fingerprint);
    hash.update(format!("{:?}", job.meta.normalize));
    for i in 0..job.train.len() {
        hash.update(job.train.position(i).to_le_bytes());
    }
    if let Some(start) = job.start {
        hash.update(start.to_safetensors());
    }
    hex16(&hash.finalize())
}

/// Reads a checkpoint; `None` where there is no file.
pub(crate) fn read(path: &Path, key: &str) -> Result<Option<(Weights, Ledger)>, TrainError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(TrainError::Io {
                path: path.into(),
                action: "read",
                error,
            });
        }
    };
    let bad = |reason: &dyn std::fmt::Display| TrainError::BadCheckpoint {
        path: path.into(),
        reason: reason.to_string(),
    };
    let mut state = Weights::from_safetensors(&bytes).map_err(|e| bad(&e))?;
    let found = state.metadata.remove(KEY);
    let ledger = state.metadata.remove(LEDGER);
    let (Some(found), Some(ledger)) = (found, ledger) else {
        return Err(bad(&"it holds no run"));
    };
    if found != key {
        return Err(TrainError::OtherCheckpoint { path: path.into() });
    }
    let ledger = serde_json::from_str(&ledger).map_err(|e| bad(&e))?;
    Ok(Some((state, ledger)))
}

/// Writes a checkpoint, which replaces the one before it or leaves it as it was.
pub(crate) fn write(
    path: &Path,
    key: &str,
    mut state: Weights,
    ledger: &Ledger,
) -> Result<(), TrainError> {
    let text = serde_json::to_string(ledger).unwrap_or_default();
    state.metadata.insert(KEY.into(), key.into());
    state.metadata.insert(LEDGER.into(), text);
    let bytes = state.to_safetensors();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let replace = || {
        let mut file = tempfile::Builder::new()
            .prefix(".checkpoint-")
            .tempfile_in(parent.unwrap_or(Path::new(".")))?;
        file.write_all(&bytes)?;
        // Or a power cut may leave the new name on an empty file.
        file.as_file().sync_data()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    replace().map_err(|error| TrainError::Io {
        path: path.into(),
        action: "write",
        error,
    })
}

//! What a check has done so far, as a file that is whole at any time.

use std::fmt;
use std::path::{Path, PathBuf};

use mnas_search::Event;
use serde::{Deserialize, Serialize};

use crate::error::StudyError;
use crate::evaluate::write_atomically;
use crate::store::Stored;

/// One training of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunKey {
    /// Index of the candidate.
    pub(super) net: usize,
    /// Whether it is trained in full.
    pub(super) full: bool,
    /// Added to the plan's seed.
    pub(super) seed: u32,
}

impl RunKey {
    pub(super) fn proxy(net: usize, seed: u32) -> Self {
        let full = false;
        Self { net, full, seed }
    }

    pub(super) fn full(net: usize, seed: u32) -> Self {
        let full = true;
        Self { net, full, seed }
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.full { "in full" } else { "briefly" };
        write!(f, "network {}, {how}, seed {}", self.net, self.seed)
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

/// The file's content and its place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The plan and the number of networks: another check is another file.
    plan: serde_json::Value,
    networks: usize,
    /// Texts and latencies in milliseconds.
    pub(super) candidates: Vec<(String, f64)>,
    pub(super) runs: Vec<Run>,
    #[serde(skip)]
    path: PathBuf,
}

impl Ledger {
    /// The file, or a fresh one where there is none.
    pub(super) fn open(
        path: &Path,
        events: &[Stored],
        networks: usize,
    ) -> Result<Self, StudyError> {
        let plan = match events.first().map(|s| &s.event) {
            Some(Event::Started { plan, .. }) => plan.clone(),
            _ => serde_json::Value::Null,
        };
        let fresh = Self {
            plan,
            networks,
            candidates: vec![],
            runs: vec![],
            path: path.into(),
        };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
            Err(source) => {
                return Err(StudyError::Io {
                    path: path.into(),
                    action: "read",
                    source,
                });
            }
        };
        let other = || StudyError::OtherCheck { path: path.into() };
        let stored: Self = serde_json::from_slice(&bytes).map_err(|_| other())?;
        if without_workers(&stored.plan) != without_workers(&fresh.plan)
            || stored.networks != networks
        {
            return Err(other());
        }
        Ok(Self {
            path: path.into(),
            ..stored
        })
    }

    pub(super) fn save(&self) -> Result<(), StudyError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(StudyError::PlanText)?;
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

    /// Accuracy after the short training and latency of each candidate that has both.
    pub(super) fn points(&self) -> Vec<(usize, f64, f64)> {
        let point = |(net, (_, ms)): (usize, &(String, f64))| {
            Some((net, self.accuracy(RunKey::proxy(net, 0))?, *ms))
        };
        self.candidates
            .iter()
            .enumerate()
            .filter_map(point)
            .collect()
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

/// How many trainings run side by side changes nothing.
fn without_workers(plan: &serde_json::Value) -> serde_json::Value {
    let mut plan = plan.clone();
    if let Some(map) = plan.as_object_mut() {
        map.remove("workers");
    }
    plan
}

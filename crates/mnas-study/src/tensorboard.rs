//! TensorBoard's event files, written while a study runs: `tensorboard --logdir DIR/tensorboard`.
//!
//! In the run `search`, a step is a trial: its reward, accuracy and latency, the best reward so far,
//! and after each batch the controller's entropy and baseline. In a run per network of the final
//! stage, a step is a hundredth of an epoch: loss while it trains, accuracy where it was measured.
//! What a file holds already isn't written again, so that a study that is resumed goes on in its
//! files, and one whose files are gone gets them back from its events.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mnas_search::{CurvePoint, Event, FinalOutcome, Study};

use crate::store::Stored;
use file::EventFile;

/// The event files of a study.
#[derive(Debug)]
pub(crate) struct TensorBoard {
    folder: PathBuf,
    /// When the study began, which names the files.
    started_ms: u64,
    files: BTreeMap<String, EventFile>,
    best: f64,
}

const SEARCH: &str = "search";

impl TensorBoard {
    /// Opens the files in `folder` and writes what they lack of the events so far.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn open(folder: PathBuf, study: &Study, events: &[Stored]) -> io::Result<Self> {
        let mut board = Self {
            folder,
            started_ms: study.started_ms(),
            files: BTreeMap::new(),
            best: f64::NEG_INFINITY,
        };
        for stored in events {
            board.add(study, stored.time_ms, &stored.event)?;
        }
        Ok(board)
    }

    /// Writes what an event tells; `study` has it applied.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn add(&mut self, study: &Study, time_ms: u64, event: &Event) -> io::Result<()> {
        match event {
            Event::Observed { batch, .. } => self.observed(study, time_ms, *batch),
            Event::FinalDone { result } => match &result.outcome {
                FinalOutcome::Done { curve, .. } => self.curve(&result.entry.name, time_ms, curve),
                FinalOutcome::Failed(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn observed(&mut self, study: &Study, time_ms: u64, batch: u32) -> io::Result<()> {
        let Some(batch) = study.batches().get(batch as usize) else {
            return Ok(());
        };
        let mut best = self.best;
        let mut steps = vec![];
        for trial in study.trials_of(batch) {
            best = trial.reward.map_or(best, |r| best.max(r));
            steps.push((
                trial.id as i64,
                vec![
                    ("reward", trial.reward),
                    ("best_reward", Some(best)),
                    ("accuracy", trial.accuracy()),
                    ("latency_ms", trial.latency_ms()),
                ],
            ));
        }
        if let (Some(d), Some((_, last))) = (&batch.diagnostics, steps.last_mut()) {
            last.extend([("entropy", d.entropy), ("baseline", d.baseline)]);
        }
        self.best = best;
        self.file(SEARCH)?.append(time_ms, &steps)
    }

    /// Adds points to the training curve of a network of the final stage.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn curve(
        &mut self,
        name: &str,
        time_ms: u64,
        points: &[CurvePoint],
    ) -> io::Result<()> {
        let step = |p: &CurvePoint| {
            let values = vec![("loss", Some(p.loss)), ("accuracy", p.accuracy)];
            ((100.0 * p.epoch).round() as i64, values)
        };
        let steps: Vec<_> = points.iter().map(step).collect();
        let run = Path::new("finals").join(crate::dir::file_stem(name));
        self.file(&run.to_string_lossy())?.append(time_ms, &steps)
    }

    fn file(&mut self, run: &str) -> io::Result<&mut EventFile> {
        if !self.files.contains_key(run) {
            // The name is TensorBoard's: a time and a host tell files apart; here one run has one.
            let name = format!("events.out.tfevents.{:010}.mnas", self.started_ms / 1000);
            let file = EventFile::open(&self.folder.join(run).join(name), self.started_ms)?;
            self.files.insert(run.into(), file);
        }
        self.files
            .get_mut(run)
            .ok_or_else(|| io::Error::other("no such run"))
    }
}

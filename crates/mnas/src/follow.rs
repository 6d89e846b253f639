//! A study's folder as the dashboard follows it.

use std::path::{Path, PathBuf};

use mnas_report::{News, Standing, StudyAccess};
use mnas_search::Event;
use mnas_study::{DirLock, Store, StudyDir, StudyError, open_store};

/// Events read at a time: enough to be quick, few enough to show progress.
const EVENTS: u32 = 4_000;

/// A study on disk, read while a search may be writing it.
pub(crate) struct Followed {
    dir: StudyDir,
    store: Box<dyn Store>,
    /// Position of the next event.
    next: u64,
}

impl Followed {
    /// Opens a study to read.
    ///
    /// # Errors
    /// A [`StudyError`] where the folder holds no study that can be read.
    pub(crate) fn open(dir: &Path) -> Result<Self, StudyError> {
        let dir = StudyDir::new(&std::path::absolute(dir).unwrap_or_else(|_| dir.into()));
        let store = open_store(dir.path())?;
        Ok(Self {
            dir,
            store,
            next: 1,
        })
    }
}

impl StudyAccess for Followed {
    fn name(&self) -> String {
        let name = self.dir.path().file_name();
        name.map_or("study".into(), |n| n.to_string_lossy().into_owned())
    }

    fn read_new(&mut self) -> Result<Vec<News>, String> {
        let read = self.store.read_light(self.next, EVENTS);
        let news: Vec<News> = read
            .map_err(|e| e.to_string())?
            .into_iter()
            .map(|light| News {
                time_ms: light.stored.time_ms,
                event: light.stored.event,
                samples: light.samples,
            })
            .collect();
        self.next += news.len() as u64;
        Ok(news)
    }

    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<(u64, Event)>, String> {
        let read = self.store.read_trial(trial, batch);
        let events = read.map_err(|e| e.to_string())?.into_iter();
        Ok(events.map(|s| (s.time_ms, s.event)).collect())
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().into()
    }

    fn standing(&self) -> Standing {
        Standing {
            running: DirLock::held(self.dir.path()),
            stopping: self.dir.stop_asked(),
            promoted: self.dir.promoted(),
        }
    }

    fn ask_to_stop(&mut self) -> Result<(), String> {
        if !DirLock::held(self.dir.path()) {
            return Err("No search runs on this study.".into());
        }
        let asked = self.dir.ask_to_stop();
        asked.map_err(|e| format!("The search can't be asked to stop: {e}"))
    }

    fn promote(&mut self, trial: u64) -> Result<(), String> {
        let asked = self.dir.promote(trial);
        asked.map_err(|e| format!("Trial {trial} can't be promoted: {e}"))
    }
}

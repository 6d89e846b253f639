//! What people ask of a search through its study's folder: files that the search looks for.
//!
//! A request is a file, so that whoever may write the folder may ask, and a search that runs
//! elsewhere on a shared folder hears it too. A stop is forgotten when the next run begins; a
//! promotion waits for the final round.

use std::io;
use std::path::PathBuf;

use crate::dir::StudyDir;
use crate::evaluate::write_atomically;

const PROMOTE: &str = "promote-";

impl StudyDir {
    fn requests(&self) -> PathBuf {
        self.path().join("requests")
    }

    fn request(&self, name: &str) -> PathBuf {
        self.requests().join(name)
    }

    fn ask(&self, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.requests())?;
        write_atomically(&self.request(name), b"")
    }

    /// Asks the search that runs on the study to stop, as [`crate::Stop`] does.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        self.ask("stop")
    }

    /// Whether a stop was asked for since the last run began.
    pub fn stop_asked(&self) -> bool {
        self.request("stop").exists()
    }

    pub(crate) fn forget_stop(&self) {
        // Nothing to forget is the usual case.
        let _ = std::fs::remove_file(self.request("stop"));
    }

    /// Asks for a trial to be trained in full in the next final round, besides those that the search
    /// picks. A trial that isn't done by then is left out.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn promote(&self, trial: u64) -> io::Result<()> {
        self.ask(&format!("{PROMOTE}{trial}"))
    }

    /// Trials that were promoted and not trained in full yet, in order.
    pub fn promoted(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(self.requests()) else {
            return vec![];
        };
        let mut trials: Vec<u64> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix(PROMOTE)?.parse().ok())
            .collect();
        trials.sort_unstable();
        trials
    }

    pub(crate) fn forget_promoted(&self, trials: &[u64]) {
        for trial in trials {
            let _ = std::fs::remove_file(self.request(&format!("{PROMOTE}{trial}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mnas_search::FinalKind;

    use super::*;
    use crate::fakes::{Bench, plan};
    use crate::run::{Rig, run_on};
    use crate::update::Update;

    #[test]
    fn a_stop_asked_for_by_file_ends_the_run_as_the_flag_does() {
        let mut bench = Bench::new(&plan());
        let dir = StudyDir::new(bench.dir.path());
        // A request from before the run doesn't count.
        dir.ask_to_stop().unwrap();
        let mut executor = bench.executor(3);
        let rig = Rig {
            store: &mut bench.store,
            executor: &mut executor,
            clock: &bench.clock,
            dir: dir.clone(),
            cache_dir: Path::new("cache").into(),
            stop: &bench.stop,
            observer: &mut |update| {
                if let Update::Batch { batch: 1, .. } = update {
                    dir.ask_to_stop().unwrap();
                }
            },
        };
        let summary = run_on(rig, None).unwrap();
        assert_eq!(summary.stopped.as_deref(), Some("stopped by request"));
        assert_eq!(summary.counts.proposals, 16);
        assert!(!dir.stop_asked(), "an answered request is forgotten");
        assert!(bench.complete().ended);
    }

    #[test]
    fn promoted_trials_join_the_finalists_once() {
        let mut without = Bench::new(&plan());
        without.complete();
        let study = without.study();
        let picked = |study: &mnas_search::Study| -> Vec<u64> {
            let kinds = study.finalists().iter().map(|f| &f.kind);
            kinds
                .filter_map(|kind| match kind {
                    FinalKind::Finalist { trial } => Some(*trial),
                    FinalKind::Reference => None,
                })
                .collect()
        };
        let chosen = picked(&study);
        let other = study.done().map(|t| t.id).find(|id| !chosen.contains(id));
        let other = other.unwrap();
        let failed = study.trials().iter().find(|t| t.metrics().is_none());

        let mut bench = Bench::new(&plan());
        let dir = StudyDir::new(bench.dir.path());
        let unusable = [failed.unwrap().id, 1_000_000];
        for trial in [other, chosen[0], unusable[0], unusable[1]] {
            dir.promote(trial).unwrap();
        }
        std::fs::write(dir.request("promote-x"), "").unwrap();
        bench.complete();
        let expected: Vec<u64> = chosen.iter().copied().chain([other]).collect();
        assert_eq!(picked(&bench.study()), expected);
        assert!(dir.promoted().is_empty(), "answered requests are forgotten");
    }
}

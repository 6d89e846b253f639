//! Tells a person what a running study does: a progress bar with an ETA, and lines that stay.

use std::time::Instant;

use mnas_search::Outcome;
use mnas_study::{Phase, Update};

use crate::output::Progress;

/// What is said of another process that leads the study, and of one that did.
const STANDING_BY: &str = "leads this study; standing by until it ends (Ctrl-C stops waiting)";
const TOOK_OVER: &str = "leads no more; this process goes on with the study";

/// Turns a study's updates into progress on standard error.
#[derive(Debug)]
pub(crate) struct Narrator {
    progress: Progress,
    trials: (u64, u64),
    best: String,
    eta: Option<(Instant, f64)>,
    finals: (u64, u64),
}

impl Narrator {
    /// A narrator of a study of so many proposals.
    pub(crate) fn new(trials: u64) -> Self {
        Self {
            progress: Progress::new(),
            trials: (0, trials),
            best: String::new(),
            eta: None,
            finals: (0, 0),
        }
    }

    /// Removes the progress bar.
    pub(crate) fn finish(&self) {
        self.progress.finish();
    }

    /// Tells an update.
    pub(crate) fn tell(&mut self, update: &Update) {
        match update {
            Update::StandingBy { leader } => self.other(leader, STANDING_BY),
            Update::TookOver { from } => self.other(from, TOOK_OVER),
            Update::Phase { phase, jobs } => self.phase(*phase, *jobs),
            Update::Target {
                target_ms,
                reference,
            } => {
                let of = reference
                    .as_ref()
                    .map(|r| format!(", the latency of {r}"))
                    .unwrap_or_default();
                self.progress
                    .line(&format!("target: {target_ms:.3} ms{of}"));
            }
            Update::Job {
                name,
                fraction,
                epoch,
                loss,
                accuracy,
            } => {
                let mut message = format!("{name} {:.0} %", 100.0 * fraction);
                if let (Some(epoch), Some(loss)) = (epoch, loss) {
                    message += &format!(" epoch {epoch:.1} loss {loss:.3}");
                }
                if let Some(accuracy) = accuracy {
                    message += &format!(" accuracy {:.2} %", 100.0 * accuracy);
                }
                self.show(&message);
            }
            Update::JobDone { .. } => {
                self.finals.0 += 1;
                self.show(&self.best.clone());
            }
            Update::Retry {
                name,
                attempt,
                message,
            } => {
                self.progress.line(&format!(
                    "{name}: its worker ended ({message}); attempt {attempt} follows"
                ));
            }
            Update::Trial {
                trial,
                outcome,
                duplicate_of,
            } => self.trial(*trial, outcome, *duplicate_of),
            Update::Batch {
                trials,
                best,
                eta_seconds,
                ..
            } => {
                self.trials = *trials;
                self.eta = eta_seconds.map(|s| (Instant::now(), s));
                if let Some((trial, reward)) = best {
                    self.best = format!("best: trial {trial}, reward {reward:.4}");
                }
                self.show(&self.best.clone());
            }
            Update::FinalEta { networks, seconds } => {
                self.finals = (0, *networks);
                self.eta = seconds.map(|s| (Instant::now(), s));
            }
            Update::Warning { message } => self.progress.line(&format!("warning: {message}")),
        }
    }

    fn other(&self, process: &str, does: &str) {
        self.progress.line(&format!("{process} {does}"));
    }

    fn phase(&mut self, phase: Phase, jobs: u64) {
        let text = match phase {
            Phase::FinalTrain => Some(format!("training {jobs} networks in full")),
            Phase::FinalMeasure => Some(format!("measuring {jobs} networks interleaved")),
            Phase::References => Some("measuring reference networks of several widths".to_string()),
            Phase::Export => Some("testing once and exporting".to_string()),
            Phase::Probe | Phase::Target | Phase::Measure { .. } | Phase::Train { .. } => None,
        };
        if let Some(text) = text {
            self.progress.line(&text);
        }
    }

    fn trial(&mut self, trial: u64, outcome: &Outcome, duplicate_of: Option<u64>) {
        let word = match (outcome, duplicate_of) {
            (_, Some(first)) => format!("trial {trial} is trial {first} again"),
            (Outcome::Done(m), None) => {
                format!(
                    "trial {trial}: accuracy {:.2} %, {:.3} ms",
                    100.0 * m.accuracy,
                    m.latency.median_ms
                )
            }
            (Outcome::TooSlow { latency, .. }, None) => {
                format!(
                    "trial {trial}: {:.3} ms, too slow to train",
                    latency.median_ms
                )
            }
            (
                Outcome::Stopped {
                    latency, accuracy, ..
                },
                None,
            ) => format!(
                "trial {trial}: cut short at a promise of {:.2} %, {:.3} ms",
                100.0 * accuracy,
                latency.median_ms
            ),
            (Outcome::Infeasible { .. }, None) => format!("trial {trial}: over a limit"),
            (Outcome::Failed(f), None) => format!("trial {trial} failed: {}", f.message),
            (Outcome::Lost { message, .. }, None) => format!("trial {trial} was lost: {message}"),
        };
        self.trials.0 = self.trials.0.max(trial);
        self.show(&word);
    }

    fn show(&mut self, message: &str) {
        let eta = self
            .eta
            .map(|(at, seconds)| (seconds - at.elapsed().as_secs_f64()).max(0.0));
        let (phase, (done, total)) = if self.finals.1 > 0 {
            ("final", self.finals)
        } else {
            ("search", self.trials)
        };
        // A log says how the search stands; on a terminal one sees each job pass by.
        let message = match self.progress.is_live() || phase == "final" || self.best.is_empty() {
            true => message,
            false => &self.best,
        };
        self.progress
            .show(phase, done.min(total), total, message, eta);
    }
}

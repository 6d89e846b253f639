//! A device that is a measuring program: it is handed model files and replies with times.
//!
//! What is common to all of them is here: rounds over several networks, limits of time and size,
//! and what happens when the device vanishes. A [`Link`] is how one of them is talked to.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Candidate, Device, DeviceError, DeviceInfo, Measured, ModelSource};
use crate::export::{Format, ModelFile, ModelMeta, export_as};
use crate::measure::{MeasureError, MeasurePlan, Precision};

pub(crate) mod conditions;
pub(crate) mod lines;
pub(crate) mod process;
pub(crate) mod protocol;
pub(crate) mod route;
mod series;

use protocol::{Hello, Refusal, Times};
use route::Delivered;
use series::Series;

/// States how many seconds a device that has gone is waited for.
const WAIT_VARIABLE: &str = "MNAS_DEVICE_WAIT_S";
const WAIT_STANDARD: Duration = Duration::from_secs(30);

/// Tries at a round before a device that vanishes each time is given up.
const TRIES: usize = 3;

/// Why a measuring program gave no latency.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program can't be started.
    #[error("can't start {}: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The program ended without a reply.
    #[error("{} ended without a reply ({status})", .program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: String,
    },
    /// No reply in time.
    #[error("{} gave no reply within {seconds:.1} s", .program.display())]
    Late {
        /// The program.
        program: PathBuf,
        /// The limit in seconds.
        seconds: f64,
    },
    /// A reply line that is too long.
    #[error("{} replied with a line of more than {limit} bytes", .program.display())]
    TooLong {
        /// The program.
        program: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// A reply that is not of the protocol's form.
    #[error("{} replied {reply:?}: {problem}", .program.display())]
    Garbage {
        /// The program.
        program: PathBuf,
        /// The start of the reply.
        reply: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The program says that it can't measure the network.
    #[error("{} reports: {message}", .program.display())]
    Reported {
        /// The program.
        program: PathBuf,
        /// Its message.
        message: String,
    },
    /// The model file or a pipe can't be written.
    #[error("can't pass the model to {}: {source}", .program.display())]
    Pass {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A phone or board that doesn't answer.
    #[error("{} can't be reached: {detail}", .program.display())]
    Lost {
        /// The device.
        program: PathBuf,
        /// What is known.
        detail: String,
    },
    /// A phone or board that answers and lacks something.
    #[error("{}: {problem}", .program.display())]
    Unfit {
        /// The device.
        program: PathBuf,
        /// What is missing and what to do.
        problem: String,
    },
}

impl CommandError {
    /// Whether the device may have vanished, rather than refused.
    fn may_be_loss(&self) -> bool {
        matches!(
            self,
            Self::Ended { .. } | Self::Late { .. } | Self::Pass { .. } | Self::Lost { .. }
        )
    }
}

/// Limits on a program's replies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Time for the greeting.
    pub(crate) hello: Duration,
    /// Time for a reply on top of the plan's `seconds_max`: to load the model, to cool.
    pub(crate) overhead: Duration,
    /// Bytes of a line.
    pub(crate) line: usize,
}

impl Limits {
    pub(crate) const STANDARD: Self = Self {
        hello: Duration::from_secs(30),
        overhead: Duration::from_secs(60),
        line: protocol::LINE_MAX,
    };
}

/// How long a device that has gone is waited for.
fn patience() -> Duration {
    let stated = std::env::var(WAIT_VARIABLE).ok();
    let seconds = stated.and_then(|text| text.parse::<u16>().ok());
    seconds.map_or(WAIT_STANDARD, |s| Duration::from_secs(s.into()))
}

/// How a measuring program is talked to.
pub(crate) trait Link: Send {
    /// What messages call it.
    fn label(&self) -> &Path;

    /// Starts it, again where it runs, and asks what it is.
    fn hello(&mut self) -> Result<Hello, CommandError>;

    /// Brings a model to it.
    fn deliver(&mut self, file: &ModelFile, sha256: &str) -> Result<Delivered, CommandError>;

    /// Takes a model away again.
    fn remove(&mut self, delivered: Delivered);

    /// Has a model run. After an error it is started again by the next call.
    fn measure(&mut self, ask: &Ask<'_>) -> Result<Result<Times, Refusal>, CommandError>;

    /// After a failure: is the device still there? Waits for one that has gone.
    fn recover(&mut self, patience: Duration) -> Recovery;
}

/// Where a device is after its program failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// On this machine: the program failed by itself.
    Here,
    /// It answers, so what failed is worth another try.
    Answers,
    /// It doesn't answer.
    Gone,
}

/// One round of one network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) name: &'a str,
    pub(crate) spec: &'a str,
    /// As the program opens it.
    pub(crate) model: &'a Path,
    pub(crate) sha256: &'a str,
    pub(crate) format: Format,
    pub(crate) runs: usize,
    pub(crate) warmup: usize,
    pub(crate) seconds_max: f64,
    pub(crate) precision: Precision,
    pub(crate) core: Option<usize>,
}

/// A model to pass on: name, text (empty where unknown) and file.
struct Job<'a> {
    name: &'a str,
    spec: &'a str,
    file: Result<Cow<'a, ModelFile>, MeasureError>,
}

pub(crate) struct Meter {
    link: Box<dyn Link>,
    info: DeviceInfo,
    format: Format,
}

impl Meter {
    /// `name` opens the device again.
    pub(crate) fn open(mut link: Box<dyn Link>, name: String) -> Result<Self, CommandError> {
        let hello = link.hello()?;
        if let Some(board) = &hello.board {
            tracing::info!("{name}: {board}");
        }
        Ok(Self {
            link,
            info: DeviceInfo {
                name,
                device: hello.device,
                engine: hello.engine,
                library_hash: hello.library_hash,
                predicted: false,
            },
            format: hello.format,
        })
    }

    /// Whether a device that was lost answers again, asked once.
    pub(crate) fn is_back(&mut self) -> bool {
        self.link.recover(Duration::ZERO) != Recovery::Gone
    }

    /// Each job's samples, round by round where there are several jobs.
    fn measure_jobs(
        &mut self,
        jobs: Vec<Job<'_>>,
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        plan.check()?;
        // Alone, a network needs no turns, and the program loads it once.
        let rounds = if jobs.len() > 1 { plan.rounds } else { 1 };
        let mut series: Vec<Result<Series<'_>, MeasureError>> = jobs
            .into_iter()
            .map(|job| Ok(Series::new(job.name, job.spec, job.file?)))
            .collect();
        let outcome = self.measure_rounds(&mut series, rounds, plan);
        let delivered = series
            .iter_mut()
            .flatten()
            .filter_map(|s| s.delivered.take());
        delivered.for_each(|model| self.link.remove(model));
        outcome?;
        let finish = |s: Result<Series<'_>, MeasureError>| s.map(Series::finish);
        Ok(series.into_iter().map(finish).collect())
    }

    /// # Errors
    /// The loss of the device ends it: no network can be finished.
    fn measure_rounds(
        &mut self,
        series: &mut [Result<Series<'_>, MeasureError>],
        rounds: usize,
        plan: &MeasurePlan,
    ) -> Result<(), DeviceError> {
        for round in 0..rounds {
            let count = series.len();
            for turn in 0..count {
                let slot = &mut series[(round + turn) % count];
                let Ok(one) = slot else { continue };
                let asked = one.quota(round, rounds, plan);
                if asked == 0 {
                    continue;
                }
                match self.ask(one, asked, rounds, plan) {
                    Ok(()) => {}
                    Err(MeasureError::Command(lost @ CommandError::Lost { .. })) => {
                        return Err(lost.into());
                    }
                    Err(error) => {
                        one.delivered
                            .take()
                            .into_iter()
                            .for_each(|m| self.link.remove(m));
                        *slot = Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// One round of one network, tried again where the device was lost and came back.
    fn ask(
        &mut self,
        series: &mut Series<'_>,
        runs: usize,
        rounds: usize,
        plan: &MeasurePlan,
    ) -> Result<(), MeasureError> {
        let mut tries = 1;
        loop {
            let error = match self.try_ask(series, runs, rounds, plan) {
                Ok(answer) => return answer,
                Err(error) if !error.may_be_loss() => return Err(error.into()),
                Err(error) => error,
            };
            match self.link.recover(patience()) {
                // What hung on this network would hang again.
                Recovery::Answers
                    if tries < TRIES && !matches!(error, CommandError::Late { .. }) => {}
                Recovery::Here | Recovery::Answers => return Err(error.into()),
                Recovery::Gone if matches!(error, CommandError::Lost { .. }) => {
                    return Err(error.into());
                }
                Recovery::Gone => {
                    let program = self.link.label().into();
                    let detail = error.to_string();
                    return Err(CommandError::Lost { program, detail }.into());
                }
            }
            tracing::warn!("{error}; trying again");
            series.delivered = None;
            tries += 1;
        }
    }

    fn try_ask(
        &mut self,
        series: &mut Series<'_>,
        runs: usize,
        rounds: usize,
        plan: &MeasurePlan,
    ) -> Result<Result<(), MeasureError>, CommandError> {
        let model = match &mut series.delivered {
            Some(model) => model,
            absent => absent.insert(self.link.deliver(&series.file, &series.sha256)?),
        };
        let ask = Ask {
            name: series.name,
            spec: series.spec,
            model: &model.path,
            sha256: &series.sha256,
            format: series.file.format,
            runs,
            warmup: plan.warmup,
            seconds_max: plan.seconds_max / rounds as f64,
            precision: plan.precision,
            core: plan.core,
        };
        Ok(match self.link.measure(&ask)? {
            Ok(times) => {
                series.add(runs, times);
                Ok(())
            }
            Err(Refusal::TooSlow(slow)) => Err(MeasureError::TooSlow {
                kept: slow.kept,
                needed: slow.needed,
                run_ms: slow.run_ms,
                seconds_max: slow.seconds_max,
            }),
            Err(Refusal::Reported(message)) => {
                let program = self.link.label().into();
                Err(CommandError::Reported { program, message }.into())
            }
        })
    }
}

impl Device for Meter {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        let format = self.format;
        let job = |c: &Candidate<'_>| {
            let meta = ModelMeta {
                name: c.name.into(),
                ..ModelMeta::default()
            };
            export_as(plan.precision, c.graph, c.weights, format, &meta)
        };
        let jobs = candidates
            .iter()
            .map(|c| Job {
                name: c.name,
                spec: c.spec,
                file: job(c).map(Cow::Owned).map_err(Into::into),
            })
            .collect();
        self.measure_jobs(jobs, plan)
    }

    fn measure_models(
        &mut self,
        models: &[ModelSource<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        let jobs = models
            .iter()
            .map(|m| Job {
                name: m.name,
                spec: "",
                file: Ok(Cow::Borrowed(m.file)),
            })
            .collect();
        self.measure_jobs(jobs, plan)
    }
}

#[cfg(all(test, unix))]
mod tests;

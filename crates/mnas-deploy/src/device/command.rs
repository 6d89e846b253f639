//! `command:PROGRAM`: a program of the user's measures, on whatever it can reach.
//!
//! The program is started without a shell and without arguments, and speaks JSON lines: one
//! request per line on its standard input, one reply per line on its standard output. Its standard
//! error is shown. First comes a greeting:
//!
//! ```text
//! -> {"request":"hello","protocol":1}
//! <- {"protocol":1,"device":"Some board","engine":"Some engine 1.2","format":"tflite"}
//! ```
//!
//! `format` is the model format that it wants (`onnx` or `tflite`); `library_hash`, up to 64
//! characters, may be added where the engine has one. Then, per network and round:
//!
//! ```text
//! -> {"request":"measure","id":1,"name":"trial 7","spec":"...","model":"/path/model.tflite",
//!     "format":"tflite","runs":50,"warmup":5,"seconds_max":3.0,"precision":"float"}
//! <- {"id":1,"times_ms":[1.25,1.27,...],"dropped":0}
//! <- {"id":1,"error":"why not"}                     (instead)
//! ```
//!
//! `times_ms` has at least `runs` values, each of one inference. The model file is gone after the
//! reply. The program ends when its standard input does. A reply that is late, too long or not of
//! this form ends the program; it is started again for the next network.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Candidate, Device, DeviceError, DeviceInfo, DeviceKind, Measured, ModelSource};
use crate::export::{Format, ModelFile, ModelMeta, export_as};
use crate::measure::statistics::{quantile, spread};
use crate::measure::{MeasureError, MeasurePlan, Samples};

mod process;
mod protocol;

use process::Process;
use protocol::{Hello, Request, VERSION, check_reply, garbage, to_line};

const SCHEME: &str = "command";
const USAGE: &str = "command:PROGRAM   asks a program, by JSON lines";
/// Spread of the rounds' medians above which a measurement is called noisy.
const ROUND_SPREAD_MAX: f64 = 0.05;

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
}

pub(super) struct CommandKind;

impl DeviceKind for CommandKind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        match rest {
            Some(program) if !program.is_empty() => Ok(Box::new(Command::open(
                Path::new(program),
                Limits::STANDARD,
            )?)),
            _ => Err(DeviceError::Argument {
                scheme: SCHEME,
                usage: USAGE,
            }),
        }
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }
}

/// Limits on a program's replies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Time for the greeting.
    pub(crate) hello: Duration,
    /// Time for a reply on top of the plan's `seconds_max`: to send the model, to load it.
    pub(crate) overhead: Duration,
    /// Bytes of a line.
    pub(crate) line: usize,
}

impl Limits {
    const STANDARD: Self = Self {
        hello: Duration::from_secs(30),
        overhead: Duration::from_secs(60),
        line: 1 << 20,
    };
}

/// A model to pass on: name, text (empty where unknown) and file.
struct Job<'a> {
    name: &'a str,
    spec: &'a str,
    file: Result<Cow<'a, ModelFile>, MeasureError>,
}

pub(crate) struct Command {
    program: PathBuf,
    limits: Limits,
    info: DeviceInfo,
    format: Format,
    /// None after it misbehaved, until the next request.
    process: Option<Process>,
    requests: u64,
}

impl Command {
    pub(crate) fn open(program: &Path, limits: Limits) -> Result<Self, CommandError> {
        let (process, hello) = greet(program, &limits)?;
        Ok(Self {
            program: program.into(),
            limits,
            info: DeviceInfo {
                name: format!("{SCHEME}:{}", program.display()),
                device: hello.device,
                engine: hello.engine,
                library_hash: hello.library_hash,
                predicted: false,
            },
            format: hello.format,
            process: Some(process),
            requests: 0,
        })
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
        for round in 0..rounds {
            let count = series.len();
            for turn in 0..count {
                let slot = &mut series[(round + turn) % count];
                let Ok(one) = slot else { continue };
                let asked = one.quota(round, rounds, plan);
                if let Err(error) = self.ask(one, asked, rounds, plan) {
                    *slot = Err(error.into());
                }
            }
        }
        let finish = |s: Result<Series<'_>, MeasureError>| s.map(Series::finish);
        Ok(series.into_iter().map(finish).collect())
    }

    /// One request and its reply.
    fn ask(
        &mut self,
        series: &mut Series<'_>,
        runs: usize,
        rounds: usize,
        plan: &MeasurePlan,
    ) -> Result<(), CommandError> {
        if runs == 0 {
            return Ok(());
        }
        let model = self.write_model(&series.file)?;
        self.requests += 1;
        let id = self.requests;
        let seconds_max = plan.seconds_max / rounds as f64;
        let request = Request::Measure {
            id,
            name: series.name,
            spec: series.spec,
            model: model.path(),
            format: series.file.format,
            runs,
            warmup: plan.warmup,
            seconds_max,
            precision: plan.precision,
        };
        let limit = self.limits.overhead + Duration::from_secs_f64(seconds_max);
        let line = self.exchange(&request, limit)?;
        match check_reply(&line, id, runs) {
            Ok(Ok((times_ms, dropped))) => {
                series.add(times_ms, dropped);
                Ok(())
            }
            Ok(Err(message)) => Err(CommandError::Reported {
                program: self.program.clone(),
                message,
            }),
            Err(problem) => {
                self.process = None;
                Err(garbage(&self.program, &line, problem))
            }
        }
    }

    /// Sends a request to the program, started again where it was ended, and waits for the reply.
    /// After an error the program is ended: its state is unknown.
    fn exchange(
        &mut self,
        request: &Request<'_>,
        limit: Duration,
    ) -> Result<Vec<u8>, CommandError> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => greet(&self.program, &self.limits)?.0,
        };
        let line = process.exchange(&to_line(request), limit)?;
        self.process = Some(process);
        Ok(line)
    }

    fn write_model(&self, file: &ModelFile) -> Result<tempfile::NamedTempFile, CommandError> {
        let pass = |source| CommandError::Pass {
            program: self.program.clone(),
            source,
        };
        let suffix = format!(".{}", file.format.extension());
        let model = tempfile::Builder::new()
            .prefix("mnas-")
            .suffix(&suffix)
            .tempfile()
            .map_err(pass)?;
        std::fs::write(model.path(), &file.bytes).map_err(pass)?;
        Ok(model)
    }
}

fn greet(program: &Path, limits: &Limits) -> Result<(Process, Hello), CommandError> {
    let mut process = Process::start(program, limits.line)?;
    let request = to_line(&Request::Hello { protocol: VERSION });
    let line = process.exchange(&request, limits.hello)?;
    let hello: Hello =
        serde_json::from_slice(&line).map_err(|e| garbage(program, &line, e.to_string()))?;
    if hello.protocol != VERSION {
        let problem = format!("protocol {} instead of {VERSION}", hello.protocol);
        return Err(garbage(program, &line, problem));
    }
    let hash = hello.library_hash.as_deref().unwrap_or_default();
    if hash.len() > 64 || hello.device.is_empty() || hello.engine.is_empty() {
        let problem = "device and engine must be named, library_hash at most 64 characters";
        return Err(garbage(program, &line, problem.into()));
    }
    Ok((process, hello))
}

/// The samples of one network as rounds come in.
struct Series<'a> {
    name: &'a str,
    spec: &'a str,
    file: Cow<'a, ModelFile>,
    times_ms: Vec<f64>,
    dropped: u32,
    medians: Vec<f64>,
}

impl<'a> Series<'a> {
    fn new(name: &'a str, spec: &'a str, file: Cow<'a, ModelFile>) -> Self {
        Self {
            name,
            spec,
            file,
            times_ms: vec![],
            dropped: 0,
            medians: vec![],
        }
    }

    /// Runs to ask for in a round, so that all of them come together in the last.
    fn quota(&self, round: usize, rounds: usize, plan: &MeasurePlan) -> usize {
        let wanted = (plan.runs * (round + 1)).div_ceil(rounds);
        wanted.saturating_sub(self.times_ms.len())
    }

    fn add(&mut self, times_ms: Vec<f64>, dropped: u32) {
        self.medians.push(quantile(&times_ms, 0.5));
        self.times_ms.extend(times_ms);
        self.dropped = self.dropped.saturating_add(dropped);
    }

    fn finish(self) -> Samples {
        let mut samples = Samples::measured(self.times_ms, self.dropped);
        let drift = spread(&self.medians);
        if drift > ROUND_SPREAD_MAX {
            samples.noisy = true;
            let note = format!("medians of the rounds differ by {:.0} %", 100.0 * drift);
            samples.notes.push(note);
        }
        samples
    }
}

impl Device for Command {
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

//! The agent: a measuring program for another machine, which measures there as `host` does here.
//!
//! It answers JSON lines (the protocol of `command:PROGRAM`) on its standard input and output, runs
//! models with the same engines and the same measuring protocol, pins to a big core, waits for a
//! hot device to cool, and tells core, clock and temperature with every reply.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::device::DeviceError;
use crate::device::host;
use crate::device::meter::conditions::Conditions;
use crate::device::meter::protocol::{
    Hello, LINE_MAX, Measure, Reply, Request, TooSlow, VERSION, sha256, to_line,
};
use crate::engine::{self, EngineId, InferenceEngine};
use crate::export::read_model;
use crate::measure::protocol::{System, measure};
use crate::measure::{MeasureError, MeasurePlan, Samples};
use crate::os;

pub(crate) mod board;

use board::Board;

/// Loaded models that are kept for their next round.
const KEPT_MAX: usize = 8;
/// Longest wait for the device to cool.
const COOLING_MAX: Duration = Duration::from_secs(60);
const COOLING_STEP: Duration = Duration::from_secs(1);

/// Answers requests until the input ends, with this engine or the first that is here.
///
/// # Errors
/// [`AgentError::Engine`] where no engine works, [`AgentError::Pipe`] where the caller has gone.
pub fn serve_agent(
    engine: Option<EngineId>,
    input: impl BufRead,
    output: impl Write,
) -> Result<(), AgentError> {
    let engine = match engine {
        Some(engine) => engine,
        None => host::preferred()?,
    };
    Agent::new(engine, Board::of_system())?.serve(input, output)
}

/// Why the agent can't go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No engine, or a broken one.
    #[error(transparent)]
    Engine(#[from] DeviceError),
    /// Standard input or output fails.
    #[error("can't talk to the caller: {0}")]
    Pipe(#[from] io::Error),
}

struct Agent {
    engine: EngineId,
    hello: Hello,
    board: Board,
    /// Loaded models by hash, latest last; `true` where it is warm.
    models: Vec<(String, Box<dyn InferenceEngine>, bool)>,
}

impl Agent {
    fn new(engine: EngineId, board: Board) -> Result<Self, DeviceError> {
        let info = host::info(engine)?;
        Ok(Self {
            engine,
            hello: Hello {
                protocol: VERSION,
                device: board.name.clone().unwrap_or(info.device),
                engine: info.engine,
                format: engine.format(),
                library_hash: info.library_hash,
                board: Some(board.clone()),
            },
            board,
            models: vec![],
        })
    }

    fn serve(&mut self, mut input: impl BufRead, mut output: impl Write) -> Result<(), AgentError> {
        loop {
            let mut line = vec![];
            let read = input
                .by_ref()
                .take(LINE_MAX as u64)
                .read_until(b'\n', &mut line)?;
            // The end, or a line cut off by it.
            if read == 0 || line.last() != Some(&b'\n') {
                return Ok(());
            }
            let answer = match serde_json::from_slice(&line) {
                Ok(Request::Hello { .. }) => to_line(&self.hello),
                Ok(Request::Measure(request)) => to_line(&self.answer(&request)),
                Err(error) => to_line(&Reply {
                    error: Some(format!("this is no request: {error}")),
                    ..Reply::default()
                }),
            };
            output.write_all(answer.as_bytes())?;
            output.flush()?;
        }
    }

    fn answer(&mut self, request: &Measure<'_>) -> Reply {
        let reply = Reply {
            id: request.id,
            ..Reply::default()
        };
        let run = match self.run(request) {
            Ok(run) => run,
            Err(error) => {
                return Reply {
                    error: Some(error.to_string()),
                    ..reply
                };
            }
        };
        let reply = Reply {
            conditions: Some(run.conditions),
            answer: run.answer,
            ..reply
        };
        match run.samples {
            Ok(samples) => Reply {
                times_ms: Some(samples.times_ms),
                dropped: samples.dropped,
                model_sha256: Some(request.model_sha256.clone().into_owned()),
                runs_per_sample: Some(samples.runs_per_sample),
                noisy: samples.noisy,
                notes: samples.notes,
                ..reply
            },
            Err(error) => Reply {
                error: Some(error.to_string()),
                too_slow: too_slow(&error),
                ..reply
            },
        }
    }

    fn run(&mut self, request: &Measure<'_>) -> Result<Run, RequestError> {
        let core = self.core(request.core)?;
        let warm = self.load(&request.model, &request.model_sha256)?;
        let plan = MeasurePlan {
            runs: request.runs,
            // A model that ran a moment ago needs its caches back, no more.
            warmup: if warm { 1 } else { request.warmup.max(1) },
            rounds: 1,
            seconds_max: bounded(request.seconds_max)?,
            core,
            precision: request.precision,
        };
        let mut conditions = Conditions {
            core,
            governor: core.and_then(|c| self.board.governor(c)),
            clock_mhz_max: core.and_then(|c| self.board.clock_mhz_max(c)),
            battery_percent: self.board.battery_percent(),
            ..Conditions::default()
        };
        self.cool(&mut conditions);
        let (_, model, warm) = self.models.last_mut().expect("the model was just loaded");
        let measured = engine::on_own_thread(self.engine, || {
            if let Some(core) = core {
                os::pin_thread(core).map_err(|source| DeviceError::Pin { core, source })?;
            }
            // Drift shows between the rounds, which the caller holds: no anchor is needed.
            let models = std::slice::from_mut(model);
            Ok::<_, DeviceError>(measure(models, None, &plan, &mut System::new(core)))
        })?;
        *warm = true;
        conditions.clock_mhz = core.and_then(|c| self.board.clock_mhz(c));
        conditions.celsius_after = self.board.celsius();
        let samples = measured.into_iter().next();
        Ok(Run {
            samples: samples.expect("one model gives one answer"),
            conditions,
            // What can't be told is absent; why the runs failed is in the samples' place.
            answer: request.answer.then(|| model.output().ok()).flatten(),
        })
    }

    /// The core asked for, else the last of the biggest ones; none where threads can't be pinned.
    fn core(&self, asked: Option<usize>) -> Result<Option<usize>, DeviceError> {
        let allowed = os::allowed_cores();
        match asked {
            Some(core) if !allowed.contains(&core) => Err(DeviceError::Core { core, allowed }),
            Some(core) => Ok(Some(core)),
            None => {
                let cores = self.board.sizes(&allowed);
                Ok(board::biggest(&cores).last().copied())
            }
        }
    }

    /// Brings a model to the end of the list; whether it is warm.
    fn load(&mut self, path: &Path, hash: &str) -> Result<bool, RequestError> {
        if let Some(at) = self.models.iter().position(|(known, ..)| known == hash) {
            let model = self.models.remove(at);
            let warm = model.2;
            self.models.push(model);
            return Ok(warm);
        }
        let bytes = std::fs::read(path).map_err(|e| RequestError::Read(e.to_string()))?;
        let got = sha256(&bytes);
        if got != hash {
            return Err(RequestError::Changed {
                got,
                expected: hash.into(),
            });
        }
        let (file, _) = read_model(bytes).map_err(|e| RequestError::Read(e.to_string()))?;
        let engine = self.engine;
        let model = engine::on_own_thread(engine, || host::load_with_image(&file, engine));
        let model = model.map_err(MeasureError::from)?;
        if self.models.len() == KEPT_MAX {
            self.models.remove(0);
        }
        self.models.push((got, model, false));
        Ok(false)
    }

    /// Waits while the processor is hot.
    fn cool(&self, conditions: &mut Conditions) {
        let start = Instant::now();
        loop {
            conditions.celsius_before = self.board.celsius();
            conditions.hot = self.board.is_hot();
            if !conditions.hot || start.elapsed() >= COOLING_MAX {
                break;
            }
            std::thread::sleep(COOLING_STEP);
        }
        let waited = start.elapsed().as_secs_f64();
        conditions.cooled_s = (waited >= 0.5).then_some(waited);
    }
}

/// What came of a request that could be followed.
struct Run {
    samples: Result<Samples, MeasureError>,
    conditions: Conditions,
    /// The model's own answer, where that was asked for.
    answer: Option<Vec<f32>>,
}

fn too_slow(error: &MeasureError) -> Option<TooSlow> {
    match *error {
        MeasureError::TooSlow {
            kept,
            needed,
            run_ms,
            seconds_max,
        } => Some(TooSlow {
            kept,
            needed,
            run_ms,
            seconds_max,
        }),
        _ => None,
    }
}

/// Why one request has no times.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("can't read the model: {0}")]
    Read(String),
    #[error("the model's sha256 is {got}; {expected} was announced: it changed on the way")]
    Changed { got: String, expected: String },
    #[error("seconds_max is {0}; a positive number is needed")]
    Seconds(f64),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

fn bounded(seconds: f64) -> Result<f64, RequestError> {
    let good = seconds > 0.0 && seconds < 1e6;
    good.then_some(seconds)
        .ok_or(RequestError::Seconds(seconds))
}

#[cfg(all(test, feature = "rten"))]
mod tests;

//! The lines that pass between this program and a measuring program. Both ends are written with
//! these types: the device here and the agent.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::CommandError;
use super::conditions::Conditions;
use crate::agent::board::Board;
use crate::export::Format;
use crate::measure::Precision;

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;

/// Most bytes of a line, either way.
pub(crate) const LINE_MAX: usize = 1 << 20;

/// Notes of a reply that are kept, and characters of each.
const NOTES_MAX: usize = 8;
const TEXT_MAX: usize = 300;

/// What is asked of a measuring program.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase")]
pub(crate) enum Request<'a> {
    /// What are you?
    Hello {
        /// [`VERSION`].
        protocol: u32,
    },
    /// How long does this model take?
    Measure(Measure<'a>),
}

/// A network to measure, for a round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measure<'a> {
    pub(crate) id: u64,
    pub(crate) name: Cow<'a, str>,
    pub(crate) spec: Cow<'a, str>,
    pub(crate) model: Cow<'a, Path>,
    /// Of the model file, in hex.
    pub(crate) model_sha256: Cow<'a, str>,
    pub(crate) format: Format,
    pub(crate) runs: usize,
    pub(crate) warmup: usize,
    pub(crate) seconds_max: f64,
    pub(crate) precision: Precision,
    /// Core to run on; the program chooses without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core: Option<usize>,
    /// Whether to reply with what the model answers to the agent's image, to compare engines by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) answer: bool,
}

/// What a measuring program is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) device: String,
    pub(crate) engine: String,
    pub(crate) format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) library_hash: Option<String>,
    /// Cores, clocks and temperatures as they are at the greeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) board: Option<Board>,
}

/// Checks a greeting.
pub(super) fn check_hello(line: &[u8]) -> Result<Hello, String> {
    let hello: Hello = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if hello.protocol != VERSION {
        return Err(format!("protocol {} instead of {VERSION}", hello.protocol));
    }
    let hash = hello.library_hash.as_deref().unwrap_or_default();
    if hash.len() > 64 || hello.device.is_empty() || hello.engine.is_empty() {
        return Err("device and engine must be named, library_hash at most 64 characters".into());
    }
    Ok(Hello {
        device: readable(&hello.device),
        engine: readable(&hello.engine),
        ..hello
    })
}

/// The answer to [`Request::Measure`]: times, or an error.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_ms: Option<Vec<f64>>,
    #[serde(default)]
    pub(crate) dropped: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Comes with an error where the runs don't fit in the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) too_slow: Option<TooSlow>,
    /// Of the model file that was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_sha256: Option<String>,
    /// Runs that each time is the mean of; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs_per_sample: Option<u32>,
    #[serde(default)]
    pub(crate) noisy: bool,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Core, clock and temperature meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conditions: Option<Conditions>,
    /// What the model answered, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Vec<f32>>,
}

/// See [`crate::MeasureError::TooSlow`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct TooSlow {
    pub(crate) kept: usize,
    pub(crate) needed: usize,
    pub(crate) run_ms: f64,
    pub(crate) seconds_max: f64,
}

pub(crate) fn to_line(message: &impl Serialize) -> String {
    let text = serde_json::to_string(message)
        .expect("lines are numbers and text; a model's path is made here and valid text");
    text + "\n"
}

/// The sha256 of some bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// What a good reply says of one round.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) times_ms: Vec<f64>,
    pub(crate) dropped: u32,
    pub(crate) runs_per_sample: u32,
    pub(crate) noisy: bool,
    pub(crate) notes: Vec<String>,
    pub(crate) conditions: Option<Conditions>,
}

/// Why a program that speaks the protocol gave no times.
#[derive(Debug)]
pub(crate) enum Refusal {
    TooSlow(TooSlow),
    Reported(String),
}

/// What a reply has to answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) id: u64,
    pub(super) runs: usize,
    pub(super) model_sha256: &'a str,
    /// Whether the program has to say which model it ran.
    pub(super) must_echo: bool,
}

/// `Err` where the reply makes no sense.
pub(super) fn check_reply(
    line: &[u8],
    asked: &Asked<'_>,
) -> Result<Result<Times, Refusal>, String> {
    let reply: Reply = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let (id, runs) = (asked.id, asked.runs);
    if reply.id != id {
        return Err(format!("id {} instead of {id}", reply.id));
    }
    match (reply.times_ms, reply.error) {
        (None, Some(message)) => Ok(Err(match reply.too_slow {
            Some(slow) if slow.run_ms > 0.0 && slow.run_ms.is_finite() => Refusal::TooSlow(slow),
            _ => Refusal::Reported(readable(&message)),
        })),
        (Some(times), None) if times.len() < runs => {
            Err(format!("{} times instead of {runs}", times.len()))
        }
        (Some(times_ms), None) => {
            check_echo(reply.model_sha256.as_deref(), asked)?;
            if let Some(bad) = times_ms.iter().find(|t| !(**t > 0.0 && t.is_finite())) {
                return Err(format!("{bad} ms is no latency"));
            }
            let runs_per_sample = reply.runs_per_sample.unwrap_or(1);
            if runs_per_sample == 0 {
                return Err("0 runs per sample".into());
            }
            let notes = reply.notes.iter().take(NOTES_MAX);
            Ok(Ok(Times {
                times_ms,
                dropped: reply.dropped,
                runs_per_sample,
                noisy: reply.noisy,
                notes: notes.map(|n| readable(n)).collect(),
                conditions: reply.conditions,
            }))
        }
        _ => Err("exactly one of times_ms and error is needed".into()),
    }
}

fn check_echo(got: Option<&str>, asked: &Asked<'_>) -> Result<(), String> {
    match got {
        Some(hash) if hash == asked.model_sha256 => Ok(()),
        Some(hash) => Err(format!(
            "it ran model {:.16} instead of {:.16}",
            readable(hash),
            asked.model_sha256
        )),
        None if asked.must_echo => Err("it doesn't say which model it ran".into()),
        None => Ok(()),
    }
}

/// Text of another program as far as people may want to read it: no control characters, which a
/// terminal would obey.
pub(crate) fn readable(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(TEXT_MAX).collect()
}

pub(super) fn garbage(program: &Path, line: &[u8], problem: String) -> CommandError {
    const SHOWN: usize = 200;
    let start = &line[..line.len().min(SHOWN)];
    CommandError::Garbage {
        program: program.into(),
        reply: String::from_utf8_lossy(start).into_owned(),
        problem,
    }
}

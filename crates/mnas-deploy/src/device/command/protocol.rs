//! The lines that pass between this program and a measuring program.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CommandError;
use crate::export::Format;
use crate::measure::Precision;

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "request", rename_all = "lowercase")]
pub(super) enum Request<'a> {
    Hello {
        protocol: u32,
    },
    Measure {
        id: u64,
        name: &'a str,
        spec: &'a str,
        model: &'a Path,
        format: Format,
        runs: usize,
        warmup: usize,
        seconds_max: f64,
        precision: Precision,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) device: String,
    pub(super) engine: String,
    pub(super) format: Format,
    pub(super) library_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    id: u64,
    times_ms: Option<Vec<f64>>,
    #[serde(default)]
    dropped: u32,
    error: Option<String>,
}

pub(super) fn to_line(request: &Request<'_>) -> String {
    let text = serde_json::to_string(request)
        .expect("a request is numbers and text; a model's path is made here and valid text");
    text + "\n"
}

/// Times and dropped samples, or the program's own error; `Err` where the reply makes no sense.
pub(super) type Answer = Result<(Vec<f64>, u32), String>;

pub(super) fn check_reply(line: &[u8], id: u64, runs: usize) -> Result<Answer, String> {
    let reply: Reply = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if reply.id != id {
        return Err(format!("id {} instead of {id}", reply.id));
    }
    match (reply.times_ms, reply.error) {
        (None, Some(message)) => Ok(Err(message)),
        (Some(times), None) if times.len() < runs => {
            Err(format!("{} times instead of {runs}", times.len()))
        }
        (Some(times), None) => match times.iter().find(|t| !(**t > 0.0 && t.is_finite())) {
            Some(bad) => Err(format!("{bad} ms is no latency")),
            None => Ok(Ok((times, reply.dropped))),
        },
        _ => Err("exactly one of times_ms and error is needed".into()),
    }
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

//! `benchmark_model`, TensorFlow Lite's own tool, as the measuring program.
//!
//! It prints no single times, only the mean of its runs. So each of its samples is the mean of a
//! round, and it is started ten times a network or more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::meter::conditions::Conditions;
use super::super::meter::protocol::{Hello, Refusal, Times, VERSION};
use super::super::meter::route::Delivered;
use super::super::meter::{Ask, CommandError, Link, Recovery};
use super::super::remote::shell::quote;
use super::super::remote::{COMMAND_LIMIT, Machine, Site};
use super::Adb;
use crate::agent::board::biggest;
use crate::engine::library::hash_bytes;
use crate::export::{Format, ModelFile};

/// Names the program, built for the phone.
pub(super) const VARIABLE: &str = "MNAS_BENCHMARK_MODEL";
/// Samples per call at least: rounds of a lone network.
const SAMPLES_MIN: usize = 10;
/// Time for a start of the program on top of its runs.
const START_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Benchmark {
    site: Site<Adb>,
    program: PathBuf,
    /// On the phone, and the core to run on; none before it was sent.
    ready: Option<(String, Option<usize>)>,
}

impl Benchmark {
    pub(super) fn new(phone: Adb, program: PathBuf) -> Self {
        Self {
            site: Site::new(phone),
            program,
            ready: None,
        }
    }

    fn prepare(&mut self) -> Result<(String, Option<usize>), CommandError> {
        let place = self.site.prepare()?;
        if let Some(ready) = &self.ready {
            return Ok(ready.clone());
        }
        let remote = self.site.send(&self.program, "benchmark_model", &place)?;
        let script = format!(
            "chmod 755 {}; for c in /sys/devices/system/cpu/cpu[0-9]*; do \
             echo \"${{c##*cpu}} $(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null || echo 0)\"; done",
            quote(&remote)
        );
        let cores = parse_cores(&self.site.machine.sh(&script, COMMAND_LIMIT)?);
        let ready = (remote, biggest(&cores).last().copied());
        self.ready = Some(ready.clone());
        Ok(ready)
    }

    /// One start: the mean of its runs in milliseconds.
    fn start(&mut self, ask: &Ask<'_>, runs: usize) -> Result<Result<f64, Refusal>, CommandError> {
        let (program, big) = self.prepare()?;
        let pin = match ask.core.or(big) {
            Some(core) if core < 64 => format!("taskset {:x} ", 1_u64 << core),
            _ => String::new(),
        };
        // Its bounds on time would add runs; ours is on the whole command.
        let script = format!(
            "{pin}{} --graph={} --num_threads=1 --use_xnnpack=true --warmup_runs={} --num_runs={runs} \
             --warmup_min_secs=0 --min_secs=0 2>&1",
            quote(&program),
            quote(&ask.model.to_string_lossy()),
            ask.warmup,
        );
        let limit = START_LIMIT + Duration::from_secs_f64(ask.seconds_max);
        match self.site.machine.sh(&script, limit) {
            Ok(text) => Ok(parse_mean(&text).ok_or_else(|| {
                let end: Vec<&str> = text.lines().rev().take(2).collect();
                Refusal::Reported(format!(
                    "benchmark_model prints no mean: {}",
                    end.join("; ")
                ))
            })),
            Err(CommandError::Unfit { problem, .. }) => Ok(Err(Refusal::Reported(problem))),
            Err(error) => Err(error),
        }
    }
}

impl Link for Benchmark {
    fn label(&self) -> &Path {
        self.site.machine.label()
    }

    fn hello(&mut self) -> Result<Hello, CommandError> {
        self.ready = None;
        self.prepare()?;
        let program = std::fs::read(&self.program).map_err(|source| CommandError::Pass {
            program: self.label().into(),
            source,
        })?;
        Ok(Hello {
            protocol: VERSION,
            device: self.site.machine.describe().unwrap_or_default(),
            engine: "benchmark_model (TensorFlow Lite)".into(),
            format: Format::Tflite,
            library_hash: Some(hash_bytes(&program)),
            board: None,
        })
    }

    fn deliver(&mut self, file: &ModelFile, sha256: &str) -> Result<Delivered, CommandError> {
        self.site.deliver(file, sha256)
    }

    fn remove(&mut self, delivered: Delivered) {
        self.site.remove(&delivered);
    }

    fn measure(&mut self, ask: &Ask<'_>) -> Result<Result<Times, Refusal>, CommandError> {
        let starts = ask.runs.min(SAMPLES_MIN);
        let each = ask.runs.div_ceil(starts);
        let mut times_ms = vec![];
        for _ in 0..starts {
            match self.start(ask, each)? {
                Ok(mean) => times_ms.push(mean),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let core = self.ready.as_ref().and_then(|(_, big)| ask.core.or(*big));
        Ok(Ok(Times {
            times_ms,
            dropped: 0,
            runs_per_sample: u32::try_from(each).unwrap_or(u32::MAX),
            noisy: false,
            notes: vec!["benchmark_model tells means only: each sample is one start of it".into()],
            conditions: Some(Conditions {
                core,
                ..Conditions::default()
            }),
        }))
    }

    fn recover(&mut self, patience: Duration) -> Recovery {
        self.ready = None;
        self.site.recover(patience)
    }
}

/// `CORE KILOHERTZ` a line.
fn parse_cores(text: &str) -> Vec<(usize, u64)> {
    let line = |l: &str| {
        let (core, clock) = l.trim().split_once(' ')?;
        Some((core.parse().ok()?, clock.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The mean after warming up, from microseconds: `Inference (avg): 4226.68`, or, of older versions,
/// the last line `count=50 first=... avg=4226.7 std=30`.
fn parse_mean(text: &str) -> Option<f64> {
    let value = |after: &str, text: &str| {
        let rest = text.split(after).last().filter(|_| text.contains(after))?;
        let number = rest
            .trim_start()
            .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == 'e' || c == '+'));
        number.into_iter().next()?.parse::<f64>().ok()
    };
    let microseconds = value("Inference (avg):", text).or_else(|| {
        let line = text
            .lines()
            .rev()
            .find(|l| l.contains("count=") && l.contains("avg="))?;
        value("avg=", line)
    })?;
    (microseconds > 0.0 && microseconds.is_finite()).then_some(microseconds / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_benchmark_model_prints_is_read() {
        let check = |text: &str, expected: Option<f64>| {
            let got = parse_mean(text);
            assert!(
                got.zip(expected).is_some_and(|(g, e)| (g - e).abs() < 1e-9) || got == expected,
                "{text}: {got:?}"
            );
        };
        let new = "INFO: Initialized TensorFlow Lite runtime.\n\
            INFO: count=5 first=9043 curr=4200 min=4190 max=9043 avg=5200 std=30\n\
            INFO: count=50 first=4267 curr=4220 min=4191 max=4390 avg=4226.68 std=30\n\
            INFO: Inference timings in us: Init: 5342, First inference: 9043, Warmup (avg): 5200, Inference (avg): 4226.68\n\
            INFO: Memory footprint delta ...: init=3.1 overall=6.2\n";
        check(new, Some(4.22668));
        check(
            "count=5 avg=99 std=1\ncount=50 first=1 curr=2 min=1 max=2 avg=1.5e+03 std=0\n",
            Some(1.5),
        );
        check("Inference (avg): 0\n", None);
        check("ERROR: Failed to apply XNNPACK delegate.\n", None);
        check("", None);
        assert_eq!(
            parse_cores("0 1800000\n7 2850000\nx\n\n"),
            [(0, 1_800_000), (7, 2_850_000)]
        );
    }
}

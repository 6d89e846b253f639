//! Running algorithms on a problem, and reading runs of other programs.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use mnas_search::{ControllerSpec, Observation, build};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// One search: what was proposed, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Name of the problem.
    pub(crate) problem: String,
    /// Name of the algorithm.
    pub(crate) algorithm: String,
    /// Seed.
    pub(crate) seed: u64,
    /// Samples as digits, one each decision.
    pub(crate) samples: Vec<String>,
    /// Seconds, measuring nothing included.
    pub(crate) seconds: f64,
}

/// What to run.
pub(crate) struct Job<'a> {
    pub(crate) algorithm: &'a str,
    pub(crate) settings: &'a [(String, f64)],
    pub(crate) seeds: std::ops::Range<u64>,
    pub(crate) trials: u64,
    pub(crate) batch: u64,
}

/// Runs every seed.
pub(crate) fn run(problem: &Problem, job: &Job<'_>) -> Result<Vec<Run>, String> {
    let spec = ControllerSpec {
        algorithm: job.algorithm.into(),
        settings: job.settings.iter().cloned().collect(),
    };
    spec.check().map_err(|e| e.to_string())?;
    let one = |seed: u64| -> Result<Run, String> {
        let setup = problem
            .setup
            .clone()
            .seed(seed)
            .planned(job.trials, job.batch);
        let mut controller = build(&spec, &setup).map_err(|e| e.to_string())?;
        let start = Instant::now();
        let mut samples = vec![];
        let trials: Vec<u64> = (0..job.trials).collect();
        for batch in trials.chunks(job.batch as usize) {
            let observe = |trial: &u64| {
                let tokens = controller.propose(*trial);
                let measured = (problem.measure)(&tokens, seed, *trial);
                samples.push(digits(&tokens));
                Observation {
                    trial: *trial,
                    tokens,
                    reward: Some(measured.told),
                    accuracy: measured.apart.map(|m| m.0),
                    latency_ms: measured.apart.map(|m| m.1),
                }
            };
            let observations: Vec<Observation> = batch.iter().map(observe).collect();
            controller.observe(&observations);
        }
        Ok(Run {
            problem: problem.name.clone(),
            algorithm: job.algorithm.into(),
            seed,
            samples,
            seconds: start.elapsed().as_secs_f64(),
        })
    };
    job.seeds.clone().into_par_iter().map(one).collect()
}

fn digits(tokens: &[u16]) -> String {
    tokens.iter().map(|t| char::from(b'0' + *t as u8)).collect()
}

/// Tokens of a sample written as digits.
pub(crate) fn tokens(sample: &str) -> Vec<u16> {
    sample
        .bytes()
        .map(|b| u16::from(b.saturating_sub(b'0')))
        .collect()
}

/// Runs of other programs on the problem.
pub(crate) fn read(path: &Path, problem: &Problem) -> Result<Vec<Run>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut runs = vec![];
    for line in text.lines() {
        let run: Run =
            serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display()))?;
        // Programs that know nothing of networks ran every problem blind.
        let same = |name: &str| name == problem.name.trim_end_matches("-blind");
        if same(&run.problem) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Appends the runs of a problem.
pub(crate) fn write(path: &Path, problem: &Problem, runs: &[Run]) -> Result<(), String> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    for run in runs.iter().filter(|r| r.problem == problem.name) {
        let line = serde_json::to_string(run).map_err(|e| e.to_string())?;
        writeln!(file, "{line}").map_err(|e| e.to_string())?;
    }
    Ok(())
}

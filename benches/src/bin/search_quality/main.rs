//! How well search algorithms search, on ground whose optimum is known. No network is trained.
//!
//!     search_quality --data DIR [--problems A,B] [--algorithms A,B] [--set NAME=VALUE]...
//!                    [--seeds N] [--first-seed N] [--trials N] [--batch N] [--peer FILE.jsonl] [--json] [--runs FILE.jsonl]
//!
//! `--data` is a folder that holds `nas-bench-macro/` and `hw-latency/`. `--peer` scores runs of other
//! programs on the same problems (`benches/search-quality/optuna_peer.py` writes them) by the same
//! arithmetic. `docs/search-quality.md` has the tables that this program printed.

mod hardware;
mod problem;
mod run;
mod score;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::problem::Problem;
use crate::run::{Job, Run};

/// What was asked for.
struct Args {
    data: PathBuf,
    problems: Vec<String>,
    algorithms: Vec<String>,
    settings: Vec<(String, f64)>,
    seeds: u64,
    first_seed: u64,
    trials: u64,
    batch: u64,
    peer: Option<PathBuf>,
    runs: Option<PathBuf>,
    json: bool,
}

fn args() -> Result<Args, String> {
    let mut args = Args {
        data: PathBuf::new(),
        problems: vec![],
        algorithms: vec!["surrogate".into()],
        settings: vec![],
        seeds: 10,
        first_seed: 0,
        trials: 100,
        batch: 1,
        peer: None,
        runs: None,
        json: false,
    };
    let list = |v: String| v.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        if flag == "--json" {
            args.json = true;
            continue;
        }
        let value = words.next().ok_or(format!("{flag} needs a value"))?;
        let whole = || value.parse::<u64>().map_err(|e| format!("{flag}: {e}"));
        match flag.as_str() {
            "--data" => args.data = value.into(),
            "--problems" => args.problems = list(value),
            "--algorithms" => args.algorithms = list(value),
            "--seeds" => args.seeds = whole()?,
            "--first-seed" => args.first_seed = whole()?,
            "--trials" => args.trials = whole()?,
            "--batch" => args.batch = whole()?.max(1),
            "--peer" => args.peer = Some(value.into()),
            "--runs" => args.runs = Some(value.into()),
            "--set" => {
                let (name, number) = value.split_once('=').ok_or("--set NAME=VALUE")?;
                let number = number.parse().map_err(|e| format!("{value}: {e}"))?;
                args.settings.push((name.into(), number));
            }
            other => return Err(format!("unknown flag {other}; see the top of this file")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match args().and_then(|args| go(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("search_quality: {message}");
            ExitCode::from(2)
        }
    }
}

fn go(args: &Args) -> Result<(), String> {
    let known = problem::all(&args.data)?;
    let chosen: Vec<&Problem> = known
        .iter()
        .filter(|p| args.problems.is_empty() || args.problems.contains(&p.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = known.iter().map(|p| p.name.as_str()).collect();
        return Err(format!("no such problem; known: {}", names.join(", ")));
    }
    for problem in chosen {
        let mut runs: Vec<Run> = vec![];
        for algorithm in &args.algorithms {
            let job = Job {
                algorithm,
                settings: &args.settings,
                seeds: args.first_seed..args.first_seed + args.seeds,
                trials: args.trials,
                batch: args.batch,
            };
            runs.extend(run::run(problem, &job)?);
        }
        if let Some(peer) = &args.peer {
            runs.extend(run::read(peer, problem)?);
        }
        if let Some(path) = &args.runs {
            run::write(path, problem, &runs)?;
        }
        score::print(problem, &runs, args.json);
    }
    Ok(())
}

//! Studies whose trials sleep (`benches/src/bin/utilisation.rs`): what a cluster does to them, without
//! the noise of training.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::faults::Cluster;
use super::network::{Network, signal};

/// Names the built program.
const VARIABLE: &str = "MNAS_TEST_UTILISATION";

const PATIENCE: Duration = Duration::from_secs(400);

fn command(environment: Vec<(String, String)>, args: &[String]) -> Command {
    let program = std::env::var_os(VARIABLE).expect("MNAS_TEST_UTILISATION names no program");
    let mut command = Command::new(PathBuf::from(program));
    command.args(args).envs(environment);
    command
}

fn finished(mut command: Command) -> Value {
    let out = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {stderr}");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn words(engine: Vec<String>, more: &str) -> Vec<String> {
    let more = more.split_whitespace().map(String::from);
    engine.into_iter().chain(more).collect()
}

/// Prints the figures without the networks.
fn show(found: &Value) {
    let mut figures = found.clone();
    figures["course"] = Value::Null;
    println!("{figures}");
}

/// Trials of 5 s on two workers; `engine` with its settings.
fn busy(engine: Vec<String>, environment: Vec<(String, String)>, least: f64) {
    let args = words(engine, "trials=60 workers=2 seconds=5");
    let found = finished(command(environment, &args));
    show(&found);
    assert!(found["busy"].as_f64().unwrap() >= least, "{found}");
}

pub(crate) fn check_busy_here() {
    busy(vec!["local".into()], vec![], 0.9);
}

pub(crate) fn check_busy(cluster: &dyn Cluster) {
    busy(cluster.engine(), cluster.environment(), 0.8);
}

/// One phone: measurements are jobs that never run beside each other, while trainings do.
pub(crate) fn check_phone(cluster: &dyn Cluster) {
    let settings = "trials=24 batch=6 staleness=2 workers=4 seconds=2 measure_seconds=0.4";
    let args = words(cluster.engine(), &format!("{settings} {}", cluster.phone()));
    let found = finished(command(cluster.environment(), &args));
    show(&found);
    let number = |key: &str| found[key].as_u64().unwrap();
    assert!(number("measurements") >= number("trained"), "{found}");
    assert_eq!(number("measurements_overlapping"), 0, "{found}");
    assert!(number("measurements_beside_training") > 0, "{found}");
}

/// The second node's cable is pulled while it trains, and its files are out of reach with it. When
/// its trials have been given up, it goes on and answers: too late.
pub(crate) fn check_cut(cluster: &dyn Cluster, network: &Network) {
    let kept = tempfile::tempdir().unwrap();
    let at = |name: &str| kept.path().join(name).display().to_string();
    let settings = "trials=24 batch=8 workers=4 per_job=1";
    let here = words(
        vec!["local".into()],
        &format!("{settings} seconds=0 dir={}", at("here")),
    );
    let expected = finished(command(vec![], &here));
    let there = format!("{settings} seconds=4 dir={}", at("there"));
    let mut search = command(cluster.environment(), &words(cluster.engine(), &there));
    let search = search.stdout(Stdio::piped()).spawn().unwrap();
    let view = || -> Value {
        let mut report = Command::new(env!("CARGO_BIN_EXE_mnas"));
        let out = report.args(["report", &at("there"), "--json"]).output();
        serde_json::from_slice(&out.unwrap().stdout).unwrap_or_default()
    };
    let total = |view: &Value, key: &str| view["totals"][key].as_u64().unwrap_or(0);
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "no {what}");
            std::thread::park_timeout(Duration::from_millis(200));
        }
        println!("{what} after {:.0} s", begun.elapsed().as_secs_f64());
    };
    wait("trained networks", &|| total(&view(), "trained") >= 4);
    wait("worker on the node", &|| !network.workers().is_empty());
    let frozen = network.workers();
    signal("-STOP", &frozen);
    network.cut();
    wait("retry", &|| total(&view(), "retries") > 0);
    signal("-CONT", &frozen);
    wait("late result, or end", &|| {
        let view = view();
        total(&view, "stale") > 0 || total(&view, "trained") + total(&view, "duplicates") == 24
    });
    network.heal();
    let out = search.wait_with_output().unwrap();
    assert!(out.status.success());
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(found["course"], expected["course"]);
    let view = view();
    assert_eq!(total(&view, "pending") + total(&view, "lost"), 0);
    println!(
        "{} attempts were repeated, {} results came too late and didn't count",
        total(&view, "retries"),
        total(&view, "stale")
    );
}

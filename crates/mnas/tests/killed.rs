//! `kill -9` at random moments, then `mnas resume`: the same proposals as the run that was not
//! interrupted, no trial lost, none doubled.

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{command, json, mnas, study};
use mnas_net::{Purpose, stream};
use serde_json::Value;

/// Kills per run; the environment may ask for more.
const KILLS: u64 = 4;

fn proposals(view: &Value) -> Vec<(u64, String)> {
    let trials = view["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|t| (t["trial"].as_u64().unwrap(), t["spec"].to_string()))
        .collect()
}

#[test]
fn a_killed_search_goes_on_where_it_was() {
    let kills = std::env::var("MNAS_TEST_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let (_kept, folder) = study();
    let begun = Instant::now();
    let whole = json(&folder, &["search", "study.toml", "--dir", "whole"]);
    let length = begun.elapsed();
    let expected = proposals(&whole);
    assert_eq!(expected.len(), 6);
    let mut random = stream(7, 0, Purpose::Sample);
    for kill in 0..kills {
        let dir = format!("killed-{kill}");
        let mut search = command(&folder, &["search", "study.toml", "--dir", &dir])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moment = length.mul_f64(random.uniform());
        let begun = Instant::now();
        while begun.elapsed() < moment && search.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        // SIGKILL on Unix: nothing is tidied up.
        search.kill().unwrap();
        search.wait().unwrap();
        // Killed before the first event there is no study yet, and searching again begins it.
        let resumed = match mnas(&folder, &["resume", &dir]).status.code() {
            Some(5) => json(&folder, &["search", "study.toml", "--dir", &dir]),
            _ => json(&folder, &["report", &dir]),
        };
        assert_eq!(proposals(&resumed), expected, "killed after {moment:?}");
        let accuracies = |view: &Value| -> Vec<String> {
            view["trials"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t["accuracy"].to_string())
                .collect()
        };
        assert_eq!(
            accuracies(&resumed),
            accuracies(&whole),
            "killed after {moment:?}"
        );
        assert_eq!(resumed["totals"]["pending"], 0);
    }
}

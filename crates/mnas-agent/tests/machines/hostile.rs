//! Agents that misbehave: a failed measurement with its reason, within the limits.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mnas_deploy::{CommandError, DeviceError, MeasureError, open};

use super::place::{measure, script};
use super::ssh::Board;

/// Starts as the other hostile programs do, under a name of its own.
const HOSTILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../mnas-deploy/tests/data/hostile.sh"
);

fn agent(folder: &Path) -> Vec<(&'static str, OsString)> {
    let agent = script(folder, "#!/bin/sh\nexec \"./$(cat ../how)\"\n");
    for how in [
        "mute", "babbler", "future", "nameless", "binary", "quitter", "flood", "half", "few",
        "other", "both", "neither", "sorry", "silent", "liar", "negative",
    ] {
        fs::copy(HOSTILE, agent.join(how)).unwrap();
    }
    vec![
        ("MNAS_AGENT", agent.into()),
        ("MNAS_DEVICE_WAIT_S", "1".into()),
    ]
}

#[test]
fn misbehaving_agents_fail_with_their_reason() {
    Board::run(
        "hostile::misbehaving_agents_fail_with_their_reason",
        &agent,
        |board| {
            let how = |name: &str| {
                fs::create_dir_all(board.cache()).unwrap();
                fs::write(board.cache().join("how"), name).unwrap();
            };
            let greets = |name: &str, expected: &str| {
                how(name);
                let start = Instant::now();
                let error = open(&board.name()).err().unwrap().to_string();
                assert!(error.contains(expected), "{name}: {error}");
                assert!(start.elapsed() < Duration::from_secs(60), "{name}");
            };
            greets("mute", "ended without a reply");
            greets("babbler", "expected value");
            greets("future", "protocol 2 instead of 1");
            greets("nameless", "must be named");
            greets("binary", "expected value");
            let replies = |name: &str, expected: &str| {
                how(name);
                let mut device = open(&board.name()).unwrap();
                let start = Instant::now();
                let error = match measure(&mut *device, &["one"]) {
                    Ok(mut answers) => match answers.remove(0) {
                        Err(MeasureError::Command(error)) => error,
                        other => panic!("{name}: {other:?}"),
                    },
                    Err(DeviceError::Command(error)) => error,
                    Err(other) => panic!("{name}: {other}"),
                };
                assert!(
                    !matches!(error, CommandError::Lost { .. }),
                    "{name}: the board is there"
                );
                assert!(error.to_string().contains(expected), "{name}: {error}");
                assert!(start.elapsed() < Duration::from_secs(60), "{name}");
            };
            // The program ends each time it is tried.
            replies("quitter", "ended without a reply (exit status: 3)");
            replies("half", "ended without a reply");
            replies("flood", "expected value");
            replies("few", "3 times instead of 50");
            replies("other", "id 99 instead of 1");
            replies("both", "exactly one of times_ms and error");
            replies("neither", "exactly one of times_ms and error");
            replies("sorry", "reports: no board");
            replies("silent", "doesn't say which model it ran");
            replies("liar", "it ran model 0000");
        },
    );
}

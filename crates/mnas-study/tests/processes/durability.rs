//! What a store acknowledged is there after a kill.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use mnas_search::Event;
use mnas_study::{Sqlite, Store};

/// Appends events for ever, and prints each one's position once it is acknowledged.
pub(crate) fn append(path: &str) -> ExitCode {
    let mut store = Sqlite::open(Path::new(path)).unwrap();
    let mut out = std::io::stdout().lock();
    for n in 0u64.. {
        let event = |part| Event::Stopped {
            reason: format!("{n} {part} {}", "x".repeat(500)),
        };
        let seq = store.append(n, &[event("first"), event("second")]).unwrap();
        if writeln!(out, "{seq}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

pub(crate) fn what_was_acknowledged_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.db");
    drop(Sqlite::create(&path).unwrap());
    let mut stored = 0;
    // Each round kills at another moment of its writing.
    for acknowledgements in [1, 7, 20, 33] {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .arg("append")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let seqs = lines
            .take(acknowledgements)
            .map(|l| l.unwrap().parse::<u64>().unwrap());
        let acknowledged = seqs.last().unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        let events = Sqlite::open(&path).unwrap().read_from(1).unwrap();
        let seqs: Vec<u64> = events.iter().map(|s| s.seq).collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
        assert!(
            seqs.len() as u64 >= acknowledged,
            "{} of {acknowledged}",
            seqs.len()
        );
        assert!(
            seqs.len() > stored && seqs.len().is_multiple_of(2),
            "half an append: {}",
            seqs.len()
        );
        stored = seqs.len();
    }
}

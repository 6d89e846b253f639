//! What a running search looks like: on a terminal of 80 columns, and in a log.

#![cfg(unix)]

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::process::Command;

use common::{command, study};

/// What a terminal shows between two moves of its cursor, without colours.
fn pieces(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let (mut pieces, mut piece) = (vec![], String::new());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // A control sequence ends with a letter: m sets a colour, the others move or clear.
                let end = chars.by_ref().find(char::is_ascii_alphabetic);
                if end != Some('m') {
                    pieces.push(std::mem::take(&mut piece));
                }
            }
            '\r' | '\n' => pieces.push(std::mem::take(&mut piece)),
            c => piece.push(c),
        }
    }
    pieces.push(piece);
    pieces
}

#[test]
fn progress_fits_a_terminal_of_80_columns() {
    let (_kept, folder) = study();
    let search = format!(
        "stty cols 80 rows 24 && exec '{}' search study.toml",
        env!("CARGO_BIN_EXE_mnas")
    );
    // The program `script` (util-linux) gives what it runs a terminal of its own.
    let out = Command::new("script")
        .args(["-qefc", &search, "/dev/null"])
        .current_dir(&folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("TERM", "xterm-256color")
        .env_remove("COLUMNS")
        .output();
    let out = match out {
        Ok(out) if !String::from_utf8_lossy(&out.stderr).contains("script:") => out,
        _ => {
            println!("skipped: progress on a terminal (no util-linux script)");
            return;
        }
    };
    let shown = pieces(&out.stdout);
    let all = shown.join("|");
    assert!(out.status.success(), "{all}");
    assert!(out.stdout.contains(&0x1b), "a terminal gets a bar: {all}");
    let bars: Vec<&String> = shown.iter().filter(|p| p.contains("/6 ")).collect();
    assert!(bars.iter().any(|b| b.starts_with("search ")), "{all}");
    for bar in &bars {
        assert!(bar.chars().count() <= 80, "{bar}");
        // The final round may be of six steps too.
        let named = bar.starts_with("search ") || bar.starts_with("final ");
        assert!(named, "{bar}");
    }
}

#[test]
fn a_log_has_lines_and_no_control_codes() {
    let (_kept, folder) = study();
    let out = command(&folder, &["search", "study.toml"])
        .output()
        .unwrap();
    let log = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{log}");
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!log.chars().any(control), "{log:?}");
    assert!(!String::from_utf8(out.stdout).unwrap().chars().any(control));
    let progress: Vec<&str> = log.lines().filter(|l| l.starts_with("search ")).collect();
    assert!(!progress.is_empty(), "{log}");
    assert!(
        progress
            .iter()
            .all(|l| l.contains("/6 (") && l.contains(" %)")),
        "{log}"
    );
    // A study of seconds needs no more than a line per phase.
    assert!(log.lines().count() < 40, "{log}");
}

//! Automation of this repository.
//!
//! `cargo xtask ci` is everything CI runs: house rules, format, lints, documentation, and tests with
//! their oracles. `cargo xtask test` is the tests alone. `cargo xtask cluster-test NAME` runs a study on a real cluster. Nothing needs installing: what is absent is skipped by name.

mod cluster;
mod oracle;
mod paper;
mod tidy;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask ci | test [FILTER...] | lint | tidy | docs | cluster-test NAME | paper NAME [DIR]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let done = match args.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("test") => test(rest),
        Some("lint") => lint(),
        Some("tidy") => tidy::check(),
        Some("docs") => docs(),
        Some("paper") => paper::run(rest),
        Some("cluster-test") => cluster::test(rest),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<()> {
    tidy::check()?;
    lint()?;
    docs()?;
    // Last, so that the test runner's summary closes the output.
    test(&[])
}

fn cargo(args: &[&str], envs: &[(String, String)]) -> Result<()> {
    eprintln!("xtask: cargo {}", args.join(" "));
    let status = Command::new(env!("CARGO"))
        .args(args)
        .envs(envs.iter().map(|(k, v)| (k, v)))
        .status()
        .context("cargo did not start")?;
    if !status.success() {
        bail!("cargo {} failed ({status})", args.join(" "));
    }
    Ok(())
}

/// Whether a cargo subcommand is installed.
fn has(subcommand: &str) -> bool {
    Command::new(env!("CARGO"))
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|o| o.status.success())
}

fn test(filter: &[String]) -> Result<()> {
    let envs = oracle::environment();
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    if filter.is_empty() {
        cargo(&["test", "--workspace", "--doc"], &envs)?;
    }
    let runner: &[&str] = if has("nextest") {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--all-targets", "--no-fail-fast"]
    };
    cargo(&[runner, &filter].concat(), &envs)
}

fn lint() -> Result<()> {
    if has("fmt") {
        cargo(&["fmt", "--all", "--check"], &[])?;
    } else {
        eprintln!("skipped: format check (no rustfmt)");
    }
    if has("clippy") {
        cargo(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        )
    } else {
        eprintln!("skipped: lints (no clippy)");
        Ok(())
    }
}

fn docs() -> Result<()> {
    let strict = ("RUSTDOCFLAGS".to_string(), "-D warnings".to_string());
    cargo(&["doc", "--workspace", "--no-deps"], &[strict])
}

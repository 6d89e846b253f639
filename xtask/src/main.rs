//! Automation of this repository.
//!
//! `cargo xtask ci` is everything CI runs: house rules, format, lints, documentation, and tests with
//! their oracles. `cargo xtask test` is the tests alone. `cargo xtask sanitize` runs the kernels' tests
//! under AddressSanitizer. `cargo xtask cluster-test NAME` runs studies on a real cluster. `cargo xtask
//! screenshots` makes the pictures of the dashboard in docs/dashboard. Nothing needs installing: what
//! is absent is skipped by name.

mod arm;
mod cluster;
mod oracle;
mod paper;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask ci | test [FILTER...] | lint | tidy | docs | sanitize | screenshots | cluster-test NAME | paper NAME [DIR]";

/// What the tests build beside the default: it needs a PostgreSQL server only to do more than skip.
const FEATURES: [&str; 2] = ["--features", "mnas/postgres"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let done = match args.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("test") => test(rest),
        Some("lint") => lint(),
        Some("tidy") => tidy::check(),
        Some("docs") => docs(),
        Some("sanitize") => sanitize(),
        Some("screenshots") => screenshots(),
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
    let mut envs = oracle::environment();
    envs.extend(arm::environment(oracle::REQUIREMENTS));
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    if filter.is_empty() {
        cargo(
            &[&["test", "--workspace", "--doc"], &FEATURES[..]].concat(),
            &envs,
        )?;
    }
    let runner: &[&str] = if has("nextest") {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--all-targets", "--no-fail-fast"]
    };
    cargo(&[runner, &FEATURES, &filter].concat(), &envs)
}

/// Runs a program that has to succeed.
fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{command:?} did not start"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// The kernels' tests under AddressSanitizer: a load or store outside a buffer ends them. The compiler's
/// switch for it is unstable, so the stable compiler is told to take it.
fn sanitize() -> Result<()> {
    let version = Command::new("rustc").arg("-vV").output()?.stdout;
    let version = String::from_utf8(version)?;
    let host = version.lines().find_map(|l| l.strip_prefix("host: "));
    let host = host.context("rustc names no host")?;
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    cargo(
        &["test", "-p", "mnas-kernels", "--lib", "--target", host],
        &[
            set("RUSTC_BOOTSTRAP", "1"),
            set("RUSTFLAGS", "-Zsanitizer=address"),
        ],
    )
}

/// Pictures of the dashboard's pages, taken by its browser test.
fn screenshots() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let folder = root.context("no workspace folder")?.join("docs/dashboard");
    std::fs::create_dir_all(&folder)?;
    let folder = ("MNAS_SCREENSHOTS".into(), folder.display().to_string());
    let test = [
        "test",
        "-p",
        "mnas",
        "--test",
        "dashboard",
        "pictures",
        "--",
        "--nocapture",
    ];
    cargo(&test, &[folder])
}

fn lint() -> Result<()> {
    if has("fmt") {
        cargo(&["fmt", "--all", "--check"], &[])?;
    } else {
        eprintln!("skipped: format check (no rustfmt)");
    }
    if has("clippy") {
        let clippy = ["clippy", "--workspace", "--all-targets"];
        let deny = ["--", "-D", "warnings"];
        cargo(&[&clippy[..], &deny].concat(), &[])?;
        cargo(&[&clippy[..], &FEATURES, &deny].concat(), &[])
    } else {
        eprintln!("skipped: lints (no clippy)");
        Ok(())
    }
}

fn docs() -> Result<()> {
    let strict = ("RUSTDOCFLAGS".to_string(), "-D warnings".to_string());
    cargo(&["doc", "--workspace", "--no-deps"], &[strict])
}

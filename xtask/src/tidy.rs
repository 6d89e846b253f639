//! House rules that neither Cargo nor clippy can hold: who imports whom, file and function lengths,
//! unfinished marks, a documentation page per extension point.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Crates and what they may depend on within the workspace (an arrow only points down).
const FLOORS: &[(&str, &[&str])] = &[
    ("mnas-net", &[]),
    ("mnas-kernels", &[]),
    ("mnas-search", &["mnas-net"]),
    ("mnas-train", &["mnas-net", "mnas-kernels"]),
    ("mnas-deploy", &["mnas-net"]),
    (
        "mnas-study",
        &["mnas-net", "mnas-search", "mnas-train", "mnas-deploy"],
    ),
    ("mnas-agent", &["mnas-deploy"]),
    ("mnas-report", &["mnas-net", "mnas-search"]),
];

/// What the pure crates must not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "std::env",
];

const FILE_LINES_MAX: usize = 600;
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Checks the tree and fails with every offence.
pub(crate) fn check() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace folder")?;
    let mut offences = vec![];
    floors(root, &mut offences)?;
    for file in rust_files(&root.join("crates"))? {
        source(root, &file, &mut offences)?;
    }
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))?
        .lines()
        .count();
    if architecture > ARCHITECTURE_LINES_MAX {
        offences.push(format!(
            "ARCHITECTURE.md has {architecture} lines; {ARCHITECTURE_LINES_MAX} at most"
        ));
    }
    if offences.is_empty() {
        eprintln!("xtask: tidy");
        return Ok(());
    }
    bail!("not tidy:\n  {}", offences.join("\n  "))
}

fn floors(root: &Path, offences: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in FLOORS {
        let manifest = fs::read_to_string(root.join("crates").join(name).join("Cargo.toml"))?;
        let normal = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        let own = normal
            .lines()
            .filter_map(|l| l.split(['.', ' ', '=']).next());
        for dependency in own.filter(|d| d.starts_with("mnas-") && d != name) {
            if !allowed.contains(&dependency) {
                offences.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    Ok(())
}

fn source(root: &Path, file: &Path, offences: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let shown = file
        .strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string();
    let test_file = shown.contains("/tests/") || shown.ends_with("/tests.rs");
    let lines = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .count();
    if lines > FILE_LINES_MAX && !test_file {
        offences.push(format!(
            "{shown} has {lines} lines without its tests; {FILE_LINES_MAX} at most"
        ));
    }
    let pure = ["mnas-net/src", "mnas-search/src"]
        .iter()
        .any(|p| shown.contains(p));
    for (number, line) in text.lines().enumerate() {
        let at = format!("{shown}:{}", number + 1);
        if ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("]
            .iter()
            .any(|m| line.contains(m))
        {
            offences.push(format!("{at}: unfinished mark"));
        }
        if line.trim() == "#[ignore]" {
            offences.push(format!("{at}: ignored test"));
        }
        if pure && !test_file && IMPURE.iter().any(|word| line.contains(word)) {
            offences.push(format!("{at}: the pure crates do no I/O and read no clock"));
        }
        if shown.contains("mnas-search/src/controller") && line.contains("mnas_net::") {
            let random =
                line.contains("Purpose") || line.contains("stream") || line.contains("Stream");
            if !random {
                offences.push(format!(
                    "{at}: algorithms see decisions and rewards, never networks"
                ));
            }
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

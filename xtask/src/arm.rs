//! The agent for ARM and LiteRT's library for it, made where a cross compiler and qemu are present:
//! tests run them under `qemu-user`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// Environment variables for the test run: where agent and library are.
pub(crate) fn environment(requirements: &str) -> Vec<(String, String)> {
    match prepare(requirements) {
        Ok((agent, library)) => [
            ("MNAS_AGENT_AARCH64", agent),
            ("MNAS_LITERT_AARCH64", library),
        ]
        .map(|(name, path)| (name.to_string(), path.display().to_string()))
        .into(),
        Err(e) => {
            eprintln!("skipped: the agent for ARM ({e:#})");
            vec![]
        }
    }
}

fn prepare(requirements: &str) -> Result<(PathBuf, PathBuf)> {
    for (program, package) in [
        (LINKER, "gcc-aarch64-linux-gnu"),
        ("qemu-aarch64-static", "qemu-user-static"),
    ] {
        let found = Command::new(program).arg("--version").output();
        if found.is_err() {
            bail!("{program} isn't installed (Debian's package {package})");
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace folder")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let library = library(&target.join("litert-aarch64"), requirements)?;
    eprintln!("xtask: building the agent for {TARGET}");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--profile",
            "agent",
            "-p",
            "mnas-agent",
            "--target",
            TARGET,
        ])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .status()
        .context("cargo did not start")?;
    if !status.success() {
        bail!("it can't be built; `rustup target add {TARGET}` adds the target");
    }
    Ok((target.join(TARGET).join("agent/mnas-agent"), library))
}

/// The library of the oracles' version of LiteRT, out of its package for ARM.
fn library(folder: &Path, requirements: &str) -> Result<PathBuf> {
    let requirement = requirements
        .lines()
        .find(|l| l.starts_with("ai-edge-litert"))
        .context("the oracles have no LiteRT")?;
    let library = folder.join("ai_edge_litert/libLiteRt.so");
    let stamp = folder.join("requirement");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == requirement) && library.exists() {
        return Ok(library);
    }
    eprintln!("xtask: getting LiteRT's library for ARM");
    std::fs::create_dir_all(folder)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .args([
        "--only-binary=:all:",
        "--platform",
        "manylinux_2_27_aarch64",
        "--python-version",
        "3.11",
    ])
    .arg(requirement)
    .arg("--dest")
    .arg(folder);
    run(&mut pip)?;
    let wheel = std::fs::read_dir(folder)?
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .context("pip left no package")?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(folder))?;
    std::fs::remove_file(wheel)?;
    std::fs::write(stamp, requirement)?;
    Ok(library)
}

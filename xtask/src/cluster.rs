//! `cargo xtask cluster-test slurm|ray`: studies on a real cluster of this machine, with faults;
//! `local` and `simulation` without one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{cargo, run};

const USAGE: &str = "usage: cargo xtask cluster-test local | slurm | ray | simulation";
/// The release that the adapter was tested on.
const RAY: &str = "ray[default]==2.60.0";
const SCHEDULES: &str = "10000";

/// Runs the tests of one kind of cluster.
pub(crate) fn test(which: &[String]) -> Result<()> {
    let env = |key: &str, value: &str| (key.to_string(), value.to_string());
    let [name] = which else { bail!(USAGE) };
    match name.as_str() {
        "local" => real(name, vec![]),
        "slurm" => {
            for program in ["slurmctld", "slurmd", "sbatch", "munged"] {
                let mut found = Command::new("sh");
                found.args(["-c", &format!("command -v {program}")]);
                if !found.output()?.status.success() {
                    bail!("{program} isn't found: apt-get install slurm-wlm munge");
                }
            }
            real(name, vec![])
        }
        "ray" => real(name, vec![env("MNAS_TEST_RAY", &ray()?)]),
        "simulation" => {
            let args = [
                "test",
                "-p",
                "mnas-study",
                "--lib",
                "every_schedule_of_faults",
                "--",
                "--nocapture",
            ];
            cargo(&args, &[env("MNAS_TEST_SCHEDULES", SCHEDULES)])
        }
        _ => bail!(USAGE),
    }
}

/// Runs the tests whose names begin with the cluster's, one after the other.
fn real(name: &str, mut envs: Vec<(String, String)>) -> Result<()> {
    cargo(&["build", "-p", "mnas-bench", "--bin", "utilisation"], &[])?;
    let target = std::env::current_exe()?;
    let sleepers = target.with_file_name("utilisation");
    envs.push(("MNAS_TEST_CLUSTER".into(), name.into()));
    envs.push((
        "MNAS_TEST_UTILISATION".into(),
        sleepers.display().to_string(),
    ));
    let filter = format!("{name}_");
    let test = ["test", "-p", "mnas", "--test", "clusters", "--", &filter];
    cargo(
        &[&test[..], &["--nocapture", "--test-threads=1"]].concat(),
        &envs,
    )
}

/// The folder of Ray's programs: `MNAS_TEST_RAY`, or a virtual environment that is made under
/// `target`.
fn ray() -> Result<String> {
    if let Ok(programs) = std::env::var("MNAS_TEST_RAY") {
        return Ok(programs);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let venv = root.context("no workspace folder")?.join("target/ray");
    if !venv.join("bin/ray").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = venv.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet", RAY]))?;
    }
    Ok(venv.join("bin").display().to_string())
}

//! `cargo xtask cluster-test slurm|ray`: a study on a real cluster of this machine, with faults.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cargo;

const USAGE: &str = "usage: cargo xtask cluster-test slurm | ray | simulation";
/// The release that the adapter was tested on.
const RAY: &str = "ray[default]==2.60.0";
const SCHEDULES: &str = "10000";

/// Runs the test of one kind of cluster.
pub(crate) fn test(which: &[String]) -> Result<()> {
    let env = |key: &str, value: &str| (key.to_string(), value.to_string());
    let faults = |name: &str, envs: &[(String, String)]| {
        let filter = format!("{name}_loses_a_node_and_the_controller_and_no_trial");
        let args = [
            "test",
            "-p",
            "mnas",
            "--test",
            "clusters",
            "--",
            &filter,
            "--nocapture",
        ];
        cargo(&args, envs)
    };
    match which {
        [name] if name == "slurm" => {
            for program in ["slurmctld", "slurmd", "sbatch", "munged"] {
                let mut found = Command::new("sh");
                found.args(["-c", &format!("command -v {program}")]);
                if !found.output()?.status.success() {
                    bail!("{program} isn't found: apt-get install slurm-wlm munge");
                }
            }
            faults("slurm", &[env("MNAS_TEST_CLUSTER", "slurm")])
        }
        [name] if name == "ray" => {
            let programs = ray()?;
            faults(
                "ray",
                &[
                    env("MNAS_TEST_CLUSTER", "ray"),
                    env("MNAS_TEST_RAY", &programs),
                ],
            )
        }
        [name] if name == "simulation" => {
            let filter = "every_schedule_of_faults";
            let args = [
                "test",
                "-p",
                "mnas-study",
                "--lib",
                filter,
                "--",
                "--nocapture",
            ];
            cargo(&args, &[env("MNAS_TEST_SCHEDULES", SCHEDULES)])
        }
        _ => bail!(USAGE),
    }
}

/// The folder of Ray's programs: `MNAS_TEST_RAY`, or a virtual environment that is made under
/// `target`.
fn ray() -> Result<String> {
    if let Ok(programs) = std::env::var("MNAS_TEST_RAY") {
        return Ok(programs);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let venv = root.context("no workspace folder")?.join("target/ray");
    let run = |command: &mut Command| match command.status() {
        Ok(status) if status.success() => Ok(()),
        other => bail!("{command:?}: {other:?}"),
    };
    if !venv.join("bin/ray").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = venv.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet", RAY]))?;
    }
    Ok(venv.join("bin").display().to_string())
}

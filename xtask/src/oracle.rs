//! The tests' oracles: a Python environment with onnx, ONNX Runtime and LiteRT, made where python3
//! and a package index are present. Tests that need it say "skipped" by name without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What the environment holds, with versions, so that a run can be repeated.
pub(crate) const REQUIREMENTS: &str = include_str!("../oracle-requirements.txt");

/// Environment variables for the test run: where the oracle's python and libraries are.
pub(crate) fn environment() -> Vec<(String, String)> {
    match prepare() {
        Ok(python) => {
            let mut envs = vec![(
                "MNAS_ORACLE_PYTHON".to_string(),
                python.display().to_string(),
            )];
            envs.extend(libraries(&python));
            envs
        }
        Err(e) => {
            eprintln!("skipped: oracles in Python ({e:#})");
            vec![]
        }
    }
}

fn prepare() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace folder")?;
    let folder = root.join("target/oracle-venv");
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == REQUIREMENTS) && python.exists() {
        return Ok(python);
    }
    eprintln!("xtask: making the oracles' Python environment in target/oracle-venv");
    std::fs::create_dir_all(root.join("target"))?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS)?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&requirements))?;
    std::fs::write(stamp, REQUIREMENTS)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{command:?} did not start"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// Paths of the inference engines' libraries, and of the accessibility checker's script, inside the
/// environment.
fn libraries(python: &Path) -> Vec<(String, String)> {
    const SCRIPT: &str = "import sysconfig, glob, os\n\
        p = sysconfig.get_paths()['platlib']\n\
        for name, pattern in (('MNAS_LITERT_LIB', 'ai_edge_litert/libLiteRt.so'), \
        ('MNAS_ORT_LIB', 'onnxruntime/capi/libonnxruntime.so.*'), \
        ('MNAS_AXE', 'axe_core_python/axe.min.js')):\n\
        \x20   for f in sorted(glob.glob(os.path.join(p, pattern)))[:1]: print(name + '=' + f)\n";
    let Ok(out) = Command::new(python).args(["-c", SCRIPT]).output() else {
        return vec![];
    };
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
}

//! The tests' oracles: Python environments with onnx, ONNX Runtime and LiteRT, and with the programs
//! that open a study, made where python3 and a package index are present. Tests that need it say "skipped" by name without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::run;

/// An environment: its folder, the variable by which tests find it, and what it holds, with
/// versions, so that a run can be repeated.
struct Environment {
    folder: &'static str,
    variable: &'static str,
    requirements: &'static str,
}

/// What the oracles' environment holds.
pub(crate) const REQUIREMENTS: &str = include_str!("../oracle-requirements.txt");

const ORACLE: Environment = Environment {
    folder: "target/oracle-venv",
    variable: "MNAS_ORACLE_PYTHON",
    requirements: REQUIREMENTS,
};

/// The programs in which people open a study: Optuna and its dashboard, TensorBoard, pandas.
const INTERCHANGE: Environment = Environment {
    folder: "target/interchange-venv",
    variable: "MNAS_INTERCHANGE_PYTHON",
    requirements: include_str!("../interchange-requirements.txt"),
};

/// Environment variables for the test run: where the oracles' pythons and libraries are.
pub(crate) fn environment() -> Vec<(String, String)> {
    let mut envs = vec![];
    for environment in [&ORACLE, &INTERCHANGE] {
        match prepare(environment) {
            Ok(python) => {
                envs.push((environment.variable.into(), python.display().to_string()));
                envs.extend(libraries(&python));
            }
            Err(e) => eprintln!("skipped: {} ({e:#})", environment.folder),
        }
    }
    envs
}

fn prepare(environment: &Environment) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace folder")?;
    let folder = root.join(environment.folder);
    let requirements = environment.requirements;
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == requirements) && python.exists() {
        return Ok(python);
    }
    eprintln!(
        "xtask: making a Python environment in {}",
        environment.folder
    );
    std::fs::create_dir_all(root.join("target"))?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let list = folder.join("requirements.txt");
    std::fs::write(&list, requirements)?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&list))?;
    std::fs::write(stamp, requirements)?;
    Ok(python)
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

//! What the tests stand on: a process with an environment of its own, agents, and programs that may
//! be absent.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mnas_deploy::{Candidate, Device, DeviceError, MeasurePlan, Measured};
use mnas_testkit::adbd::program;
use mnas_testkit::device::{network, weights};

/// Set in the process that runs a test's body.
const INSIDE: &str = "MNAS_TEST_INSIDE";

/// Runs a test's body in a process with these environment variables: they can't be set in a running
/// one safely. `test` is the test's own path.
pub(crate) fn inside(test: &str, variables: &[(&str, OsString)], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .envs(variables.iter().map(|(k, v)| (k, v)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    print!("{said}{}", String::from_utf8_lossy(&out.stderr));
    // A name that matches no test would pass by running none.
    let ran = out.status.success() && said.contains("1 passed");
    assert!(ran, "{test} failed in its own process");
}

/// Whether a program is here; says so where it isn't.
pub(crate) fn has(name: &str, package: &str) -> bool {
    let found = Path::new(name).is_file()
        || std::env::var_os("PATH").is_some_and(|paths| {
            std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
        });
    if !found {
        println!("skipped: {name} isn't installed (Debian's package {package})");
    }
    found
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The built agent, in a folder whose name is a trap for a shell that isn't handed it quoted; with
/// LiteRT where the tests know of it.
pub(crate) fn bundle(root: &Path) -> PathBuf {
    let folder = root.join("it's $(touch trapped) a bundle; exit 9");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_mnas-agent"), folder.join("mnas-agent")).unwrap();
    if let Some(library) = std::env::var_os("MNAS_LITERT_LIB").map(PathBuf::from) {
        fs::copy(&library, folder.join("libLiteRt.so")).unwrap();
        fs::copy(
            library.with_file_name("__init__.py"),
            folder.join("__init__.py"),
        )
        .unwrap();
    }
    folder
}

/// An agent that is a script.
pub(crate) fn script(root: &Path, text: &str) -> PathBuf {
    let folder = root.join("script");
    fs::create_dir_all(&folder).unwrap();
    program(&folder.join("mnas-agent"), text);
    folder
}

pub(crate) fn plan() -> MeasurePlan {
    MeasurePlan {
        seconds_max: 20.0,
        ..MeasurePlan::search()
    }
}

/// Measures as many small networks as there are names.
pub(crate) fn measure(device: &mut dyn Device, names: &[&str]) -> Result<Measured, DeviceError> {
    let graph = network(32, 8);
    let weights = weights(&graph);
    let candidate = |name| Candidate {
        name,
        spec: "'; touch trapped; '",
        graph: &graph,
        weights: &weights,
    };
    let candidates: Vec<Candidate<'_>> = names.iter().map(|n| candidate(*n)).collect();
    device.measure(&candidates, &plan())
}

/// Waits until a file appears.
///
/// # Panics
/// Where it doesn't within a minute.
pub(crate) fn await_file(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{} never came",
            path.display()
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
        }
    }
    found.sort_unstable();
    found
}

/// An agent that answers properly, except that it stops answering on its first request ever and
/// then touches `root/seen`.
pub(crate) fn forgetful(root: &Path) -> String {
    format!(
        r#"#!/bin/sh
while read -r line; do
    case $line in
    *'"request":"hello"'*) printf '{{"protocol":1,"device":"d","engine":"e","format":"onnx"}}\n' ;;
    *)
        if [ ! -e '{0}/seen' ]; then touch '{0}/seen'; exec cat >/dev/null; fi
        field() {{ printf '%s' "$line" | sed "s/.*\"$1\":\"\{{0,1\}}\([^,\"}}]*\).*/\1/"; }}
        times=1
        runs=$(field runs)
        while [ "$runs" -gt 1 ]; do times="$times,1"; runs=$((runs - 1)); done
        printf '{{"id":%s,"model_sha256":"%s","times_ms":[%s]}}\n' "$(field id)" "$(field model_sha256)" "$times" ;;
    esac
done
"#,
        root.display()
    )
}

//! A small study on disk, and the built binary to run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnas"));
    // Decoded images go where the test may write.
    command
        .args(args)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

pub(crate) fn mnas(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    let out = mnas(folder, &[args, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}"))
}

const STUDY: &str = r#"
device = "linear:device.toml"
space = "tiny.space"
trials = 6
batch = 3
workers = 2
dir = "s"
[target]
ms = 2.0
[proxy]
images = 128
epochs = 1.0
batch = 32
[full]
images = 256
epochs = 2.0
[finals]
count = 1
references = ["mobilenet-v2-small"]
"#;

const SPACE: &str = "stem_k3_s2_c8\n\
    {ds,ir_e3}_r{1,2}_k3_s2_c{8,16}\n\
    head_c{16,32}_drop0.1\n";

const DEVICE: &str = "kind = \"linear\"\ndevice = \"a table\"\nengine = \"none\"\nbias_ms = 0.1\n\
    [coefficients]\n\"conv.macs\" = 1e-7\n\"pointwise_conv.macs\" = 1e-7\n\"depthwise_conv.macs\" = 1e-7\n";

/// A folder with a study file, its space and its device.
pub(crate) fn study() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("study.toml", STUDY);
    write("tiny.space", SPACE);
    write("device.toml", DEVICE);
    let path = folder.path().to_path_buf();
    (folder, path)
}

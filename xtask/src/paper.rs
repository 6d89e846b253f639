//! `cargo xtask paper NAME [DIR]`: runs the studies behind a figure or table of the paper, each into its
//! own folder, and sets them side by side. What was run before isn't run again; what was stopped goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A study of a figure or table: its folder, its file, and what differs from the file.
type Run = (&'static str, &'static str, &'static [&'static str]);

const NETS: &str = "examples/studies/nets";

const FIGURE_6: &[Run] = &[("soft", "figure6-soft", &[]), ("hard", "figure6-hard", &[])];
const TABLE_4: &[Run] = &[("search", "table4", &[])];
const TABLE_5: &[Run] = &[
    ("cells-single", "table5-cells-single", &[]),
    ("cells-multi", "table5-cells-multi", &[]),
    ("mnasnet-multi", "table5-mnasnet-multi", &[]),
];
const TABLE_6: &[Run] = &[
    ("a1", "table6", &["--space", "mnasnet-a1-small"]),
    ("mbconv3-k3", "table6", &["--space", "NETS/mbconv3-k3.net"]),
    ("mbconv3-k5", "table6", &["--space", "NETS/mbconv3-k5.net"]),
    ("mbconv6-k3", "table6", &["--space", "NETS/mbconv6-k3.net"]),
    ("mbconv6-k5", "table6", &["--space", "NETS/mbconv6-k5.net"]),
];
const FIGURE_5: &[Run] = &[
    ("a1-1.4x", "figure5", &["--space", "mnasnet-a1-small-1.4x"]),
    ("a1-1x", "figure5", &["--space", "mnasnet-a1-small"]),
    (
        "a1-0.75x",
        "figure5",
        &["--space", "mnasnet-a1-small-0.75x"],
    ),
    ("a1-0.5x", "figure5", &["--space", "mnasnet-a1-small-0.5x"]),
    (
        "a1-0.35x",
        "figure5",
        &["--space", "mnasnet-a1-small-0.35x"],
    ),
    (
        "a1-24px",
        "figure5",
        &["--space", "mnasnet-a1-small", "--image-size", "24"],
    ),
    (
        "a1-20px",
        "figure5",
        &["--space", "mnasnet-a1-small", "--image-size", "20"],
    ),
    (
        "a1-16px",
        "figure5",
        &["--space", "mnasnet-a1-small", "--image-size", "16"],
    ),
    (
        "v2-1.4x",
        "figure5",
        &["--space", "mobilenet-v2-small-1.4x"],
    ),
    ("v2-1x", "figure5", &["--space", "mobilenet-v2-small"]),
    (
        "v2-0.75x",
        "figure5",
        &["--space", "mobilenet-v2-small-0.75x"],
    ),
    (
        "v2-0.5x",
        "figure5",
        &["--space", "mobilenet-v2-small-0.5x"],
    ),
    (
        "v2-0.35x",
        "figure5",
        &["--space", "mobilenet-v2-small-0.35x"],
    ),
    (
        "v2-24px",
        "figure5",
        &["--space", "mobilenet-v2-small", "--image-size", "24"],
    ),
    (
        "v2-20px",
        "figure5",
        &["--space", "mobilenet-v2-small", "--image-size", "20"],
    ),
    (
        "v2-16px",
        "figure5",
        &["--space", "mobilenet-v2-small", "--image-size", "16"],
    ),
];

const PARTS: &[(&str, &[Run])] = &[
    ("figure5", FIGURE_5),
    ("figure6", FIGURE_6),
    ("table4", TABLE_4),
    ("table5", TABLE_5),
    ("table6", TABLE_6),
];

/// Runs what is behind one figure or table.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let known = || {
        PARTS
            .iter()
            .map(|(n, _)| *n)
            .collect::<Vec<_>>()
            .join(" | ")
    };
    let usage = || format!("usage: cargo xtask paper {} [DIR]", known());
    let (name, parent) = match args {
        [name] => (name, PathBuf::from("target/paper")),
        [name, dir] => (name, PathBuf::from(dir)),
        _ => bail!(usage()),
    };
    let Some((name, runs)) = PARTS.iter().find(|(n, _)| n == name) else {
        bail!(usage());
    };
    super::cargo(&["build", "--release", "-p", "mnas"], &[])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    let mnas = PathBuf::from(target).join("release/mnas");
    let mut dirs = vec![];
    for (folder, file, flags) in *runs {
        let dir = parent.join(format!("{name}-{folder}"));
        study(&mnas, &dir, file, flags)?;
        dirs.push(dir.display().to_string());
    }
    let published = format!("examples/studies/{name}.published.toml");
    let mut compare: Vec<&str> = vec!["compare"];
    compare.extend(dirs.iter().map(String::as_str));
    compare.extend(["--published", &published]);
    call(&mnas, &compare)
}

/// Starts a study, or goes on with it.
fn study(mnas: &Path, dir: &Path, file: &str, flags: &[&str]) -> Result<()> {
    let folder = dir.display().to_string();
    if dir.join("study.db").exists() {
        return call(mnas, &["resume", &folder]);
    }
    let file = format!("examples/studies/{file}.toml");
    let flags: Vec<String> = flags.iter().map(|f| f.replace("NETS", NETS)).collect();
    let mut args: Vec<&str> = vec!["search", &file, "--dir", &folder];
    args.extend(flags.iter().map(String::as_str));
    call(mnas, &args)
}

fn call(mnas: &Path, args: &[&str]) -> Result<()> {
    eprintln!("xtask: mnas {}", args.join(" "));
    let status = Command::new(mnas).args(args).status();
    let status = status.with_context(|| format!("{} did not start", mnas.display()))?;
    if !status.success() {
        bail!("mnas {} failed ({status})", args.join(" "));
    }
    Ok(())
}

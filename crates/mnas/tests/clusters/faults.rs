//! The study and what befalls it, the same on every cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A cluster of two nodes on this machine.
pub(crate) trait Cluster {
    /// Lines of the study file.
    fn settings(&self) -> String;
    /// The same, as the program of [`super::sleepers`] is told.
    fn engine(&self) -> Vec<String>;
    /// What it is told to measure by jobs that hold the cluster's only phone.
    fn phone(&self) -> String;
    /// Environment that the cluster's commands need.
    fn environment(&self) -> Vec<(String, String)>;
    /// Kills the second node's daemon with SIGKILL. What it was running may go on.
    fn kill_node(&mut self);
    /// Starts it again.
    fn start_node(&mut self);
}

/// Seconds that any wait here may take.
const PATIENCE: Duration = Duration::from_secs(900);

const STUDY: &str = r#"
data = "fashion-mnist-10k"
device = "table:device.toml"
space = "small.space"
trials = 60
batch = 12
workers = 4
dir = "s"
[target]
ms = 5.0
[proxy]
images = 512
epochs = 1.0
batch = 32
[full]
images = 256
epochs = 1.0
[finals]
count = 1
references = []
"#;

const SPACE: &str = "stem_k3_s2_c8\n\
    {ds,ir_e3}_r{1,2}_k{3,5}_s2_c{8,16,24}\n\
    {ds,ir_e3}_r{1,2}_k{3,5}_s2_c{8,16,24}\n\
    head_c{16,32}_drop0.1\n";

/// A table of all layers of the space: a millisecond per million multiply-accumulates.
fn device() -> String {
    let mut layers = BTreeMap::new();
    let mut add = |kind: &str, k: u32, s: u32, from: [u32; 2], to: [u32; 2]| {
        let [h, c] = from;
        let [oh, oc] = to;
        let key = format!("{kind} k{k} s{s} {h}x{h}x{c} -> {oh}x{oh}x{oc}");
        let per_value = k * k * if kind == "depthwise_conv" { 1 } else { c };
        layers.insert(key, f64::from(oh * oh * oc * per_value) * 1e-6);
    };
    add("conv", 3, 2, [28, 1], [14, 8]);
    let widths = [8, 16, 24];
    for (h, oh, s) in [(14, 7, 2), (7, 7, 1), (7, 4, 2), (4, 4, 1)] {
        for (c, e) in widths.into_iter().flat_map(|c| [(c, 1), (c, 3)]) {
            let inner = c * e;
            add("pointwise_conv", 1, 1, [h, c], [h, inner]);
            for k in [3, 5] {
                add("depthwise_conv", k, s, [h, inner], [oh, inner]);
            }
            for o in widths.into_iter().chain([16, 32]) {
                add("pointwise_conv", 1, 1, [oh, inner], [oh, o]);
            }
        }
    }
    let lines = layers.iter().map(|(key, ms)| format!("{key:?} = {ms:?}\n"));
    format!(
        "kind = \"table\"\ndevice = \"a table\"\nengine = \"none\"\noverhead_ms = 0.1\n\
         free = [\"relu\", \"add\", \"global_avg_pool\", \"linear\"]\n[layers]\n{}",
        lines.collect::<String>()
    )
}

struct Bench<'a> {
    folder: PathBuf,
    cluster: &'a mut dyn Cluster,
}

impl Bench<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mnas"));
        command
            .args(args)
            .current_dir(&self.folder)
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .envs(self.cluster.environment());
        command
    }

    fn json(&self, args: &[&str]) -> Value {
        let out = self
            .command(&[args, &["--json"]].concat())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {stderr}");
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Trials with an outcome so far.
    fn finished(&self, dir: &str) -> usize {
        let out = self.command(&["report", dir, "--json"]).output().unwrap();
        let view: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        let trials = view["trials"].as_array().map_or(0, Vec::len) as u64;
        let pending = view["totals"]["pending"].as_u64().unwrap_or(0);
        (trials - pending) as usize
    }

    fn await_finished(&self, search: &mut Child, dir: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.finished(dir) < count {
            assert!(Instant::now() < deadline, "no {count} trials in time");
            let ended = search.try_wait().unwrap();
            assert!(ended.is_none(), "the search ended by itself: {ended:?}");
            std::thread::park_timeout(Duration::from_millis(500));
        }
    }
}

/// Number, network and accuracy of every trial.
fn course(view: &Value) -> Vec<(u64, String, String)> {
    let trials = view["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|t| {
            let text = |key: &str| t[key].to_string();
            (t["trial"].as_u64().unwrap(), text("spec"), text("accuracy"))
        })
        .collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Sixty trials here; the same sixty on the cluster, of which a node is killed, then the
/// controller, which is resumed.
pub(crate) fn check(cluster: &mut dyn Cluster) {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().to_path_buf();
    write(&folder, "small.space", SPACE);
    write(&folder, "device.toml", &device());
    write(&folder, "local.toml", STUDY);
    let (top, tables) = STUDY.split_at(STUDY.find("[target]").unwrap());
    let settings = cluster.settings();
    let (executor, rest) = settings.split_once('\n').unwrap();
    let text = format!("{top}{executor}\n{tables}{rest}\n");
    write(&folder, "cluster.toml", &text);
    let bench = Bench { folder, cluster };

    let here = bench.json(&["search", "local.toml", "--dir", "here", "--workers", "2"]);
    let expected = course(&here);
    assert_eq!(expected.len(), 60);

    let begun = Instant::now();
    let mut search = bench
        .command(&["search", "cluster.toml", "--dir", "there"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    bench.await_finished(&mut search, "there", 8);
    println!(
        "killing a node after {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    bench.cluster.kill_node();
    bench.await_finished(&mut search, "there", 26);
    println!(
        "killing the controller after {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    search.kill().unwrap();
    search.wait().unwrap();
    bench.cluster.start_node();
    let resumed = bench.json(&["resume", "there"]);
    println!("60 trials after {:.0} s", begun.elapsed().as_secs_f64());

    assert_eq!(course(&resumed), expected);
    assert_eq!(resumed["totals"]["pending"], 0);
    let trials = resumed["trials"].as_array().unwrap();
    let retried = trials.iter().filter(|t| t["attempt"].as_u64() > Some(1));
    let retried = retried.count();
    println!("{retried} trials took more than one attempt");
    assert!(retried > 0, "the node's end lost nothing");
    let lost = trials.iter().filter(|t| t["state"] == "lost");
    assert_eq!(lost.count(), 0);
    let left = |folder: &str| {
        let entries = std::fs::read_dir(bench.folder.join("there/jobs").join(folder)).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n.ends_with(".json")).collect::<Vec<_>>()
    };
    assert_eq!(left("."), Vec::<String>::new(), "bundles are left");
    let late = left("answers");
    println!("{} answers of attempts given up are left", late.len());
}

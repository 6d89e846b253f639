//! Ray with a head and two nodes on this machine. `MNAS_TEST_RAY` is the folder of its programs.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::faults::Cluster;
use super::network::Network;

pub(crate) struct Ray {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u32,
    /// Daemons started so far.
    started: Cell<u32>,
    daemons: Vec<Child>,
    node: Option<Child>,
    /// The head's address.
    host: String,
}

impl Ray {
    /// Starts it, the second node behind a cable of its own where there is one.
    pub(crate) fn start(network: Option<&Network>) -> Self {
        let programs = std::env::var_os("MNAS_TEST_RAY").expect("MNAS_TEST_RAY names no folder");
        let mut ray = Self {
            // Short, for the sockets within.
            folder: tempfile::Builder::new()
                .prefix("r")
                .tempdir_in("/tmp")
                .unwrap(),
            programs: programs.into(),
            port: 30_000 + std::process::id() % 5_000,
            started: Cell::new(0),
            daemons: vec![],
            node: None,
            host: network.map_or_else(|| "127.0.0.1".into(), Network::here),
        };
        let (port, dashboard) = (ray.port.to_string(), (ray.port + 1).to_string());
        let temp = ray.folder.path().display().to_string();
        // Where all share one network, Ray finds out by itself.
        let at = |ip: String| format!("--node-ip-address={ip}");
        let here = network.map(|n| at(n.here()));
        let there = network.map(|n| at(n.there()));
        let head = [
            "--head",
            "--port",
            &port,
            "--include-dashboard=true",
            "--dashboard-port",
            &dashboard,
            "--dashboard-host=127.0.0.1",
            "--num-cpus=0",
            "--temp-dir",
            &temp,
            "--object-store-memory=100000000",
        ];
        let head: Vec<&str> = head.into_iter().chain(here.as_deref()).collect();
        let head = ray.daemon(None, &head);
        ray.daemons.push(head);
        ray.await_nodes(1);
        let phone = "--resources={\"phone\": 1}";
        let more: Vec<&str> = here.as_deref().into_iter().chain([phone]).collect();
        let first = ray.worker(None, &more);
        ray.daemons.push(first);
        // Two that start at once on one host take each other's files.
        ray.await_nodes(2);
        let more: Vec<&str> = there.as_deref().into_iter().collect();
        ray.node = Some(ray.worker(network, &more));
        ray.await_nodes(3);
        ray
    }

    /// `ray start` in the foreground.
    fn daemon(&self, network: Option<&Network>, args: &[&str]) -> Child {
        let program = self.programs.join("ray");
        let mut command = match network {
            None => Command::new(program),
            Some(network) => network.command(&program),
        };
        // Nodes of one host differ in their ports.
        let port = self.port + 10 + 4 * self.started.get();
        self.started.set(self.started.get() + 1);
        command
            .args(["start", "--block", "--disable-usage-stats"])
            .arg(format!("--dashboard-agent-listen-port={port}"))
            .arg(format!("--dashboard-agent-grpc-port={}", port + 1))
            .arg(format!("--metrics-export-port={}", port + 2))
            .args(args)
            // Dead after a few seconds without a word.
            .env("RAY_health_check_period_ms", "1000")
            .env("RAY_health_check_failure_threshold", "5")
            .env("RAY_DISABLE_DOCKER_CPU_WARNING", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    fn worker(&self, network: Option<&Network>, more: &[&str]) -> Child {
        let address = format!("--address={}:{}", self.host, self.port);
        let args = [&address, "--num-cpus=2", "--object-store-memory=100000000"];
        self.daemon(network, &[&args, more].concat())
    }

    fn await_nodes(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(180);
        let script = "import json, sys, urllib.request as u\n\
            n = json.load(u.urlopen(sys.argv[1] + '/nodes?view=summary'))['data']['summary']\n\
            print(sum(x['raylet'].get('state') == 'ALIVE' for x in n))";
        loop {
            let asked = Command::new(self.programs.join("python"))
                .args(["-c", script, &self.address()])
                .output()
                .unwrap();
            let alive = String::from_utf8_lossy(&asked.stdout)
                .trim()
                .parse()
                .unwrap_or(0);
            if alive >= count {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{alive} of {count} Ray nodes come up"
            );
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 1)
    }
}

/// Ids of a process and of all below it.
fn tree(id: u32) -> Vec<u32> {
    let path = format!("/proc/{id}/task/{id}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let mut all = vec![id];
    for child in children.split_whitespace() {
        all.extend(tree(child.parse().unwrap()));
    }
    all
}

/// Kills a node with all its processes: Ray's daemons end one by one, and jobs among them.
fn kill(node: &mut Child) {
    for id in tree(node.id()) {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
    }
    let _ = node.wait();
}

impl Cluster for Ray {
    fn settings(&self) -> String {
        format!(
            "executor = \"ray\"\n[ray]\naddress = \"{}\"",
            self.address()
        )
    }

    fn engine(&self) -> Vec<String> {
        vec!["ray".into(), format!("address={}", self.address())]
    }

    fn phone(&self) -> String {
        "phone=1".into()
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![]
    }

    fn kill_node(&mut self) {
        let mut node = self.node.take().unwrap();
        kill(&mut node);
    }

    fn start_node(&mut self) {
        self.node = Some(self.worker(None, &[]));
    }
}

impl Drop for Ray {
    fn drop(&mut self) {
        self.node.iter_mut().for_each(kill);
        self.daemons.iter_mut().rev().for_each(kill);
    }
}

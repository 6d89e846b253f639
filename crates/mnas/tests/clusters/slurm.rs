//! Slurm with two nodes on one host, from Debian's packages.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::faults::Cluster;
use super::network::Network;

pub(crate) struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
    node: Option<Child>,
}

/// `addresses` are those of the controller with the first node, and of the second.
fn config(folder: &Path, host: &str, addresses: [&str; 2], port: u32) -> String {
    let dir = folder.display();
    let [first, second] = addresses;
    let node = |n: u32, address: &str| {
        let port = port + n;
        format!("NodeName=n{n} NodeHostname={host} NodeAddr={address} Port={port} CPUs=2\n")
    };
    // No cgroups: they are hidden in containers. A node is down ten seconds after its last word.
    format!(
        "ClusterName=test\nSlurmctldHost={host}({first})\nSlurmctldPort={port}\n\
         SlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nAuthInfo=socket={dir}/munge.sock\n\
         StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool-%n\n\
         SlurmctldPidFile={dir}/ctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
         SlurmctldLogFile={dir}/ctld.log\nSlurmdLogFile={dir}/slurmd-%n.log\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
         SlurmdParameters=config_overrides\nReturnToService=2\nSlurmdTimeout=10\nKillWait=5\n\
         MinJobAge=300\nAccountingStorageType=accounting_storage/none\n\
         JobAcctGatherType=jobacct_gather/none\nMpiDefault=none\nLicenses=phone:1\n{}{}\
         PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n",
        node(1, first),
        node(2, second)
    )
}

impl Slurm {
    /// Starts it, the second node behind a cable of its own where there is one.
    pub(crate) fn start(network: Option<&Network>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let host = Command::new("hostname").arg("-s").output().unwrap().stdout;
        let host = String::from_utf8(host).unwrap().trim().to_string();
        let port = 20_000 + std::process::id() % 10_000;
        let local = || "127.0.0.1".to_string();
        let first = network.map_or_else(local, Network::here);
        let second = network.map_or_else(local, Network::there);
        let config = config(path, &host, [&first, &second], port);
        std::fs::write(path.join("slurm.conf"), config).unwrap();
        let cgroup = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n";
        std::fs::write(path.join("cgroup.conf"), cgroup).unwrap();
        for name in ["state", "spool-n1", "spool-n2"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let key = path.join("munge.key");
        let made = Command::new("mungekey")
            .arg("--create")
            .arg(format!("--keyfile={}", key.display()))
            .status();
        assert!(made.is_ok_and(|s| s.success()), "needs the package munge");
        let at = |option: &str, file: &str| format!("--{option}={}", path.join(file).display());
        let mut munged = Command::new("munged");
        munged.args(["--foreground", "--force"]).args([
            at("socket", "munge.sock"),
            at("key-file", "munge.key"),
            at("pid-file", "munge.pid"),
            at("seed-file", "munge.seed"),
            at("log-file", "munge.log"),
        ]);
        let mut slurm = Self {
            daemons: vec![quiet(&mut munged)],
            node: None,
            folder,
        };
        let ctld = slurm.daemon("slurmctld", &["-D", "-c"]);
        slurm.daemons.push(ctld);
        let first = slurm.daemon("slurmd", &["-D", "-N", "n1"]);
        slurm.daemons.push(first);
        slurm.start_second(network);
        slurm.await_nodes(2);
        slurm
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn daemon(&self, program: &str, args: &[&str]) -> Child {
        self.start_daemon(Command::new(program), args)
    }

    fn start_daemon(&self, mut program: Command, args: &[&str]) -> Child {
        quiet(program.args(args).arg("-f").arg(self.config()))
    }

    fn start_second(&mut self, network: Option<&Network>) {
        let program = "slurmd";
        let program = match network {
            None => Command::new(program),
            Some(network) => network.command(program.as_ref()),
        };
        self.node = Some(self.start_daemon(program, &["-D", "-N", "n2"]));
    }

    /// Ids of processes that jobs of this cluster have on a node.
    fn jobs_of(&self, node: &str) -> Vec<String> {
        let config = format!("SLURM_CONF={}", self.config().display());
        let node = format!("SLURMD_NODENAME={node}");
        let ids = std::fs::read_dir("/proc").unwrap();
        let ids = ids.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        ids.filter(|id| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let mut parts = environment.split(|b| *b == 0);
            let has = |wanted: &str| parts.clone().any(|p| p == wanted.as_bytes());
            let job = has(&config) && has(&node);
            job && parts.any(|p| p.starts_with(b"SLURM_JOB_ID="))
        })
        .collect()
    }

    fn await_nodes(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let sinfo = Command::new("sinfo")
                .args(["--noheader", "--Node", "--format=%T"])
                .env("SLURM_CONF", self.config())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&sinfo.stdout).into_owned();
            if said.lines().filter(|l| *l == "idle").count() >= count {
                return;
            }
            assert!(Instant::now() < deadline, "Slurm doesn't come up: {said}");
            std::thread::park_timeout(Duration::from_millis(500));
        }
    }
}

fn quiet(command: &mut Command) -> Child {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|e| panic!("{name}: {e}; needs the packages slurm-wlm and munge"))
}

impl Cluster for Slurm {
    fn settings(&self) -> String {
        "executor = \"slurm\"\n[slurm]\nmeasure_args = []".into()
    }

    fn engine(&self) -> Vec<String> {
        vec!["slurm".into()]
    }

    fn phone(&self) -> String {
        "measure_args=--licenses=phone:1".into()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let config = self.config().display().to_string();
        vec![("SLURM_CONF".into(), config)]
    }

    fn kill_node(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        // In the middle of a trial, or it would prove little.
        let running = loop {
            let running = self.jobs_of("n2");
            if !running.is_empty() {
                break running;
            }
            assert!(Instant::now() < deadline, "no job runs on n2");
            std::thread::park_timeout(Duration::from_millis(50));
        };
        let mut node = self.node.take().unwrap();
        node.kill().unwrap();
        node.wait().unwrap();
        for id in running {
            let _ = Command::new("kill").args(["-9", &id]).status();
        }
    }

    fn start_node(&mut self) {
        self.start_second(None);
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let all = self.daemons.iter_mut().rev().chain(&mut self.node);
        for daemon in all {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

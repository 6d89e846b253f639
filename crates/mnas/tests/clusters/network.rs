//! A node behind a cable that can be pulled: a network namespace and a pair of virtual interfaces.

use std::path::Path;
use std::process::{Command, Stdio};

/// The namespace of one node. It sees this machine's files and processes, but only its own network.
pub(crate) struct Network {
    name: String,
}

fn ip(args: &str) -> bool {
    let mut ip = Command::new("ip");
    ip.args(args.split_whitespace()).stderr(Stdio::null());
    ip.status().is_ok_and(|s| s.success())
}

impl Network {
    /// Makes it; `None` where this machine doesn't let one.
    pub(crate) fn make() -> Option<Self> {
        let network = Self {
            name: format!("mnas{}", std::process::id() % 10_000),
        };
        let name = &network.name;
        let (here, there) = (network.address(1), network.address(2));
        let made = ip(&format!("netns add {name}"))
            && ip(&format!(
                "link add {name} type veth peer name node netns {name}"
            ))
            && ip(&format!("addr add {here}/24 dev {name}"))
            && ip(&format!("link set {name} up"))
            && ip(&format!("-n {name} addr add {there}/24 dev node"))
            && ip(&format!("-n {name} link set node up"))
            && ip(&format!("-n {name} link set lo up"));
        made.then_some(network)
    }

    fn address(&self, host: u32) -> String {
        format!("10.213.{}.{host}", std::process::id() % 250)
    }

    /// This machine's address on the cable.
    pub(crate) fn here(&self) -> String {
        self.address(1)
    }

    /// The node's.
    pub(crate) fn there(&self) -> String {
        self.address(2)
    }

    /// A command that runs on the node. Unlike `ip netns exec` it leaves `/sys` as it is.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg(program);
        command
    }

    pub(crate) fn cut(&self) {
        assert!(ip(&format!("link set {} down", self.name)));
    }

    pub(crate) fn heal(&self) {
        assert!(ip(&format!("link set {} up", self.name)));
    }

    /// Processes on the node that work on bundles.
    pub(crate) fn workers(&self) -> Vec<String> {
        let listed = Command::new("ip")
            .args(["netns", "pids", &self.name])
            .output();
        let listed = listed.map(|out| out.stdout).unwrap_or_default();
        let works = |id: &str| {
            let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let mut words = words.split(|b| *b == 0);
            words.any(|w| w == b"worker")
        };
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let ids = listed.split_whitespace().filter(|id| works(id));
        ids.map(String::from).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interfaces go with it.
        ip(&format!("link del {}", self.name));
        ip(&format!("netns del {}", self.name));
    }
}

/// Sends a signal to processes, of which some may have ended.
pub(crate) fn signal(signal: &str, ids: &[String]) {
    let mut kill = Command::new("kill");
    let _ = kill.arg(signal).args(ids).stderr(Stdio::null()).status();
}

//! `ssh:HOST`: our agent on a Linux board, over the system's `ssh`.
//!
//! One connection carries everything (`ControlMaster`). It belongs to a process of ours and ends
//! with it, even where that is killed: the far end of the master runs `cat`, which ends when its
//! input does. Keys, users and jumps are the business of the user's ssh configuration; nothing is
//! ever asked for (`BatchMode`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::meter::lines::Lines;
use super::meter::process::Process;
use super::meter::protocol::{LINE_MAX, readable};
use super::meter::{CommandError, Meter};
use super::remote::bundle::Bundle;
use super::remote::shell::{self, quote};
use super::remote::{AGENT_LIMITS, Agent, COMMAND_LIMIT, Machine};
use super::shared::{Opener, Shared};
use super::{Device, DeviceError, DeviceInfo, DeviceKind};

pub(super) const SCHEME: &str = "ssh";
const USAGE: &str = "ssh:[USER@]HOST[:PORT][,HOST...]   our agent on Linux boards, over ssh";
/// Names another configuration file than the user's own.
const CONFIG_VARIABLE: &str = "MNAS_SSH_CONFIG";
/// ssh's own exit code where it fails itself; others are the remote command's.
const SSH_FAILED: i32 = 255;
/// Time for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct SshKind;

impl DeviceKind for SshKind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        let Some(names) = rest.filter(|r| !r.is_empty()) else {
            return Err(DeviceError::Argument {
                scheme: SCHEME,
                usage: USAGE,
            });
        };
        let hosts: Vec<Host> = names
            .split(',')
            .map(Host::parse)
            .collect::<Result<_, _>>()?;
        let bundle = Bundle::of_user()?;
        let device = |host: Host| {
            let name = host.name();
            let short = name.replacen("ssh:", "", 1);
            let bundle = bundle.clone();
            let open: Opener = Box::new(move || {
                let agent = Agent::new(Ssh::new(host.clone())?, bundle.clone());
                let lines = Lines::new(Box::new(agent), AGENT_LIMITS);
                Meter::open(Box::new(lines), name.clone())
            });
            (short, open)
        };
        Shared::open(SCHEME, hosts.into_iter().map(device).collect())
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }
}

/// A host as `ssh` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// `user@host`, `host` or a name of the user's ssh configuration.
    target: String,
    port: Option<u16>,
}

impl Host {
    /// Only what host and user names are made of: nothing that ssh takes for an option and nothing
    /// that a shell, here or there, would obey.
    fn parse(name: &str) -> Result<Self, DeviceError> {
        let refused = |problem: &'static str| DeviceError::BadName {
            scheme: SCHEME,
            name: readable(name),
            problem,
        };
        let (user, address) = match name.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, name),
        };
        let (host, port) = match address.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((inside, rest)) => (inside, rest.strip_prefix(':')),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let plain = |text: &str, others: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
        };
        if !plain(host, "._-:") || user.is_some_and(|u| !plain(u, "._-")) {
            return Err(refused(
                "a host is letters, digits, dots, - and _, a user before @ and a port after : as well",
            ));
        }
        let port = port.map(str::parse::<u16>).transpose();
        let port = port.map_err(|_| refused("the port is no number up to 65535"))?;
        Ok(Self {
            target: user.map_or_else(|| host.into(), |u| format!("{u}@{host}")),
            port,
        })
    }

    /// The device's name, which [`Host::parse`] reads again.
    fn name(&self) -> String {
        let (before, host) = match self.target.rsplit_once('@') {
            Some((user, host)) => (format!("{user}@"), host),
            None => (String::new(), &*self.target),
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.into()
        };
        let port = self.port.map_or(String::new(), |p| format!(":{p}"));
        format!("{SCHEME}:{before}{host}{port}")
    }
}

/// A connection to a host.
struct Ssh {
    host: Host,
    label: PathBuf,
    /// Holds the master's socket and what it says.
    folder: TempDir,
    master: Option<Process>,
}

impl Ssh {
    fn new(host: Host) -> Result<Self, CommandError> {
        let label = PathBuf::from(host.name());
        // A socket's path has about a hundred characters: the shortest folder there is.
        let folder = tempfile::Builder::new().prefix("mnas-").tempdir();
        let folder = folder.map_err(|source| CommandError::Pass {
            program: label.clone(),
            source,
        })?;
        Ok(Self {
            host,
            label,
            folder,
            master: None,
        })
    }

    fn client(&self) -> Command {
        let mut ssh = Command::new("ssh");
        let socket = self.folder.path().join("s");
        ssh.arg("-T").arg("-S").arg(socket);
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            "LogLevel=ERROR",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
        ] {
            ssh.args(["-o", option]);
        }
        if let Some(config) = std::env::var_os(CONFIG_VARIABLE).filter(|v| !v.is_empty()) {
            ssh.arg("-F").arg(config);
        }
        if let Some(port) = self.host.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh
    }

    /// The user's login shell is whatever it is; ours is `sh`.
    fn remote(&self, mut ssh: Command, script: &str) -> Command {
        ssh.args(["--", &self.host.target]);
        ssh.arg(format!("exec sh -c {}", quote(script)));
        ssh
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("e")).unwrap_or_default();
        let lines: Vec<String> = text
            .lines()
            .map(readable)
            .filter(|l| !l.is_empty())
            .collect();
        lines[lines.len().saturating_sub(2)..].join("; ")
    }

    fn start_master(&mut self) -> Result<Process, CommandError> {
        let pass = |source| CommandError::Pass {
            program: self.label.clone(),
            source,
        };
        let errors = File::create(self.folder.path().join("e")).map_err(pass)?;
        let mut ssh = self.client();
        ssh.args(["-M", "-o", "ControlPersist=no"]).stderr(errors);
        let ssh = self.remote(ssh, "echo mnas-connected && exec cat >/dev/null");
        let mut master = Process::start(&self.label, ssh, LINE_MAX)?;
        // What a login script prints comes before.
        for _ in 0..1000 {
            let line = master.line(CONNECT_LIMIT).map_err(|error| {
                let said = self.said();
                CommandError::Lost {
                    program: self.label.clone(),
                    detail: if said.is_empty() {
                        error.to_string()
                    } else {
                        said
                    },
                }
            })?;
            if line.starts_with(b"mnas-connected") {
                return Ok(master);
            }
        }
        Err(CommandError::Unfit {
            program: self.label.clone(),
            problem: "its login script prints without end".into(),
        })
    }
}

impl Machine for Ssh {
    fn label(&self) -> &Path {
        &self.label
    }

    fn connect(&mut self) -> Result<(), CommandError> {
        if !self.master.as_mut().is_some_and(Process::is_running) {
            self.master = None;
            self.master = Some(self.start_master()?);
        }
        Ok(())
    }

    fn command(&self, script: &str) -> Command {
        // Over the master or not at all.
        let mut ssh = self.client();
        ssh.args(["-o", "ControlMaster=no", "-o", "ProxyCommand=false"]);
        self.remote(ssh, script)
    }

    fn send(&self, local: &Path, remote: &str, limit: Duration) -> Result<(), CommandError> {
        let open = || Ok((File::open(local)?, std::fs::metadata(local)?.len()));
        let (file, size) = open().map_err(|source| CommandError::Pass {
            program: self.label.clone(),
            source,
        })?;
        // A connection that breaks looks like the end of the file: only its size tells.
        let path = quote(remote);
        let script = format!("cat >{path} && [ $(wc -c <{path}) -eq {size} ]");
        shell::run(
            &self.label,
            self.command(&script),
            Some(file),
            limit,
            is_loss,
        )
        .map(drop)
    }

    fn folder(&self) -> &'static str {
        "\"${XDG_CACHE_HOME:-$HOME/.cache}/mnas\""
    }

    fn answers(&mut self) -> bool {
        // A master may take its time to notice; a command over it tells.
        let alive = self.master.as_mut().is_some_and(Process::is_running)
            && self.sh("true", COMMAND_LIMIT).is_ok();
        if !alive {
            self.master = None;
        }
        self.connect().is_ok()
    }

    fn sh(&self, script: &str, limit: Duration) -> Result<String, CommandError> {
        shell::run(&self.label, self.command(script), None, limit, is_loss)
    }
}

fn is_loss(code: Option<i32>, _said: &str) -> bool {
    code.is_none_or(|c| c == SSH_FAILED)
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(master) = self.master.take() {
            master.finish(Duration::from_secs(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts_and_nothing_else() {
        let check = |name: &str, target: &str, port: Option<u16>| {
            let host = Host::parse(name).unwrap();
            assert_eq!((&*host.target, host.port), (target, port), "{name}");
            let again = host.name();
            assert_eq!(
                Host::parse(again.strip_prefix("ssh:").unwrap()).unwrap(),
                host
            );
        };
        check("board", "board", None);
        check("pi@raspberrypi.local", "pi@raspberrypi.local", None);
        check("10.0.0.7:2222", "10.0.0.7", Some(2222));
        check("me@[fe80::1]:22", "me@fe80::1", Some(22));
        check("[::1]", "::1", None);
        check("my_board-2", "my_board-2", None);
        for bad in [
            "",
            "-oProxyCommand=touch /tmp/x",
            "a@-oProxyCommand=x",
            "-l",
            "board; rm -rf /",
            "board$(id)",
            "board`id`",
            "a b",
            "board\n",
            "board|x",
            "board&",
            "board>x",
            "../x",
            "user name@board",
            "@board",
            "board:",
            "board:99999",
            "board:-1",
            "board:22x",
            "b%h",
            "b\"",
            "b'",
            "b\\",
            "bö",
        ] {
            let refused = Host::parse(bad);
            assert!(
                matches!(refused, Err(DeviceError::BadName { .. })),
                "{bad:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn scripts_are_one_word_of_the_remote_command() {
        let ssh = Ssh::new(Host::parse("me@board:2222").unwrap()).unwrap();
        let command = ssh.command("cat '/tmp/it'\\''s'");
        let words: Vec<String> = command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        let end = &words[words.len() - 3..];
        assert_eq!(end[..2], ["--", "me@board"]);
        assert_eq!(
            end[2],
            format!("exec sh -c {}", quote("cat '/tmp/it'\\''s'"))
        );
        assert!(words.contains(&"BatchMode=yes".into()));
        assert!(words.windows(2).any(|w| w == ["-p", "2222"]));
    }
}

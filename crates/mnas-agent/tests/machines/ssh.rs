//! Boards: a real `sshd` on this machine's loopback, with keys and configuration of the test's own,
//! behind a cable that can be pulled.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mnas_deploy::{CommandError, DeviceError, open};
use mnas_testkit::device::check_device;

use super::place::{await_file, bundle, files, forgetful, free_port, has, inside, measure, script};

const SSHD: &str = "/usr/sbin/sshd";

/// A board: the server, its cable, and the folder that has everything of it.
pub(crate) struct Board {
    folder: PathBuf,
    cable: Cable,
}

impl Board {
    /// Runs a test's body with a board, in a process that knows how to reach it.
    pub(crate) fn run(
        test: &str,
        more: &dyn Fn(&Path) -> Vec<(&'static str, OsString)>,
        body: impl FnOnce(&Board),
    ) {
        if !(has("ssh", "openssh-client")
            && has("ssh-keygen", "openssh-client")
            && has(SSHD, "openssh-server"))
        {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut variables = vec![
            ("MNAS_SSH_CONFIG", folder.path().join("ssh_config").into()),
            ("MNAS_TEST_BOARD", folder.path().into()),
            ("TMPDIR", folder.path().into()),
        ];
        let first = std::env::var_os("MNAS_TEST_INSIDE").is_none();
        if first {
            variables.extend(more(folder.path()));
        }
        inside(test, &variables, || {
            let folder = PathBuf::from(std::env::var_os("MNAS_TEST_BOARD").unwrap());
            let port = free_port();
            let _server = Server::start(&folder, port);
            let cable = Cable::start(port);
            configure_client(&folder);
            body(&Board { folder, cable });
        });
    }

    pub(crate) fn name(&self) -> String {
        format!("ssh:127.0.0.1:{}", self.cable.port)
    }

    /// Where our files lie on the board.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("cache/mnas")
    }
}

fn keygen(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path);
    assert!(keygen.status().unwrap().success());
}

fn configure_client(folder: &Path) {
    let folder = folder.display();
    let config = format!(
        "IdentityFile {folder}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n\
         GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking accept-new\n"
    );
    fs::write(format!("{folder}/ssh_config"), config).unwrap();
}

struct Server(Child);

impl Server {
    fn start(folder: &Path, port: u16) -> Self {
        keygen(&folder.join("host_key"));
        keygen(&folder.join("user_key"));
        fs::copy(folder.join("user_key.pub"), folder.join("authorized_keys")).unwrap();
        let shown = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nSetEnv XDG_CACHE_HOME={shown}/cache\n"
        );
        fs::write(folder.join("sshd_config"), config).unwrap();
        // Where root runs it, sshd wants the folder that the system's own start would make.
        if fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = fs::File::create(folder.join("sshd.log")).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(folder.join("sshd.log")).unwrap_or_default();
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "sshd doesn't answer: {log}"
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Passes connections on to a port, until it is cut.
struct Cable {
    port: u16,
    plugged: Arc<AtomicBool>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let cable = Self {
            port: listener.local_addr().unwrap().port(),
            plugged: Arc::new(AtomicBool::new(true)),
            sockets: Arc::default(),
        };
        let (plugged, sockets) = (cable.plugged.clone(), cable.sockets.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if !plugged.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                for (from, into) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut into) =
                        (from.try_clone().unwrap(), into.try_clone().unwrap());
                    sockets.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // A broken connection ends like a closed one.
                        let _ = io::copy(&mut from, &mut into);
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        cable
    }

    fn pull(&self) {
        self.plugged.store(false, Ordering::SeqCst);
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn put_back(&self) {
        self.plugged.store(true, Ordering::SeqCst);
    }
}

fn with_agent(folder: &Path) -> Vec<(&'static str, OsString)> {
    vec![("MNAS_AGENT", bundle(folder).into())]
}

fn with_forgetful(folder: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("MNAS_AGENT", script(folder, &forgetful(folder)).into()),
        ("MNAS_DEVICE_WAIT_S", "1".into()),
    ]
}

#[test]
fn a_board_keeps_the_contract_of_devices() {
    Board::run(
        "ssh::a_board_keeps_the_contract_of_devices",
        &with_agent,
        |board| {
            let mut device = open(&board.name()).unwrap();
            assert_eq!(device.info().name, board.name());
            check_device(&mut *device);
            let names = ["$(touch trapped)", "`touch trapped`", "'; touch trapped; '"];
            assert!(
                measure(&mut *device, &names)
                    .unwrap()
                    .iter()
                    .all(Result::is_ok)
            );
            drop(device);
            let left = files(&board.cache());
            assert!(
                !left
                    .iter()
                    .any(|f| f.contains("trapped") || f.contains("run-")),
                "{left:?}"
            );
            let agents = left.iter().filter(|f| f.ends_with("/mnas-agent"));
            assert_eq!(
                agents.count(),
                1,
                "the agent stays for the next time: {left:?}"
            );
            let sockets = files(&board.folder);
            assert!(
                !sockets.iter().any(|f| f.ends_with("/s")),
                "the connection has ended: {sockets:?}"
            );
        },
    );
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    Board::run(
        "ssh::a_connection_that_breaks_is_made_again",
        &with_forgetful,
        |board| {
            let mut device = open(&board.name()).unwrap();
            let done = std::thread::scope(|scope| {
                scope.spawn(|| {
                    await_file(&board.folder.join("seen"));
                    board.cable.pull();
                    board.cable.put_back();
                });
                measure(&mut *device, &["a", "b"])
            });
            let done = done.unwrap();
            assert_eq!(done[0].as_ref().unwrap().times_ms.len(), 50);
            assert!(done[1].is_ok());
        },
    );
}

#[test]
fn a_board_that_is_gone_is_a_failed_measurement() {
    Board::run(
        "ssh::a_board_that_is_gone_is_a_failed_measurement",
        &with_forgetful,
        |board| {
            let mut device = open(&board.name()).unwrap();
            let start = Instant::now();
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    await_file(&board.folder.join("seen"));
                    board.cable.pull();
                });
                measure(&mut *device, &["a"]).unwrap_err()
            });
            assert!(
                matches!(error, DeviceError::Command(CommandError::Lost { .. })),
                "{error}"
            );
            assert!(start.elapsed() < Duration::from_secs(90));
        },
    );
}

#[test]
fn what_ssh_refuses_is_told() {
    Board::run("ssh::what_ssh_refuses_is_told", &with_agent, |board| {
        let error = |name: &str| open(name).err().unwrap().to_string();
        fs::write(board.folder.join("authorized_keys"), "").unwrap();
        let refused = error(&board.name());
        assert!(refused.contains("Permission denied"), "{refused}");
        let nobody = error(&format!("ssh:127.0.0.1:{}", free_port()));
        assert!(nobody.contains("Connection refused"), "{nobody}");
        let unknown = error("ssh:no-such-host.invalid");
        assert!(unknown.contains("can't be reached"), "{unknown}");
        for bad in [
            "ssh:-oProxyCommand=touch",
            "ssh:a;b",
            "ssh:$(id)",
            "ssh:a,",
            "ssh:a b",
        ] {
            let refused = open(bad).err().unwrap();
            assert!(
                matches!(refused, DeviceError::BadName { .. }),
                "{bad}: {refused}"
            );
        }
        assert!(matches!(
            open("ssh:").err().unwrap(),
            DeviceError::Argument { .. }
        ));
    });
}

//! A PostgreSQL server of a test's own, from the system's packages.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The password of the only user, `mnas`. Nothing that a test reads may hold it.
pub const PASSWORD: &str = "pa55-of-the-test";

/// A server with a database `mnas`, on a port of this machine, ended when dropped.
pub struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It cuts its clients and ends in order (SIGINT, "fast").
    Fast,
    /// It drops everything and recovers when it starts again (SIGQUIT, "immediate").
    Crash,
}

impl Server {
    /// Makes and starts one; `None` where the machine has no PostgreSQL, or no user but root to
    /// run it as.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().ok()?;
        if is_root() {
            let mut chown = Command::new("chown");
            chown
                .arg(user()?)
                .arg(folder.path())
                .status()
                .ok()
                .filter(|s| s.success())?;
        }
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).ok()?;
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).ok()?;
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = listener.local_addr().ok()?.port();
        drop(listener);
        let mut server = Self {
            folder,
            programs,
            port,
            process: None,
        };
        let mut initdb = server.command("initdb");
        initdb
            .arg("-D")
            .arg(server.data())
            .args([
                "-U",
                "mnas",
                "-A",
                "scram-sha-256",
                "--no-sync",
                "-E",
                "UTF8",
            ])
            .arg(format!("--pwfile={}", password.display()));
        let made = initdb.stdout(Stdio::null()).output().ok()?;
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb: {said}");
        server.restart();
        assert_eq!(server.sql_in("postgres", "CREATE DATABASE mnas"), "");
        Some(server)
    }

    /// Its address, with the password.
    pub fn url(&self) -> String {
        self.url_as("mnas", PASSWORD)
    }

    /// Its address for another user or password.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/mnas", self.port)
    }

    /// Starts it again where it was ended.
    ///
    /// # Panics
    /// Where it doesn't come up within a minute.
    pub fn restart(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the server's folder takes no log");
        let mut postgres = self.command("postgres");
        postgres
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(postgres.spawn().expect("postgres starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.ready() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            assert!(Instant::now() < deadline, "no server: {log:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Ends it.
    pub fn end(&mut self, end: End) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let signal = match end {
            End::Fast => "-INT",
            End::Crash => "-QUIT",
        };
        let id = process.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).status();
        let _ = process.wait();
    }

    /// Cuts the connections of all clients; how many there were.
    pub fn cut(&self) -> usize {
        let cut = self.sql(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = 'mnas' AND pid <> pg_backend_pid()",
        );
        cut.parse().unwrap_or(0)
    }

    /// Runs SQL and gives what it prints, without frame.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("mnas", sql)
    }

    fn sql_in(&self, database: &str, sql: &str) -> String {
        let out = self.psql(database, sql).output().expect("psql starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{sql}: {said}");
        String::from_utf8_lossy(&out.stdout).trim().to_string()
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "mnas",
        ])
        .args(["-d", database, "-q", "-A", "-t", "-c", sql])
        .env("PGPASSWORD", PASSWORD);
        psql
    }

    fn ready(&self) -> bool {
        let asked = self.psql("postgres", "SELECT 1").output();
        asked.is_ok_and(|out| out.status.success())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server, which refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match is_root() {
            false => Command::new(program),
            true => {
                let mut command = Command::new("setpriv");
                let user = user().unwrap_or_default();
                command
                    .args([format!("--reuid={user}"), format!("--regid={user}")])
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(End::Crash);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Whom root runs the server as.
fn user() -> Option<&'static str> {
    let known = |user: &&str| {
        let id = Command::new("id").arg("-u").arg(user).output();
        id.is_ok_and(|out| out.status.success())
    };
    ["postgres", "nobody"].into_iter().find(known)
}

/// The folder of `initdb`: the newest of Debian's, or where the path leads.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    let has = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|p| folder.join(p).is_file())
    };
    folders.into_iter().find(has)
}

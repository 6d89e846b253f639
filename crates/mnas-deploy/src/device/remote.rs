//! Phones and boards: a measuring program on another machine, which is reached through a client of
//! the user's (`adb`, `ssh`) and runs a POSIX shell.
//!
//! Files go by content. The agent stays on the machine under its hash, so it is sent once; models
//! lie in a folder of this run that goes with it. Every word that goes through the machine's shell
//! is quoted ([`shell::quote`]).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::meter::route::{Delivered, Route, write_model};
use super::meter::{CommandError, Limits, Recovery};
use crate::export::ModelFile;

pub(crate) mod bundle;
pub(crate) mod shell;

use bundle::Bundle;
use shell::quote;

/// Time for a small command on the machine.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// Slowest connection that is waited for, in bytes per second.
const BYTES_PER_SECOND_MIN: u64 = 50_000;

/// Limits on an agent's replies: it may put off its runs for the device to cool.
pub(crate) const AGENT_LIMITS: Limits = Limits {
    overhead: Duration::from_secs(150),
    ..Limits::STANDARD
};

/// A machine that runs shell commands and takes files.
pub(crate) trait Machine: Send {
    /// What messages call it, as `adb:SERIAL`.
    fn label(&self) -> &Path;

    /// Connects where there is no connection.
    fn connect(&mut self) -> Result<(), CommandError>;

    /// A local process that runs a command of the machine's shell, standard input and output its own.
    fn command(&self, script: &str) -> Command;

    /// Sends a file.
    fn send(&self, local: &Path, remote: &str, limit: Duration) -> Result<(), CommandError>;

    /// Shell expression of the folder for files of ours.
    fn folder(&self) -> &'static str;

    /// Whether it answers at once.
    fn answers(&mut self) -> bool;

    /// What it is, where its system tells better than the agent.
    fn describe(&self) -> Option<String> {
        None
    }

    /// Runs a command of its shell and gives its standard output.
    fn sh(&self, script: &str, limit: Duration) -> Result<String, CommandError>;
}

/// Where files of this run lie on a machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// As `uname -m` names it.
    pub(crate) architecture: String,
    base: String,
    run: String,
}

/// A machine and our folder on it.
pub(crate) struct Site<M: Machine> {
    pub(crate) machine: M,
    pub(crate) place: Option<Place>,
}

impl<M: Machine> Site<M> {
    pub(crate) fn new(machine: M) -> Self {
        let place = None;
        Self { machine, place }
    }

    /// Connects and makes the folder of this run, where that isn't done.
    pub(crate) fn prepare(&mut self) -> Result<Place, CommandError> {
        self.machine.connect()?;
        if let Some(place) = &self.place {
            return Ok(place.clone());
        }
        // Folders of runs that were killed go after a day, agents that nobody used after a month.
        let script = format!(
            "umask 077; base={}; mkdir -p \"$base\" && run=$(mktemp -d \"$base/run-{unique}\") || exit 1; \
             find \"$base\" -maxdepth 1 \\( -name 'run-*' -mtime +1 -o -name 'agent-*' -mtime +30 \\) -exec rm -rf {{}} + 2>/dev/null; \
             printf 'mnas-place\\n%s\\n%s\\n%s\\n' \"$(uname -m)\" \"$base\" \"$run\"",
            self.machine.folder(),
            // What mktemp replaces.
            unique = "X".repeat(6),
        );
        let output = self.machine.sh(&script, COMMAND_LIMIT)?;
        // What a login script prints comes before.
        let mut lines = output.lines().skip_while(|l| *l != "mnas-place").skip(1);
        let mut next = || lines.next().map(str::to_string).filter(|l| !l.is_empty());
        let (Some(architecture), Some(base), Some(run)) = (next(), next(), next()) else {
            return Err(self.unfit(format!(
                "its shell answered {:?}",
                super::meter::protocol::readable(&output)
            )));
        };
        let place = Place {
            architecture,
            base,
            run,
        };
        self.place = Some(place.clone());
        Ok(place)
    }

    /// Sends a file into this run's folder; the path there.
    pub(crate) fn send(
        &self,
        local: &Path,
        name: &str,
        place: &Place,
    ) -> Result<String, CommandError> {
        let size = std::fs::metadata(local).map_or(0, |m| m.len());
        let limit = COMMAND_LIMIT + Duration::from_secs(size / BYTES_PER_SECOND_MIN);
        let remote = format!("{}/{name}", place.run);
        self.machine.send(local, &remote, limit)?;
        Ok(remote)
    }

    /// Brings a bundle's files to a folder that is named by their contents; that folder.
    pub(crate) fn install(&mut self, bundle: &Bundle) -> Result<String, CommandError> {
        let place = self.prepare()?;
        if let Some(built) = bundle.architecture()
            && !bundle::runs_on(built, &place.architecture)
        {
            return Err(self.unfit(format!(
                "its processor is {}, and {} is for {built}; docs/how-to/measure-on-a-phone.md says how to build another",
                place.architecture,
                bundle.program().display(),
            )));
        }
        let home = format!("{}/agent-{}", place.base, bundle.hash());
        let there = format!(
            "touch -c {0} && [ -d {0} ] && echo yes || echo no",
            quote(&home)
        );
        if self
            .machine
            .sh(&there, COMMAND_LIMIT)?
            .trim()
            .ends_with("yes")
        {
            return Ok(home);
        }
        tracing::info!("{}: sending the agent", self.machine.label().display());
        let staged = format!("{}/agent", place.run);
        let make = format!("rm -rf {0} && mkdir {0}", quote(&staged));
        self.machine.sh(&make, COMMAND_LIMIT)?;
        for file in bundle.files() {
            let name = format!("agent/{}", file.name);
            self.send(&file.path, &name, &place)?;
        }
        // Complete or absent: another run may be at the same.
        let publish = format!(
            "chmod 755 {0}/* && {{ [ -d {1} ] || mv {0} {1}; }}",
            quote(&staged),
            quote(&home)
        );
        self.machine.sh(&publish, COMMAND_LIMIT)?;
        Ok(home)
    }

    /// Brings a model to this run's folder.
    pub(crate) fn deliver(
        &mut self,
        file: &ModelFile,
        sha256: &str,
    ) -> Result<Delivered, CommandError> {
        let place = self.prepare()?;
        let local = write_model(file).map_err(|source| CommandError::Pass {
            program: self.machine.label().into(),
            source,
        })?;
        let name = format!("{:.32}.{}", sha256, file.format.extension());
        let path = self.send(local.path(), &name, &place)?;
        Ok(Delivered {
            path: PathBuf::from(path),
            local: None,
        })
    }

    pub(crate) fn remove(&mut self, delivered: &Delivered) {
        let path = delivered.path.to_string_lossy();
        // A machine that has gone keeps it; the run's folder goes later.
        let _ = self
            .machine
            .sh(&format!("rm -f {}", quote(&path)), COMMAND_LIMIT);
    }

    /// Waits for a machine that doesn't answer.
    pub(crate) fn recover(&mut self, patience: Duration) -> Recovery {
        let start = Instant::now();
        loop {
            if self.machine.answers() {
                // Files may have gone with a restart: everything is brought again.
                self.leave();
                return Recovery::Answers;
            }
            if start.elapsed() >= patience {
                return Recovery::Gone;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub(crate) fn unfit(&self, problem: String) -> CommandError {
        CommandError::Unfit {
            program: self.machine.label().into(),
            problem,
        }
    }
}

impl<M: Machine> Drop for Site<M> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<M: Machine> Site<M> {
    /// Removes this run's folder.
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let script = format!("rm -rf {}", quote(&place.run));
            // Quickly or not at all: a machine that has gone keeps the folder for a day.
            let _ = self.machine.sh(&script, Duration::from_secs(3));
        }
    }
}

/// Our agent on a machine.
pub(crate) struct Agent<M: Machine> {
    site: Site<M>,
    bundle: Bundle,
    /// Where the agent lies; none before it is sent.
    home: Option<String>,
}

impl<M: Machine> Agent<M> {
    pub(crate) fn new(machine: M, bundle: Bundle) -> Self {
        Self {
            site: Site::new(machine),
            bundle,
            home: None,
        }
    }
}

impl<M: Machine> Route for Agent<M> {
    fn label(&self) -> &Path {
        self.site.machine.label()
    }

    fn prepare(&mut self) -> Result<(), CommandError> {
        if self.home.is_none() {
            self.home = Some(self.site.install(&self.bundle)?);
        } else {
            self.site.prepare()?;
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let home = self.home.as_deref().unwrap_or(".");
        // Libraries of the bundle come before the system's.
        let script = format!(
            "cd {} && export LD_LIBRARY_PATH=. && exec {}",
            quote(home),
            self.bundle.start()
        );
        self.site.machine.command(&script)
    }

    fn deliver(&mut self, file: &ModelFile, sha256: &str) -> Result<Delivered, CommandError> {
        self.site.deliver(file, sha256)
    }

    fn remove(&mut self, delivered: Delivered) {
        self.site.remove(&delivered);
    }

    fn device(&self) -> Option<String> {
        self.site.machine.describe()
    }

    fn recover(&mut self, patience: Duration) -> Recovery {
        self.home = None;
        self.site.recover(patience)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

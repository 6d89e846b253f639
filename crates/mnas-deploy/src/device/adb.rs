//! `adb[:SERIAL]`: phones, over the `adb` command.
//!
//! Our agent is sent and run, or `benchmark_model` of TensorFlow Lite where the user names one in
//! `MNAS_BENCHMARK_MODEL`. Without a serial, all phones that are ready share the work; they must be
//! alike. Android 7 or later: earlier shells mix output and errors.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::meter::lines::Lines;
use super::meter::protocol::readable;
use super::meter::{CommandError, Link, Meter};
use super::remote::bundle::Bundle;
use super::remote::{AGENT_LIMITS, Agent, COMMAND_LIMIT, Machine, shell};
use super::shared::{Opener, Shared};
use super::{Attached, Device, DeviceError, DeviceInfo, DeviceKind};

mod benchmark;
mod list;

use list::Phone;

pub(super) const SCHEME: &str = "adb";
const USAGE: &str =
    "adb, adb:SERIAL[,SERIAL...]   phones, through adb; without a serial all that are alike";
/// Time for `adb devices`, which may have to start its server.
const LIST_LIMIT: Duration = Duration::from_secs(15);

pub(super) struct AdbKind;

impl DeviceKind for AdbKind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        let serials: Vec<String> = match rest {
            Some(names) => {
                let parts = names.split(',').map(serial);
                parts.collect::<Result<_, _>>()?
            }
            None => {
                let phones = list::phones()?;
                let ready = phones.iter().filter(|p| p.is_ready());
                let serials: Vec<String> = ready.map(|p| p.serial.clone()).collect();
                if serials.is_empty() {
                    let attached = phones.iter().map(Phone::to_string).collect();
                    return Err(DeviceError::NoPhone { attached });
                }
                serials
                    .iter()
                    .map(|s| serial(s))
                    .collect::<Result<_, _>>()?
            }
        };
        let runner = Runner::of_user()?;
        let device = |serial: String| {
            let (runner, named) = (runner.clone(), serial.clone());
            let open: Opener = Box::new(move || runner.open(&named));
            (serial, open)
        };
        Shared::open(SCHEME, serials.into_iter().map(device).collect())
    }

    /// Nothing is sent to a phone without being asked to: see [`DeviceKind::attached`].
    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }

    fn attached(&self) -> Vec<Attached> {
        let phones = list::phones().unwrap_or_default();
        let attached = |p: Phone| Attached {
            name: format!("{SCHEME}:{}", p.serial),
            ready: p.is_ready(),
            state: p.advice(),
            device: p.model,
        };
        phones.into_iter().map(attached).collect()
    }
}

/// What serials are made of; `adb` gets it as one argument, never a shell.
fn serial(name: &str) -> Result<String, DeviceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
        return Err(DeviceError::BadName {
            scheme: SCHEME,
            name: readable(name),
            problem: "a serial is letters, digits, dots, colons, - and _; `mnas device list` shows those attached",
        });
    }
    Ok(name.into())
}

/// What runs models on phones.
#[derive(Clone)]
enum Runner {
    Agent(Bundle),
    Benchmark(PathBuf),
}

impl Runner {
    fn of_user() -> Result<Self, DeviceError> {
        match std::env::var_os(benchmark::VARIABLE).filter(|v| !v.is_empty()) {
            Some(program) => Ok(Self::Benchmark(program.into())),
            None => Bundle::of_user().map(Self::Agent),
        }
    }

    fn open(&self, serial: &str) -> Result<Meter, CommandError> {
        let name = format!("{SCHEME}:{serial}");
        let phone = Adb::new(serial);
        let link: Box<dyn Link> = match self {
            Self::Agent(bundle) => {
                let agent = Agent::new(phone, bundle.clone());
                Box::new(Lines::new(Box::new(agent), AGENT_LIMITS))
            }
            Self::Benchmark(program) => Box::new(benchmark::Benchmark::new(phone, program.clone())),
        };
        Meter::open(link, name)
    }
}

/// A phone, through `adb`.
pub(super) struct Adb {
    serial: String,
    label: PathBuf,
    /// Model and build, once it was connected to.
    description: Option<String>,
}

impl Adb {
    fn new(serial: &str) -> Self {
        Self {
            serial: serial.into(),
            label: format!("{SCHEME}:{serial}").into(),
            description: None,
        }
    }

    fn client(&self) -> Command {
        let mut adb = Command::new("adb");
        adb.args(["-s", &self.serial]);
        adb
    }

    /// `device` where it can be used.
    fn state(&self) -> Result<String, CommandError> {
        let mut adb = self.client();
        adb.arg("get-state");
        let state = shell::run(&self.label, adb, None, LIST_LIMIT, |_, _| true)?;
        Ok(state.trim().into())
    }

    /// Phones on the network have to be called again after a break; first the server is to forget
    /// the broken connection, which it would call connected.
    fn call(&self) {
        if self.serial.contains(':') {
            for what in ["disconnect", "connect"] {
                let mut adb = Command::new("adb");
                adb.args([what, &self.serial]);
                // Whether it worked, the state tells.
                let _ = shell::run(&self.label, adb, None, LIST_LIMIT, |_, _| true);
            }
        }
    }
}

impl Machine for Adb {
    fn label(&self) -> &Path {
        &self.label
    }

    fn connect(&mut self) -> Result<(), CommandError> {
        if self.description.is_some() {
            return Ok(());
        }
        let mut state = self.state();
        if state.is_err() {
            self.call();
            state = self.state();
        }
        let state = state?;
        if state != list::READY {
            return Err(CommandError::Lost {
                program: self.label.clone(),
                detail: list::advice(&readable(&state)),
            });
        }
        let script = "getprop ro.product.manufacturer; getprop ro.product.model; getprop ro.build.fingerprint";
        let properties = self.sh(script, COMMAND_LIMIT)?;
        let mut lines = properties.lines().map(|l| readable(l.trim()));
        let mut next = || lines.next().unwrap_or_default();
        let (manufacturer, model, build) = (next(), next(), next());
        self.description = Some(format!("{manufacturer} {model} ({build})").trim().into());
        Ok(())
    }

    fn command(&self, script: &str) -> Command {
        let mut adb = self.client();
        // One argument: adb passes it to the phone's shell as it is.
        adb.args(["shell", "-T", script]);
        adb
    }

    fn send(&self, local: &Path, remote: &str, limit: Duration) -> Result<(), CommandError> {
        let mut adb = self.client();
        adb.arg("push").arg(local).arg(remote);
        shell::run(&self.label, adb, None, limit, |_, _| true).map(drop)
    }

    fn folder(&self) -> &'static str {
        "/data/local/tmp/mnas"
    }

    fn answers(&mut self) -> bool {
        self.description = None;
        self.connect().is_ok()
    }

    fn describe(&self) -> Option<String> {
        self.description.clone()
    }

    fn sh(&self, script: &str, limit: Duration) -> Result<String, CommandError> {
        shell::run(&self.label, self.command(script), None, limit, is_loss)
    }
}

/// The phone's own commands fail with words and codes of their own; adb's begin so, and 255 stands
/// for a connection that ended before its command.
fn is_loss(code: Option<i32>, said: &str) -> bool {
    code.is_none_or(|c| c == 255)
        || ["error: ", "adb: "]
            .iter()
            .any(|start| said.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_serials_and_nothing_else() {
        for good in [
            "0123456789ABCDEF",
            "emulator-5554",
            "192.168.1.7:5555",
            "adb-R5CT_x._adb-tls-connect._tcp",
        ] {
            assert_eq!(serial(good).unwrap(), good);
        }
        for bad in [
            "", "-s", "-a", "; reboot", "a b", "$(id)", "`id`", "a|b", "a&b", "a>b", "a\nb",
            "../a", "a'b", "a\"b", "a\\b", "a/b", "a*", "ä", "a=b", "a%b",
        ] {
            let refused = serial(bad);
            assert!(
                matches!(refused, Err(DeviceError::BadName { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_script_is_one_argument() {
        let command = Adb::new("X1").command("cat 'a b'; id");
        let words: Vec<_> = command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        assert_eq!(words, ["-s", "X1", "shell", "-T", "cat 'a b'; id"]);
    }
}

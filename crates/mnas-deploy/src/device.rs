//! Devices: what tells how long a network takes.
//!
//! A device is named `scheme:rest`. Kinds of devices are an open list ([`DEVICES`]): one file, one
//! trait, one line each. A latency always names its source ([`DeviceInfo`]): the engine, its
//! version and the hash of its library, or the table that it is predicted from.

use std::path::PathBuf;

use mnas_net::{Graph, Weights};
use serde::{Deserialize, Serialize};

use crate::engine::{EngineError, EngineId};
use crate::export::ModelFile;
use crate::measure::{MeasureError, MeasurePlan, PlanError, Precision, Samples};

mod adb;
mod anchor;
mod command;
pub(crate) mod host;
pub(crate) mod linear;
pub(crate) mod meter;
mod pixel1;
pub(crate) mod predict;
mod remote;
mod shared;
mod ssh;
pub(crate) mod table;

/// A network to measure.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What reports call it.
    pub name: &'a str,
    /// Its text.
    pub spec: &'a str,
    /// Its graph, with or without batch norm.
    pub graph: &'a Graph,
    /// Its weights; seeded ones will do, but never all zero: engines skip zeros.
    pub weights: &'a Weights,
}

/// A model file to measure, of which no graph is known.
#[derive(Debug, Clone, Copy)]
pub struct ModelSource<'a> {
    /// What reports call it.
    pub name: &'a str,
    /// The file.
    pub file: &'a ModelFile,
}

/// What a latency was measured on or predicted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The name that opens exactly this device again, as `host:rten` or `table:pixel1.toml`.
    pub name: String,
    /// The hardware: a CPU model, or what a table was taken on.
    pub device: String,
    /// Engine and version, as `rten 0.27.0`.
    pub engine: String,
    /// First 16 hex digits of the sha256 of the engine's library, or of the table's file.
    pub library_hash: Option<String>,
    /// Whether latencies are predicted instead of measured.
    pub predicted: bool,
}

/// Latencies in the order asked for; a network that fails doesn't fail the others.
pub type Measured = Vec<Result<Samples, MeasureError>>;

/// Something that tells how long networks take.
pub trait Device: Send {
    /// What latencies come from. The same during the device's life.
    fn info(&self) -> &DeviceInfo;

    /// Latency of each candidate, in order. Several candidates are measured interleaved, round by
    /// round, so that they can be compared.
    ///
    /// # Errors
    /// [`DeviceError`] where no candidate could be measured; an error of a single candidate is in
    /// its place of the answer.
    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError>;

    /// Latency of model files, in order and interleaved as in [`Device::measure`].
    ///
    /// # Errors
    /// As [`Device::measure`]; [`DeviceError::NeedsNetwork`] where the device works on graphs only.
    fn measure_models(
        &mut self,
        _models: &[ModelSource<'_>],
        _plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        Err(DeviceError::NeedsNetwork {
            device: self.info().name.clone(),
        })
    }
}

/// A kind of device: how a name becomes a [`Device`].
pub trait DeviceKind: Sync {
    /// What stands before the colon.
    fn scheme(&self) -> &'static str;

    /// How the name is written and what it does, in a line.
    fn describe(&self) -> &'static str;

    /// Opens the device; `rest` is what stands after the colon, `None` without a colon.
    ///
    /// # Errors
    /// [`DeviceError`] says what is missing and how to get it.
    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError>;

    /// Devices of this kind that work here without being told more.
    fn probe(&self) -> Vec<DeviceInfo>;

    /// Devices of this kind that are attached, ready or not.
    fn attached(&self) -> Vec<Attached> {
        vec![]
    }
}

/// A device that is attached to this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The name that opens it.
    pub name: String,
    /// What it is, as far as it says.
    pub device: String,
    /// Whether it can be used.
    pub ready: bool,
    /// Its state, and what to do where it isn't ready.
    pub state: String,
}

/// Whether a device's work is done on another machine, so that what this one does meanwhile doesn't
/// matter to its latencies.
pub fn is_remote(name: &str) -> bool {
    let scheme = name.split(':').next().unwrap_or_default();
    matches!(scheme, adb::SCHEME | ssh::SCHEME)
}

/// The kinds of devices that are built in.
pub const DEVICES: &[&dyn DeviceKind] = &[
    &host::HostKind,
    &table::TableKind,
    &linear::LinearKind,
    &pixel1::Pixel1Kind,
    &adb::AdbKind,
    &ssh::SshKind,
    &command::CommandKind,
];

/// Opens a built-in device by name, as `host`, `host:litert`, `table:pixel1.toml`.
///
/// # Errors
/// As [`open_among`].
pub fn open(name: &str) -> Result<Box<dyn Device>, DeviceError> {
    open_among(DEVICES, name)
}

/// Opens a device of one of these kinds by name.
///
/// # Errors
/// [`DeviceError::Unknown`] lists what exists; otherwise what the kind says.
pub fn open_among(kinds: &[&dyn DeviceKind], name: &str) -> Result<Box<dyn Device>, DeviceError> {
    let (scheme, rest) = match name.split_once(':') {
        Some((scheme, rest)) => (scheme, Some(rest)),
        None => (name, None),
    };
    match kinds.iter().find(|kind| kind.scheme() == scheme) {
        Some(kind) => kind.open(rest),
        None => Err(DeviceError::Unknown {
            name: name.into(),
            known: kinds.iter().map(|k| k.describe()).collect(),
        }),
    }
}

/// Why a device can't be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No kind of device has this name.
    #[error("no device is called {name:?}; there are:\n  {}", .known.join("\n  "))]
    Unknown {
        /// The name given.
        name: String,
        /// How each kind is written.
        known: Vec<&'static str>,
    },
    /// A name that lacks what stands after the colon.
    #[error("{scheme} needs an argument: {usage}")]
    Argument {
        /// The scheme.
        scheme: &'static str,
        /// How the name is written.
        usage: &'static str,
    },
    /// A name with a colon where the kind takes nothing after it.
    #[error("{scheme} takes nothing after its name")]
    TakesNothing {
        /// The scheme.
        scheme: &'static str,
    },
    /// An engine that is not in this build.
    #[error("this build has no inference engine {engine}; it has {}", names(.built))]
    NotBuilt {
        /// The engine asked for.
        engine: EngineId,
        /// The engines built in.
        built: Vec<EngineId>,
    },
    /// `host:` with a name that is no engine.
    #[error("no engine is called {name:?}; host:rten, host:litert and host:ort exist")]
    UnknownEngine {
        /// The name given.
        name: String,
    },
    /// The engine can't be loaded or fails on the built-in anchor network.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The anchor network can't be written.
    #[error("anchor network: {0}")]
    Anchor(crate::export::ExportError),
    /// The plan can't be followed.
    #[error("measuring plan: {0}")]
    Plan(#[from] PlanError),
    /// A core that this process may not run on.
    #[error("core {core} is not open to this process; cores {allowed:?} are")]
    Core {
        /// The core asked for.
        core: usize,
        /// The cores that the process may use.
        allowed: Vec<usize>,
    },
    /// The system refuses to pin the measuring thread.
    #[error("can't pin the measuring thread to core {core}: {source}")]
    Pin {
        /// The core.
        core: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// A table that can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A table that isn't one.
    #[error("{}: {source}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its position.
        source: predict::TableError,
    },
    /// The measuring program can't be started or doesn't speak the protocol.
    #[error(transparent)]
    Command(#[from] meter::CommandError),
    /// A name that no phone or host can have.
    #[error("{scheme}:{name} is no device: {problem}")]
    BadName {
        /// The scheme.
        scheme: &'static str,
        /// The name given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No phone that could be used is attached.
    #[error("no phone is ready{}", listed(.attached))]
    NoPhone {
        /// What is attached, with state and advice.
        attached: Vec<String>,
    },
    /// There is no agent to send to a phone or board.
    #[error(
        "no agent to send ({problem}); set MNAS_AGENT to mnas-agent, or to a folder with it and its libraries: docs/how-to/measure-on-a-phone.md"
    )]
    NoAgent {
        /// What was looked at and why it doesn't do.
        problem: String,
    },
    /// Devices that were to share the work and differ.
    #[error("these devices can't share the work, as they are not alike; name one:\n  {}", .devices.join("\n  "))]
    Unlike {
        /// Name, device and engine of each.
        devices: Vec<String>,
    },
    /// A predictor that knows latencies of float networks only.
    #[error(
        "this predictor was fitted to float latencies and can't tell {precision} ones; measure on a device"
    )]
    Precision {
        /// The precision asked for.
        precision: Precision,
    },
    /// A device that works on graphs was given a model file.
    #[error("{device} needs a network, not a model file")]
    NeedsNetwork {
        /// The device's name.
        device: String,
    },
}

fn listed(attached: &[String]) -> String {
    if attached.is_empty() {
        ": `adb devices` lists none; connect one by USB with USB debugging switched on".into()
    } else {
        format!(":\n  {}", attached.join("\n  "))
    }
}

fn names(engines: &[EngineId]) -> String {
    let names: Vec<&str> = engines.iter().map(|e| e.as_str()).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;

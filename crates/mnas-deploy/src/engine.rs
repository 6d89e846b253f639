//! Inference engines: what runs a model file, as it runs where the network is deployed.
//!
//! `rten` is compiled in (pure Rust). LiteRT and ONNX Runtime are shared libraries that are opened
//! when first used, so the same command works with and without them. Each runs on one thread.

use std::fmt;
use std::str::FromStr;

use mnas_net::Shape;
use serde::{Deserialize, Serialize};

use crate::export::{Format, ModelFile};

#[cfg(any(feature = "rten", feature = "litert", feature = "ort"))]
mod layout;
pub(crate) mod library;
#[cfg(feature = "litert")]
mod litert;
#[cfg(feature = "ort")]
mod ort;
pub(crate) mod profile;
#[cfg(feature = "rten")]
mod rten;
#[cfg(test)]
mod tests;

use library::LibraryError;

/// An inference engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineId {
    /// LiteRT (TensorFlow Lite's successor, with XNNPACK), the engine of Android phones.
    LiteRt,
    /// ONNX Runtime's CPU provider.
    Ort,
    /// rten, in Rust: four to ten times slower than the other two on x86.
    Rten,
}

impl EngineId {
    /// All engines, in the order in which `host` prefers them.
    pub const ALL: [EngineId; 3] = [EngineId::LiteRt, EngineId::Ort, EngineId::Rten];

    /// Name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineId::LiteRt => "litert",
            EngineId::Ort => "ort",
            EngineId::Rten => "rten",
        }
    }

    /// The model format that it reads.
    pub const fn format(self) -> Format {
        match self {
            EngineId::LiteRt => Format::Tflite,
            EngineId::Ort | EngineId::Rten => Format::Onnx,
        }
    }

    /// Whether this build has it.
    pub const fn is_built(self) -> bool {
        match self {
            EngineId::LiteRt => cfg!(feature = "litert"),
            EngineId::Ort => cfg!(feature = "ort"),
            EngineId::Rten => cfg!(feature = "rten"),
        }
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no inference engine is called {0:?}; rten, litert and ort exist")]
pub struct UnknownEngine(pub String);

impl FromStr for EngineId {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        let found = Self::ALL.into_iter().find(|e| e.as_str() == name);
        found.ok_or_else(|| UnknownEngine(name.into()))
    }
}

/// Exactly which engine runs: a latency is comparable only under the same version and library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineVersion {
    /// Name and version, as `LiteRT 2.3.0`.
    pub(crate) label: String,
    /// First 16 hex digits of the library file's sha256; none where it is compiled in.
    pub(crate) library_hash: Option<String>,
}

/// A loaded model.
///
/// Images are channels last at this interface (`h * w * c` values, already normalised), whatever
/// the engine's own layout is. Only [`InferenceEngine::invoke`] is timed.
pub trait InferenceEngine: Send {
    /// The engine that runs the model.
    fn id(&self) -> EngineId;

    /// Shape of the image that the model takes.
    fn input_shape(&self) -> Shape;

    /// Number of values that the model gives, as the file states.
    fn outputs(&self) -> usize;

    /// Sets the image for the next runs.
    ///
    /// # Errors
    /// [`EngineError::InputLength`] for an image of another size.
    fn set_input(&mut self, image: &[f32]) -> Result<(), EngineError>;

    /// Runs the model once.
    ///
    /// # Errors
    /// [`EngineError::Failed`] with what the engine says.
    fn invoke(&mut self) -> Result<(), EngineError>;

    /// Values that the last run gave; empty before the first run.
    ///
    /// # Errors
    /// [`EngineError::Failed`] with what the engine says.
    fn output(&mut self) -> Result<Vec<f32>, EngineError>;

    /// Runs the model on an image and returns its values.
    ///
    /// # Errors
    /// As the three steps.
    fn run(&mut self, image: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.set_input(image)?;
        self.invoke()?;
        self.output()
    }
}

/// Loads a model file with an engine.
///
/// # Errors
/// [`EngineError::NotBuilt`], [`EngineError::Format`] where the engine doesn't read the format,
/// [`EngineError::Library`] where its library is missing or unfit, [`EngineError::Model`] where the
/// model is not a classifier of one float32 image.
pub fn load_model(
    file: &ModelFile,
    engine: EngineId,
) -> Result<Box<dyn InferenceEngine>, EngineError> {
    if file.format != engine.format() {
        let format = file.format;
        return Err(EngineError::Format { engine, format });
    }
    match engine {
        #[cfg(feature = "rten")]
        EngineId::Rten => rten::load(file),
        #[cfg(feature = "ort")]
        EngineId::Ort => ort::load(file),
        #[cfg(feature = "litert")]
        EngineId::LiteRt => litert::load(file),
        #[allow(unreachable_patterns, reason = "reached where a feature is off")]
        _ => Err(EngineError::NotBuilt { engine }),
    }
}

/// Finds and opens an engine and says exactly which it is.
///
/// # Errors
/// As [`load_model`], without the model's.
pub(crate) fn version(engine: EngineId) -> Result<EngineVersion, EngineError> {
    match engine {
        #[cfg(feature = "rten")]
        EngineId::Rten => Ok(rten::version()),
        #[cfg(feature = "ort")]
        EngineId::Ort => ort::version(),
        #[cfg(feature = "litert")]
        EngineId::LiteRt => litert::version(),
        #[allow(unreachable_patterns, reason = "reached where a feature is off")]
        _ => Err(EngineError::NotBuilt { engine }),
    }
}

/// The files of LiteRT, where it is found: what another machine needs to run it.
#[cfg(feature = "litert")]
pub(crate) fn litert_files() -> Vec<std::path::PathBuf> {
    litert::files()
}

/// The engines that work here, with name and version, in the order in which `host` prefers them.
pub fn engines() -> Vec<(EngineId, String)> {
    let engine = |id| Some((id, version(id).ok()?.label));
    EngineId::ALL.into_iter().filter_map(engine).collect()
}

/// Runs `job` on a thread that is the engine's own, so that whatever `job` binds the thread to (a
/// core) holds for the engine's work as well, and never for the caller's.
pub(crate) fn on_own_thread<R: Send>(engine: EngineId, job: impl FnOnce() -> R + Send) -> R {
    match engine {
        #[cfg(feature = "rten")]
        EngineId::Rten => rten::on_own_thread(job),
        _ => std::thread::scope(|scope| {
            let joined = scope.spawn(job).join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }),
    }
}

/// Why an engine can't load or run a model.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine is not in this build.
    #[error("this build has no inference engine {engine} (cargo feature of the same name)")]
    NotBuilt {
        /// The engine asked for.
        engine: EngineId,
    },
    /// The engine doesn't tell its operators' times to a program.
    #[error("{engine} doesn't tell the times of its operators; litert and ort do")]
    NoProfile {
        /// The engine asked for.
        engine: EngineId,
    },
    /// The engine doesn't read this format.
    #[error("{engine} reads {} files, not {format}", .engine.format())]
    Format {
        /// The engine.
        engine: EngineId,
        /// The file's format.
        format: Format,
    },
    /// The engine's library is missing or unfit.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The engine doesn't accept the model.
    #[error("{engine} can't load the model: {detail}")]
    Load {
        /// The engine.
        engine: EngineId,
        /// What the engine says.
        detail: String,
    },
    /// The model is no classifier of one float32 image.
    #[error("{engine}: the model's {what} is {got}; {expected} is needed")]
    Model {
        /// The engine.
        engine: EngineId,
        /// The part of the model.
        what: &'static str,
        /// What it is.
        got: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// The engine sees another input than the file states.
    #[error("{engine}: the model's input is {got}; the file states {expected}")]
    Shape {
        /// The engine.
        engine: EngineId,
        /// Extents as the engine sees them.
        got: String,
        /// Extents that the file states.
        expected: String,
    },
    /// An image of the wrong size.
    #[error("the image has {got} values; the model takes {expected} ({shape})")]
    InputLength {
        /// Values given.
        got: usize,
        /// Values needed.
        expected: usize,
        /// The model's input.
        shape: Shape,
    },
    /// A call that failed.
    #[error("{engine}: {call} failed: {detail}")]
    Failed {
        /// The engine.
        engine: EngineId,
        /// The call.
        call: &'static str,
        /// What the engine says.
        detail: String,
    },
}

//! LiteRT, opened at run time: `libLiteRt.so` of the Python package `ai-edge-litert`.
//!
//! The library doesn't tell its version, but two of its calls changed their parameters between
//! versions. The version is read from the package beside the library (`__init__.py`), or stated by
//! the user in `MNAS_LITERT_VERSION`, and an unknown one is refused: a wrong guess would pass
//! arguments in the wrong places.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use mnas_net::Shape;

use super::layout::{check_image, check_input, exactly_one, not_float};
use super::library::LibraryError;
use super::library::find::{Held, Spec, find, hash_file, held};
use super::profile::{OperatorTime, Runs, Times};
use super::{EngineError, EngineId, EngineVersion, InferenceEngine};
use crate::export::ModelFile;

mod ffi;

const ID: EngineId = EngineId::LiteRt;

const SPEC: Spec = Spec {
    stem: "LiteRt",
    library: "LiteRT",
    package: "ai-edge-litert",
    folder: "ai_edge_litert",
    variable: "MNAS_LITERT_LIB",
};

/// States the version of a library that doesn't lie in its Python package.
const VERSION_VARIABLE: &str = "MNAS_LITERT_VERSION";

/// Versions whose calls are known: 2.1.3 to 2.1.6, 2.2.0 and 2.3.0 were each run with this code.
const SUPPORTED: &str = "2.1.3 to 2.3.x";

/// How a version's calls differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Abi {
    /// `LiteRtCreateModelFromBuffer` takes the environment first (since 2.1.6).
    model_takes_environment: bool,
}

/// The calls of a version `major.minor.patch`; `None` = not supported.
fn abi(version: &str) -> Option<Abi> {
    let parts = version.split('.').map(|part| part.parse::<u32>());
    let numbers = parts.collect::<Result<Vec<u32>, _>>().ok()?;
    match numbers[..] {
        [2, 1, patch] if patch >= 3 => Some(Abi {
            model_takes_environment: patch >= 6,
        }),
        [2, 2 | 3, _] => Some(Abi {
            model_takes_environment: true,
        }),
        _ => None,
    }
}

/// The open library; a process holds one.
struct Runtime {
    path: PathBuf,
    version: EngineVersion,
    api: ffi::Api,
}

fn runtime() -> Result<&'static Runtime, LibraryError> {
    static RUNTIME: Held<Runtime> = Held::new();
    held(&RUNTIME, &SPEC, open)
}

fn open(path: &Path) -> Result<Runtime, LibraryError> {
    let stated = env::var(VERSION_VARIABLE).ok().filter(|v| !v.is_empty());
    let version =
        stated
            .or_else(|| package_version(path))
            .ok_or_else(|| LibraryError::UnknownVersion {
                path: path.into(),
                variable: VERSION_VARIABLE,
            })?;
    let abi = abi(&version).ok_or_else(|| LibraryError::Version {
        path: path.into(),
        version: version.clone(),
        supported: SUPPORTED,
    })?;
    let hash = hash_file(path).map_err(|e| LibraryError::Open {
        path: path.into(),
        detail: e.to_string(),
    })?;
    Ok(Runtime {
        path: path.into(),
        version: EngineVersion {
            label: format!("LiteRT {version}"),
            library_hash: Some(hash),
        },
        api: ffi::Api::open(path, abi.model_takes_environment)?,
    })
}

/// `__version__ = "2.3.0"` of the `__init__.py` beside the library.
fn package_version(library: &Path) -> Option<String> {
    let text = fs::read_to_string(library.with_file_name("__init__.py")).ok()?;
    version_in(&text)
}

fn version_in(python: &str) -> Option<String> {
    let value = python
        .lines()
        .find_map(|l| l.trim().strip_prefix("__version__"))?;
    let value = value.trim_start().strip_prefix('=')?.trim();
    Some(value.trim_matches(['"', '\'']).to_string())
}

pub(super) fn version() -> Result<EngineVersion, EngineError> {
    Ok(runtime()?.version.clone())
}

/// The library and what tells its version, where both are found.
pub(super) fn files() -> Vec<PathBuf> {
    let Ok(library) = find(&SPEC) else {
        return vec![];
    };
    let version = library.with_file_name("__init__.py");
    [library, version]
        .into_iter()
        .filter(|f| f.is_file())
        .collect()
}

struct LiteRt {
    model: ffi::Model,
    shape: Shape,
    outputs: usize,
    ran: bool,
}

fn refused(error: ffi::CallError) -> EngineError {
    EngineError::Load {
        engine: ID,
        detail: error.to_string(),
    }
}

/// Operators' times as LiteRT's profiler, and XNNPACK by way of it, tells them.
pub(super) fn profile(file: &ModelFile, runs: Runs<'_>) -> Result<Vec<OperatorTime>, EngineError> {
    check_image(runs.image, file.input)?;
    let runtime = runtime()?;
    let profiler = ffi::profile::Api::open(&runtime.path)?;
    let mut model =
        ffi::Model::load(&runtime.api, &file.bytes, Some(&profiler)).map_err(refused)?;
    model.write_input(runs.image).map_err(failed)?;
    for _ in 0..runs.warmup {
        model.invoke().map_err(failed)?;
    }
    let events = model.profiled(&profiler, runs.runs).map_err(failed)?;
    let mut times = Times::default();
    for event in events.iter().filter(|e| e.is_operator()) {
        times.add(
            &event.position.to_string(),
            &event.kind,
            1e-3 * event.microseconds as f64,
        );
    }
    Ok(times.medians())
}

pub(super) fn load(file: &ModelFile) -> Result<Box<dyn InferenceEngine>, EngineError> {
    let model = ffi::Model::load(&runtime()?.api, &file.bytes, None).map_err(refused)?;
    exactly_one(ID, "number of inputs", model.inputs())?;
    exactly_one(ID, "number of outputs", model.outputs())?;
    for (what, tensor) in [
        ("input type", model.input_type()),
        ("output type", model.output_type()),
    ] {
        if !tensor.is_float() {
            return Err(not_float(
                ID,
                what,
                format!("element type {}", tensor.code()),
            ));
        }
    }
    let shape = file.input;
    let extents: Vec<Option<usize>> = model.input_type().extents();
    check_input(ID, &extents, [1, shape.h, shape.w, shape.c])?;
    Ok(Box::new(LiteRt {
        model,
        shape,
        outputs: file.outputs,
        ran: false,
    }))
}

impl InferenceEngine for LiteRt {
    fn id(&self) -> EngineId {
        ID
    }

    fn input_shape(&self) -> Shape {
        self.shape
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn set_input(&mut self, image: &[f32]) -> Result<(), EngineError> {
        check_image(image, self.shape)?;
        self.model.write_input(image).map_err(failed)
    }

    fn invoke(&mut self) -> Result<(), EngineError> {
        self.model.invoke().map_err(failed)?;
        self.ran = true;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>, EngineError> {
        if self.ran {
            self.model.read_output().map_err(failed)
        } else {
            Ok(vec![])
        }
    }
}

fn failed(error: ffi::CallError) -> EngineError {
    EngineError::Failed {
        engine: ID,
        call: error.call,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_and_unknown_ones_refused() {
        let check = |version: &str, expected: Option<bool>| {
            let got = abi(version).map(|a| a.model_takes_environment);
            assert_eq!(got, expected, "{version}");
        };
        check("2.1.2", None);
        check("2.1.3", Some(false));
        check("2.1.5", Some(false));
        check("2.1.6", Some(true));
        check("2.2.0", Some(true));
        check("2.3.0", Some(true));
        check("2.4.0", None);
        check("3.0.0", None);
        check("1.4.0", None);
        check("2.3", None);
        check("nightly", None);
        check("2.1.x", None);
        check("2.3.0.dev20260101", None);
    }

    #[test]
    fn the_package_tells_its_version() {
        assert_eq!(
            version_in("import os\n__version__ = \"2.3.0\"\n").as_deref(),
            Some("2.3.0")
        );
        assert_eq!(version_in("__version__='2.1.4'").as_deref(), Some("2.1.4"));
        assert_eq!(version_in("version = 3"), None);
    }
}

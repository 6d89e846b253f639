//! ONNX Runtime, opened at run time.
#![allow(
    unsafe_code,
    reason = "the library's version is told by a C function only"
)]

use std::ffi::{CStr, c_char};
use std::path::Path;

use ::ort::environment::Environment;
use ::ort::logging::LogLevel;
use ::ort::session::Session;
use ::ort::session::builder::GraphOptimizationLevel;
use ::ort::value::{Tensor, TensorElementType, ValueType};
use mnas_net::Shape;

use super::layout::{channels_first, check_image, check_input, exactly_one, not_float};
use super::library::LibraryError;
use super::library::find::{Held, Spec, hash_file, held};
use super::profile::{OperatorTime, Runs};
use super::{EngineError, EngineId, EngineVersion, InferenceEngine};
use crate::export::ModelFile;

mod trace;

const ID: EngineId = EngineId::Ort;

const SPEC: Spec = Spec {
    stem: "onnxruntime",
    library: "ONNX Runtime",
    package: "onnxruntime",
    folder: "onnxruntime/capi",
    variable: "MNAS_ORT_LIB",
};

/// The open library; a process holds one.
struct Runtime {
    version: EngineVersion,
    environment: Environment,
}

fn runtime() -> Result<&'static Runtime, LibraryError> {
    static RUNTIME: Held<Runtime> = Held::new();
    held(&RUNTIME, &SPEC, open)
}

fn open(path: &Path) -> Result<Runtime, LibraryError> {
    let cannot = |detail: String| LibraryError::Open {
        path: path.into(),
        detail,
    };
    let version = version_of(path)?;
    let builder = ::ort::init_from(path).map_err(|e| cannot(e.to_string()))?;
    let environment = builder
        .with_name("mnas")
        .with_telemetry(false)
        .build()
        .map_err(|e| cannot(e.to_string()))?;
    environment.set_log_level(LogLevel::Error);
    Ok(Runtime {
        version: EngineVersion {
            label: format!("ONNX Runtime {version}"),
            library_hash: Some(hash_file(path).map_err(|e| cannot(e.to_string()))?),
        },
        environment,
    })
}

/// The version that the library states: `OrtGetApiBase()->GetVersionString()`, whose place in the
/// structure is fixed by ONNX Runtime's C API.
fn version_of(path: &Path) -> Result<String, LibraryError> {
    /// `OrtApiBase` of `onnxruntime_c_api.h`.
    #[repr(C)]
    struct ApiBase {
        get_api: unsafe extern "system" fn(u32) -> *const std::ffi::c_void,
        get_version: unsafe extern "system" fn() -> *const c_char,
    }
    const ENTRY: &str = "OrtGetApiBase";
    let missing = || LibraryError::Symbol {
        path: path.into(),
        symbol: ENTRY,
    };
    // SAFETY: opening runs the library's initialisers. The user chose the file, as with any
    // program that the loader links.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| LibraryError::Open {
        path: path.into(),
        detail: e.to_string(),
    })?;
    // SAFETY: ONNX Runtime exports this function with this signature in all versions.
    let entry: libloading::Symbol<'_, unsafe extern "system" fn() -> *const ApiBase> =
        unsafe { library.get(ENTRY) }.map_err(|_| missing())?;
    // SAFETY: the function takes nothing and returns null or a pointer to a static structure.
    let base = unsafe { entry().as_ref() }.ok_or_else(missing)?;
    // SAFETY: returns a static, null-terminated string.
    let text = unsafe { CStr::from_ptr((base.get_version)()) };
    let version = text.to_string_lossy().into_owned();
    // Stays open: it is opened again next, and its initialisers should run once.
    std::mem::forget(library);
    Ok(version)
}

pub(super) fn version() -> Result<EngineVersion, EngineError> {
    Ok(runtime()?.version.clone())
}

struct OnnxRuntime {
    session: Session,
    shape: Shape,
    outputs: usize,
    image: Tensor<f32>,
    last: Vec<f32>,
}

pub(super) fn load(file: &ModelFile) -> Result<Box<dyn InferenceEngine>, EngineError> {
    Ok(Box::new(open_model(file, None)?))
}

/// Operators' times, by the profile that ONNX Runtime writes as a file of trace events.
pub(super) fn profile(file: &ModelFile, runs: Runs<'_>) -> Result<Vec<OperatorTime>, EngineError> {
    let folder = tempfile::tempdir().map_err(|e| unreadable(&e))?;
    let mut model = open_model(file, Some(&folder.path().join("profile")))?;
    model.set_input(runs.image)?;
    for _ in 0..runs.warmup + runs.runs {
        model.invoke()?;
    }
    let path = model.session.end_profiling();
    let path = path.map_err(|e| failed("ending the profile", &e))?;
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(&e))?;
    trace::times(&text, runs.warmup).map_err(|e| unreadable(&e))
}

fn unreadable(error: &dyn std::error::Error) -> EngineError {
    EngineError::Failed {
        engine: ID,
        call: "reading the profile",
        detail: error.to_string(),
    }
}

fn open_model(file: &ModelFile, profile: Option<&Path>) -> Result<OnnxRuntime, EngineError> {
    let environment = &runtime()?.environment;
    let session = session(environment, &file.bytes, profile)
        .map_err(|detail| EngineError::Load { engine: ID, detail })?;
    exactly_one(ID, "number of inputs", session.inputs().len())?;
    exactly_one(ID, "number of outputs", session.outputs().len())?;
    let shape = file.input;
    let first = [1, shape.c, shape.h, shape.w];
    match session.inputs()[0].dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape: extents,
            ..
        } => {
            // A negative extent is open.
            let extents: Vec<Option<usize>> =
                extents.iter().map(|n| usize::try_from(*n).ok()).collect();
            check_input(ID, &extents, first)?;
        }
        other => return Err(not_float(ID, "input type", format!("{other:?}"))),
    }
    Ok(OnnxRuntime {
        session,
        shape,
        outputs: file.outputs,
        image: tensor(shape, vec![0.0; shape.len()])?,
        last: vec![],
    })
}

/// One thread, all optimisations; with `profile`, operators' times go to a file whose name starts so.
fn session(
    environment: &Environment,
    bytes: &[u8],
    profile: Option<&Path>,
) -> Result<Session, String> {
    let builder = Session::builder(environment).map_err(|e| e.to_string())?;
    let builder = builder.with_intra_threads(1).map_err(|e| e.to_string())?;
    let builder = builder.with_inter_threads(1).map_err(|e| e.to_string())?;
    let mut builder = builder
        .with_optimization_level(GraphOptimizationLevel::Level3)
        .map_err(|e| e.to_string())?;
    if let Some(path) = profile {
        builder = builder.with_profiling(path).map_err(|e| e.to_string())?;
    }
    builder.commit_from_memory(bytes).map_err(|e| e.to_string())
}

fn tensor(shape: Shape, values: Vec<f32>) -> Result<Tensor<f32>, EngineError> {
    Tensor::from_array(([1, shape.c, shape.h, shape.w], values))
        .map_err(|e| failed("making the input", &e))
}

impl InferenceEngine for OnnxRuntime {
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
        self.image = tensor(self.shape, channels_first(image, self.shape))?;
        Ok(())
    }

    fn invoke(&mut self) -> Result<(), EngineError> {
        let values = self
            .session
            .run(::ort::inputs![&self.image])
            .map_err(|e| failed("run", &e))?;
        let (_, values) = values[0]
            .try_extract_tensor::<f32>()
            .map_err(|e| failed("reading the output", &e))?;
        self.last.clear();
        self.last.extend_from_slice(values);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<f32>, EngineError> {
        Ok(self.last.clone())
    }
}

fn failed(call: &'static str, error: &::ort::Error) -> EngineError {
    EngineError::Failed {
        engine: ID,
        call,
        detail: error.to_string(),
    }
}

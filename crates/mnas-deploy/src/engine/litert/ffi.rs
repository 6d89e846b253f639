//! The part of LiteRT's C API that runs a model on the CPU. Signatures follow the headers
//! `litert/c/*.h` of google-ai-edge/LiteRT.
#![allow(unsafe_code, reason = "a C library can't be called otherwise")]

use std::ffi::c_void;
use std::path::Path;
use std::ptr::null_mut;

use libloading::Library;

use crate::engine::library::LibraryError;

pub(super) mod profile;

/// Any of LiteRT's opaque handles.
type Handle = *mut c_void;
/// `LiteRtStatus`; 0 is success.
type Status = i32;

/// `kLiteRtHwAcceleratorCpu`.
const CPU: i32 = 1;
/// `kLiteRtElementTypeFloat32`.
const FLOAT32: i32 = 1;
/// `kLiteRtTensorBufferLockModeRead` and `...Write`.
const READ: i32 = 0;
const WRITE: i32 = 1;
/// `LITERT_TENSOR_MAX_RANK`.
const RANK_MAX: usize = 8;
/// Flatbuffers hold weights at 16-byte offsets; kernels want them at 64-byte addresses.
const ALIGNMENT: usize = 64;

/// `LiteRtEnvOption`: a tag, then a `LiteRtAny` (a type, then eight bytes); 24 bytes by the headers.
#[repr(C)]
struct EnvironmentOption {
    tag: i32,
    tag_padding: u32,
    value_type: i32,
    type_padding: u32,
    value: i64,
}

impl EnvironmentOption {
    /// An integer option; type 2 is `kLiteRtAnyTypeInt`.
    const fn int(tag: i32, value: i64) -> Self {
        Self {
            tag,
            tag_padding: 0,
            value_type: 2,
            type_padding: 0,
            value,
        }
    }
}

/// Looks for no GPU or NPU (`kLiteRtEnvOptionTagAutoRegisterAccelerators`) and writes errors only
/// (`kLiteRtEnvOptionTagMinLoggerSeverity`) to standard error.
const ENVIRONMENT: [EnvironmentOption; 2] = [
    EnvironmentOption::int(24, CPU as i64),
    EnvironmentOption::int(25, 3),
];

/// A call that LiteRT refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call} returned status {status}")]
pub(super) struct CallError {
    /// The C function.
    pub(super) call: &'static str,
    /// The `LiteRtStatus` it returned.
    pub(super) status: Status,
}

fn check(call: &'static str, status: Status) -> Result<(), CallError> {
    if status == 0 {
        Ok(())
    } else {
        Err(CallError { call, status })
    }
}

/// `LiteRtRankedTensorType`: element type, then `LiteRtLayout`. The headers promise this layout
/// (72 bytes; 76 under MSVC, which gives the flag bit-field a unit of its own).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TensorType {
    element: i32,
    /// Bits 0 to 6 are the rank; bit 7 says whether strides are set.
    rank_bits: u32,
    #[cfg(target_env = "msvc")]
    has_strides: u32,
    extents: [i32; RANK_MAX],
    strides: [u32; RANK_MAX],
}

impl TensorType {
    pub(super) fn is_float(&self) -> bool {
        self.element == FLOAT32
    }

    /// The element type's number in LiteRT's headers.
    pub(super) fn code(&self) -> i32 {
        self.element
    }

    /// Extents, outermost first; a negative one is open.
    pub(super) fn extents(&self) -> Vec<Option<usize>> {
        let rank = ((self.rank_bits & 0x7f) as usize).min(RANK_MAX);
        let extents = self.extents[..rank].iter();
        extents.map(|n| usize::try_from(*n).ok()).collect()
    }
}

macro_rules! api {
    ($($name:ident: $symbol:literal, ($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions used, resolved once. The library is never closed, so they stay valid.
        #[derive(Debug, Clone, Copy)]
        pub(super) struct Api {
            model_takes_environment: bool,
            $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Api {
            /// Opens a library whose version is known to be supported.
            pub(super) fn open(path: &Path, model_takes_environment: bool) -> Result<Self, LibraryError> {
                // SAFETY: opening runs the library's initialisers. The user chose the file, as
                // with any program that the loader links.
                let library = unsafe { Library::new(path) }.map_err(|e| LibraryError::Open {
                    path: path.into(),
                    detail: e.to_string(),
                })?;
                let api = Self {
                    model_takes_environment,
                    // SAFETY: the symbol, where present, has the signature of the headers of the
                    // supported versions; the caller checked the version.
                    $($name: *unsafe { library.get($symbol) }.map_err(|_| LibraryError::Symbol {
                        path: path.into(),
                        symbol: $symbol,
                    })?,)*
                };
                // Handles of models outlive any scope that could own the library.
                std::mem::forget(library);
                Ok(api)
            }
        }
    };
}

api! {
    create_environment: "LiteRtCreateEnvironment", (i32, *const EnvironmentOption, *mut Handle) -> Status;
    destroy_environment: "LiteRtDestroyEnvironment", (Handle);
    // Takes the environment first since 2.1.6: resolved as a bare address and cast at the call.
    create_model: "LiteRtCreateModelFromBuffer", ();
    destroy_model: "LiteRtDestroyModel", (Handle);
    create_options: "LiteRtCreateOptions", (*mut Handle) -> Status;
    destroy_options: "LiteRtDestroyOptions", (Handle);
    set_accelerators: "LiteRtSetOptionsHardwareAccelerators", (Handle, i32) -> Status;
    compile: "LiteRtCreateCompiledModel", (Handle, Handle, Handle, *mut Handle) -> Status;
    destroy_compiled: "LiteRtDestroyCompiledModel", (Handle);
    subgraph: "LiteRtGetModelSubgraph", (Handle, usize, *mut Handle) -> Status;
    input_count: "LiteRtGetNumSubgraphInputs", (Handle, *mut usize) -> Status;
    output_count: "LiteRtGetNumSubgraphOutputs", (Handle, *mut usize) -> Status;
    input_tensor: "LiteRtGetSubgraphInput", (Handle, usize, *mut Handle) -> Status;
    output_tensor: "LiteRtGetSubgraphOutput", (Handle, usize, *mut Handle) -> Status;
    tensor_type: "LiteRtGetRankedTensorType", (Handle, *mut TensorType) -> Status;
    input_requirements: "LiteRtGetCompiledModelInputBufferRequirements", (Handle, usize, usize, *mut Handle) -> Status;
    output_requirements: "LiteRtGetCompiledModelOutputBufferRequirements", (Handle, usize, usize, *mut Handle) -> Status;
    create_buffer: "LiteRtCreateManagedTensorBufferFromRequirements", (Handle, *const TensorType, Handle, *mut Handle) -> Status;
    destroy_buffer: "LiteRtDestroyTensorBuffer", (Handle);
    packed_size: "LiteRtGetTensorBufferPackedSize", (Handle, *mut usize) -> Status;
    lock: "LiteRtLockTensorBuffer", (Handle, *mut Handle, i32) -> Status;
    unlock: "LiteRtUnlockTensorBuffer", (Handle) -> Status;
    run: "LiteRtRunCompiledModel", (Handle, usize, usize, *mut Handle, usize, *mut Handle) -> Status;
}

/// Bytes at an aligned address that never move.
struct AlignedBytes {
    units: Box<[AlignedUnit]>,
    len: usize,
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct AlignedUnit([u8; ALIGNMENT]);

impl AlignedBytes {
    fn new(bytes: &[u8]) -> Self {
        let units = bytes
            .chunks(ALIGNMENT)
            .map(|chunk| {
                let mut unit = AlignedUnit([0; ALIGNMENT]);
                unit.0[..chunk.len()].copy_from_slice(chunk);
                unit
            })
            .collect();
        Self {
            units,
            len: bytes.len(),
        }
    }

    fn address(&self) -> *const c_void {
        self.units.as_ptr().cast()
    }
}

/// A handle and the function that frees it.
struct Owned {
    handle: Handle,
    destroy: unsafe extern "C" fn(Handle),
}

impl Owned {
    /// Runs a constructor `make(&mut handle)`.
    fn make(
        call: &'static str,
        destroy: unsafe extern "C" fn(Handle),
        make: impl FnOnce(*mut Handle) -> Status,
    ) -> Result<Self, CallError> {
        let mut handle = null_mut();
        check(call, make(&mut handle))?;
        Ok(Self { handle, destroy })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle came from the constructor that belongs to this destructor, and is
        // destroyed once, here.
        unsafe { (self.destroy)(self.handle) }
    }
}

/// A compiled model with its input and output buffers. Fields are dropped in order: users of a
/// handle before the handle, the model before the bytes that it reads.
pub(super) struct Model {
    api: Api,
    input: Owned,
    output: Owned,
    compiled: Owned,
    _options: Owned,
    _model: Owned,
    _environment: Owned,
    _bytes: AlignedBytes,
    input_type: TensorType,
    output_type: TensorType,
    counts: (usize, usize),
}

// SAFETY: the handles belong to this value alone and LiteRT binds none of them to a thread; calls
// through `&mut self` never overlap.
unsafe impl Send for Model {}

impl Model {
    /// Loads a model for the CPU; LiteRT runs it on one thread, its default. With `profiler`, runs can
    /// be profiled, which costs time in each.
    pub(super) fn load(
        api: &Api,
        bytes: &[u8],
        profiler: Option<&profile::Api>,
    ) -> Result<Self, CallError> {
        let bytes = AlignedBytes::new(bytes);
        // SAFETY (this function): every handle passed was made above by the same library and is
        // alive; every out-pointer is a live local of the type that the headers name.
        let environment = Owned::make(
            "LiteRtCreateEnvironment",
            api.destroy_environment,
            |out| unsafe {
                (api.create_environment)(ENVIRONMENT.len() as i32, ENVIRONMENT.as_ptr(), out)
            },
        )?;
        let model = Owned::make(
            "LiteRtCreateModelFromBuffer",
            api.destroy_model,
            |out| unsafe { create_model(api, environment.handle, &bytes, out) },
        )?;
        let options = Owned::make("LiteRtCreateOptions", api.destroy_options, |out| unsafe {
            (api.create_options)(out)
        })?;
        check("LiteRtSetOptionsHardwareAccelerators", unsafe {
            (api.set_accelerators)(options.handle, CPU)
        })?;
        if let Some(profiler) = profiler {
            // SAFETY: the options are alive and not compiled yet.
            unsafe { profiler.enable(options.handle) }?;
        }
        let compiled = Owned::make(
            "LiteRtCreateCompiledModel",
            api.destroy_compiled,
            |out| unsafe { (api.compile)(environment.handle, model.handle, options.handle, out) },
        )?;
        let mut subgraph = null_mut();
        check("LiteRtGetModelSubgraph", unsafe {
            (api.subgraph)(model.handle, 0, &mut subgraph)
        })?;
        let mut counts = (0, 0);
        check("LiteRtGetNumSubgraphInputs", unsafe {
            (api.input_count)(subgraph, &mut counts.0)
        })?;
        check("LiteRtGetNumSubgraphOutputs", unsafe {
            (api.output_count)(subgraph, &mut counts.1)
        })?;
        let side = |tensor, requirements| unsafe {
            buffer(
                api,
                environment.handle,
                subgraph,
                compiled.handle,
                tensor,
                requirements,
            )
        };
        let (input_type, input) = side(api.input_tensor, api.input_requirements)?;
        let (output_type, output) = side(api.output_tensor, api.output_requirements)?;
        Ok(Self {
            api: *api,
            input,
            output,
            compiled,
            _options: options,
            _model: model,
            _environment: environment,
            _bytes: bytes,
            input_type,
            output_type,
            counts,
        })
    }

    pub(super) fn inputs(&self) -> usize {
        self.counts.0
    }

    pub(super) fn outputs(&self) -> usize {
        self.counts.1
    }

    pub(super) fn input_type(&self) -> &TensorType {
        &self.input_type
    }

    pub(super) fn output_type(&self) -> &TensorType {
        &self.output_type
    }

    /// Writes the input. Values beyond the buffer's size are not written.
    pub(super) fn write_input(&mut self, values: &[f32]) -> Result<(), CallError> {
        self.locked(self.input.handle, WRITE, |address, capacity| {
            // SAFETY: the locked buffer holds `capacity` floats at an address aligned to 64 bytes,
            // and nothing else refers to it while it is locked.
            let buffer = unsafe { std::slice::from_raw_parts_mut(address, capacity) };
            let n = capacity.min(values.len());
            buffer[..n].copy_from_slice(&values[..n]);
        })
    }

    /// Runs the model on the calling thread.
    pub(super) fn invoke(&mut self) -> Result<(), CallError> {
        let (mut input, mut output) = (self.input.handle, self.output.handle);
        // SAFETY: the model is compiled, and both arrays have one live buffer each, as stated.
        let status =
            unsafe { (self.api.run)(self.compiled.handle, 0, 1, &mut input, 1, &mut output) };
        check("LiteRtRunCompiledModel", status)
    }

    /// Reads the output.
    pub(super) fn read_output(&mut self) -> Result<Vec<f32>, CallError> {
        self.locked(self.output.handle, READ, |address, capacity| {
            // SAFETY: the locked buffer holds `capacity` floats that the run wrote.
            unsafe { std::slice::from_raw_parts(address, capacity) }.to_vec()
        })
    }

    /// Maps a buffer, gives its address and its size in floats, and unmaps it.
    fn locked<R>(
        &self,
        buffer: Handle,
        mode: i32,
        with: impl FnOnce(*mut f32, usize) -> R,
    ) -> Result<R, CallError> {
        let (mut address, mut bytes) = (null_mut(), 0);
        // SAFETY: the buffer is alive; both out-pointers are live locals.
        unsafe {
            check(
                "LiteRtGetTensorBufferPackedSize",
                (self.api.packed_size)(buffer, &mut bytes),
            )?;
            check(
                "LiteRtLockTensorBuffer",
                (self.api.lock)(buffer, &mut address, mode),
            )?;
        }
        let result = with(address.cast(), bytes / size_of::<f32>());
        // SAFETY: the buffer was locked above.
        check("LiteRtUnlockTensorBuffer", unsafe {
            (self.api.unlock)(buffer)
        })?;
        Ok(result)
    }
}

/// `LiteRtCreateModelFromBuffer` with the parameters of the library's version.
///
/// # Safety
/// `environment` is alive, `bytes` outlive the model, `out` is writable.
unsafe fn create_model(
    api: &Api,
    environment: Handle,
    bytes: &AlignedBytes,
    out: *mut Handle,
) -> Status {
    type Old = unsafe extern "C" fn(*const c_void, usize, *mut Handle) -> Status;
    type New = unsafe extern "C" fn(Handle, *const c_void, usize, *mut Handle) -> Status;
    let (address, len) = (bytes.address(), bytes.len);
    // SAFETY: the function has one of these two signatures, and the version says which. Function
    // pointers have equal size.
    unsafe {
        if api.model_takes_environment {
            std::mem::transmute::<unsafe extern "C" fn(), New>(api.create_model)(
                environment,
                address,
                len,
                out,
            )
        } else {
            std::mem::transmute::<unsafe extern "C" fn(), Old>(api.create_model)(address, len, out)
        }
    }
}

type TensorAt = unsafe extern "C" fn(Handle, usize, *mut Handle) -> Status;
type RequirementsAt = unsafe extern "C" fn(Handle, usize, usize, *mut Handle) -> Status;

/// Type and buffer of the first input or output.
///
/// # Safety
/// All handles are alive and of one model.
unsafe fn buffer(
    api: &Api,
    environment: Handle,
    subgraph: Handle,
    compiled: Handle,
    tensor_at: TensorAt,
    requirements_at: RequirementsAt,
) -> Result<(TensorType, Owned), CallError> {
    let (mut tensor, mut requirements) = (null_mut(), null_mut());
    let mut kind = TensorType::default();
    // SAFETY: by the caller's promise; the out-pointers are live locals.
    unsafe {
        check(
            "LiteRtGetSubgraphInput or -Output",
            tensor_at(subgraph, 0, &mut tensor),
        )?;
        check(
            "LiteRtGetRankedTensorType",
            (api.tensor_type)(tensor, &mut kind),
        )?;
        check(
            "LiteRtGetCompiledModelInput- or -OutputBufferRequirements",
            requirements_at(compiled, 0, 0, &mut requirements),
        )?;
    }
    let call = "LiteRtCreateManagedTensorBufferFromRequirements";
    let owned = Owned::make(call, api.destroy_buffer, |out| unsafe {
        // SAFETY: as above.
        (api.create_buffer)(environment, &kind, requirements, out)
    })?;
    Ok((kind, owned))
}

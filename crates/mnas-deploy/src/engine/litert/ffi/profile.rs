//! LiteRT's profiler. Its functions are resolved apart from those that run a model: a library
//! without them still measures.

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::ptr::null_mut;

use libloading::Library;

use super::{CallError, Handle, LibraryError, Model, Status, check};

/// Identifier and text of the runtime options that turn profiling on (`litert_runtime_options.cc`:
/// options travel as TOML).
const OPTIONS_NAME: &CStr = c"runtime_options_string";
const OPTIONS: &CStr = c"enable_profiling = true";

/// `OPERATOR_INVOKE_EVENT` and `DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT`: an operator of LiteRT's own,
/// and one inside XNNPACK.
const OPERATOR: i32 = 1 << 1;
const DELEGATED: i32 = 1 << 3;

/// `ProfiledEventData` of `litert_profiler_event.h`: 104 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawEvent {
    tag: *const c_char,
    kind: i32,
    start_us: u64,
    elapsed_us: u64,
    memory: [[usize; 3]; 2],
    /// Of an operator: its position in the subgraph that runs it.
    metadata: [u64; 2],
    source: i32,
}

/// One timed event.
pub(in crate::engine::litert) struct Event {
    event_kind: i32,
    /// What ran.
    pub(in crate::engine::litert) kind: String,
    /// Position of the operator in its subgraph.
    pub(in crate::engine::litert) position: u64,
    /// How long it took.
    pub(in crate::engine::litert) microseconds: u64,
}

impl Event {
    /// Whether it is the run of an operator; others are of LiteRT's own doing.
    pub(in crate::engine::litert) fn is_operator(&self) -> bool {
        self.event_kind & (OPERATOR | DELEGATED) != 0
    }
}

type Deleter = unsafe extern "C" fn(*mut c_void);

/// The profiler's functions; the library stays open.
pub(in crate::engine::litert) struct Api {
    create_options:
        unsafe extern "C" fn(*const c_char, *mut c_void, Deleter, *mut Handle) -> Status,
    add_options: unsafe extern "C" fn(Handle, Handle) -> Status,
    of_model: unsafe extern "C" fn(Handle, *mut Handle) -> Status,
    reset: unsafe extern "C" fn(Handle) -> Status,
    start: unsafe extern "C" fn(Handle) -> Status,
    stop: unsafe extern "C" fn(Handle) -> Status,
    count: unsafe extern "C" fn(Handle, *mut i32) -> Status,
    events: unsafe extern "C" fn(Handle, i32, *mut RawEvent) -> Status,
}

impl Api {
    /// Resolves the functions in a library that is open already.
    pub(in crate::engine::litert) fn open(path: &Path) -> Result<Self, LibraryError> {
        // SAFETY: the library is open, so its initialisers have run.
        let library = unsafe { Library::new(path) }.map_err(|e| LibraryError::Open {
            path: path.into(),
            detail: e.to_string(),
        })?;
        macro_rules! resolve {
            ($symbol:literal) => {
                // SAFETY: the symbol, where present, has the signature of `litert_profiler.h`,
                // `litert_opaque_options.h` and `litert_compiled_model.h` of the supported versions.
                *unsafe { library.get($symbol) }.map_err(|_| LibraryError::Symbol {
                    path: path.into(),
                    symbol: $symbol,
                })?
            };
        }
        let api = Self {
            create_options: resolve!("LiteRtCreateOpaqueOptions"),
            add_options: resolve!("LiteRtAddOpaqueOptions"),
            of_model: resolve!("LiteRtCompiledModelGetProfiler"),
            reset: resolve!("LiteRtResetProfiler"),
            start: resolve!("LiteRtStartProfiler"),
            stop: resolve!("LiteRtStopProfiler"),
            count: resolve!("LiteRtGetNumProfilerEvents"),
            events: resolve!("LiteRtGetProfilerEvents"),
        };
        std::mem::forget(library);
        Ok(api)
    }

    /// Turns profiling on in options that are not compiled yet.
    ///
    /// # Safety
    /// `options` is alive.
    pub(super) unsafe fn enable(&self, options: Handle) -> Result<(), CallError> {
        /// The text is static.
        unsafe extern "C" fn keep(_: *mut c_void) {}
        let mut own = null_mut();
        let text = OPTIONS.as_ptr().cast_mut().cast();
        // SAFETY: both strings are static and null-terminated, and LiteRT only reads them; the
        // out-pointer is a live local; `options` is alive by the caller's promise and takes the new
        // ones over.
        unsafe {
            let status = (self.create_options)(OPTIONS_NAME.as_ptr(), text, keep, &mut own);
            check("LiteRtCreateOpaqueOptions", status)?;
            check("LiteRtAddOpaqueOptions", (self.add_options)(options, own))
        }
    }
}

impl Model {
    /// Runs a model that was loaded with the profiler, and gives the events of all runs in order.
    pub(in crate::engine::litert) fn profiled(
        &mut self,
        api: &Api,
        runs: usize,
    ) -> Result<Vec<Event>, CallError> {
        let mut profiler = null_mut();
        // SAFETY (this function): the model is alive and owns the profiler; out-pointers are live
        // locals.
        check("LiteRtCompiledModelGetProfiler", unsafe {
            (api.of_model)(self.compiled.handle, &mut profiler)
        })?;
        check("LiteRtResetProfiler", unsafe { (api.reset)(profiler) })?;
        check("LiteRtStartProfiler", unsafe { (api.start)(profiler) })?;
        for _ in 0..runs {
            self.invoke()?;
        }
        check("LiteRtStopProfiler", unsafe { (api.stop)(profiler) })?;
        let mut count = 0;
        check("LiteRtGetNumProfilerEvents", unsafe {
            (api.count)(profiler, &mut count)
        })?;
        let mut raw: Vec<RawEvent> = Vec::with_capacity(count.max(0) as usize);
        if count > 0 {
            // SAFETY: the buffer has room for `count` events of the headers' layout, and LiteRT fills
            // as many where it succeeds.
            unsafe {
                let status = (api.events)(profiler, count, raw.as_mut_ptr());
                check("LiteRtGetProfilerEvents", status)?;
                raw.set_len(count as usize);
            }
        }
        let event = |e: &RawEvent| Event {
            event_kind: e.kind,
            kind: match e.tag.is_null() {
                true => String::new(),
                // SAFETY: the profiler owns the null-terminated tag and lives as long as the model.
                false => unsafe { CStr::from_ptr(e.tag) }
                    .to_string_lossy()
                    .into_owned(),
            },
            position: e.metadata[0],
            microseconds: e.elapsed_us,
        };
        Ok(raw.iter().map(event).collect())
    }
}

const _: () = assert!(size_of::<RawEvent>() == 104 || size_of::<usize>() != 8);

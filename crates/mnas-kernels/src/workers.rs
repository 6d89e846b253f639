//! Threads and their scratch memory. Work is cut into tasks by shape alone, never by the number
//! of threads, and partial results are joined in task order: results are the same bits whatever
//! the number of threads and however tasks are scheduled.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::isa::Isa;

/// A cache line of floats; gives [`Floats`] its alignment.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Floats that start at a cache line. Dereferences to a slice.
#[derive(Debug, Clone, Default)]
pub struct Floats {
    lines: Vec<Line>,
    len: usize,
}

impl Floats {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }

    /// `len` zeros, or `None` where the system has no memory for them.
    pub fn try_zeros(len: usize) -> Option<Self> {
        let mut lines = vec![];
        lines.try_reserve_exact(len.div_ceil(16)).ok()?;
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
        Some(Self { lines, len })
    }

    /// The first `len` floats, growing (with zeros) where there are fewer; contents are what
    /// was last written.
    pub fn at_least(&mut self, len: usize) -> &mut [f32] {
        if len > self.len {
            self.lines.resize(len.div_ceil(16), Line([0.0; 16]));
            self.len = len;
        }
        &mut self[..len]
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.lines.capacity() * size_of::<Line>()) as u64
    }
}

impl Deref for Floats {
    type Target = [f32];
    #[allow(unsafe_code)]
    fn deref(&self) -> &[f32] {
        // SAFETY: the lines are at least `len` initialised floats without padding between.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// The threads of one session, their scratch memory and the instruction set they use.
#[derive(Debug)]
pub struct Workers {
    isa: Isa,
    threads: usize,
    pool: Option<rayon::ThreadPool>,
    scratch: Vec<Mutex<Floats>>,
    /// Per-task results that are joined afterwards; taken and put back by each kernel.
    pub(crate) partial: Floats,
    /// Per-task sums of channels.
    pub(crate) sums: Vec<f64>,
    /// Packed weights.
    pub(crate) packed: Floats,
    /// Whole tensors between two phases of one kernel.
    pub(crate) between: Floats,
}

impl Workers {
    /// `threads` threads; 1 means the caller's, without a pool.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    ///
    /// # Panics
    /// If `threads` is 0, or if this processor lacks `isa`.
    pub fn new(threads: usize, isa: Isa) -> Result<Self, rayon::ThreadPoolBuildError> {
        assert!(threads > 0, "a session needs a thread");
        assert!(isa.available(), "this processor has no {}", isa.name());
        let pool = if threads == 1 {
            None
        } else {
            let name = |i| format!("mnas-train-{i}");
            let builder = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(name);
            Some(builder.build()?)
        };
        let scratch = (0..threads).map(|_| Mutex::default()).collect();
        let (partial, packed, between) = Default::default();
        Ok(Self {
            isa,
            threads,
            pool,
            scratch,
            partial,
            sums: vec![],
            packed,
            between,
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of scratch memory held now.
    pub fn bytes(&self) -> u64 {
        let lock = |m: &Mutex<Floats>| m.lock().unwrap_or_else(PoisonError::into_inner).bytes();
        self.scratch.iter().map(lock).sum::<u64>()
            + self.partial.bytes()
            + self.packed.bytes()
            + self.between.bytes()
            + (self.sums.capacity() * size_of::<f64>()) as u64
    }

    /// Runs `f` with the given arguments on one of the pool's threads, from which kernels fan
    /// out cheaply; without a pool, on the caller's.
    pub fn enter<R: Send>(workers: &mut Workers, f: impl FnOnce(&mut Workers) -> R + Send) -> R {
        match workers.pool.take() {
            None => f(workers),
            Some(pool) => {
                let r = pool.install(|| f(workers));
                workers.pool = Some(pool);
                r
            }
        }
    }

    /// Runs tasks `0..tasks`, each with its thread's scratch memory.
    pub(crate) fn run(&self, tasks: usize, f: impl Fn(usize, &mut Floats) + Sync) {
        let next = AtomicUsize::new(0);
        let work = || {
            let slot = if self.threads == 1 {
                0
            } else {
                rayon::current_thread_index().unwrap_or(0)
            };
            // A panic in a task leaves scratch memory usable: nothing is read before written.
            let slot = &self.scratch[slot % self.threads];
            let mut scratch = slot.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task, &mut scratch);
            }
        };
        let inside_pool = self.threads > 1 && rayon::current_thread_index().is_some();
        if inside_pool {
            fan(self.threads.min(tasks), &work)
        } else {
            work()
        }
    }
}

/// Calls `work` on up to `n` threads at once.
fn fan(n: usize, work: &(impl Fn() + Sync)) {
    if n <= 1 {
        work();
    } else {
        rayon::join(|| fan(n - n / 2, work), || fan(n / 2, work));
    }
}

/// A mutable slice whose disjoint parts are written by several tasks.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out by `part` only, whose callers keep them disjoint.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The part `range`, bounds checked.
    ///
    /// # Safety
    /// No other live reference may overlap it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds as asserted; the caller vouches for disjointness.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The first element, for writes of strided parts.
    pub(crate) fn pointer(&self) -> *mut T {
        self.start
    }
}

/// The part of `0..n` that belongs to `task` of `tasks`, in pieces of a multiple of `step`.
pub(crate) fn share(n: usize, step: usize, task: usize, tasks: usize) -> Range<usize> {
    let steps = n.div_ceil(step);
    let at = |t: usize| (steps * t / tasks * step).min(n);
    at(task)..at(task + 1)
}

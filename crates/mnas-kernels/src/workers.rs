//! Threads and their scratch memory. Work is cut into tasks by shape alone, never by the number
//! of threads, and partial results are joined in task order: results are the same bits whatever
//! the number of threads and however tasks are scheduled.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::isa::Isa;

/// Floats that start at a cache line. Dereferences to a slice.
#[derive(Debug, Default)]
pub struct Floats {
    memory: Memory,
    len: usize,
}

/// A cache line of floats; gives [`Floats`] its alignment.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Zeroed memory that starts at a cache line.
#[derive(Debug)]
enum Memory {
    Lines(Vec<Line>),
    /// Mapped, so that the system may use large pages: fewer address translations, and prefetches
    /// that don't end at the borders of small ones.
    Mapped(memmap2::MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Memory::Lines(vec![])
    }
}

impl Memory {
    /// Bytes from which memory is mapped: two of the usual large pages.
    const MAPPED: usize = 4 << 20;

    fn try_zeros(floats: usize) -> Option<Self> {
        let lines = floats.div_ceil(16);
        let bytes = lines.checked_mul(size_of::<Line>())?;
        if bytes >= Self::MAPPED {
            let map = memmap2::MmapMut::map_anon(bytes).ok()?;
            // Advice only: where the system declines, memory is as good as any other.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            return Some(Memory::Mapped(map));
        }
        let mut memory = vec![];
        memory.try_reserve_exact(lines).ok()?;
        memory.resize(lines, Line([0.0; 16]));
        Some(Memory::Lines(memory))
    }

    fn bytes(&self) -> usize {
        match self {
            Memory::Lines(lines) => lines.capacity() * size_of::<Line>(),
            Memory::Mapped(map) => map.len(),
        }
    }

    fn start(&self) -> *const f32 {
        match self {
            Memory::Lines(lines) => lines.as_ptr().cast(),
            Memory::Mapped(map) => map.as_ptr().cast(),
        }
    }

    fn start_mut(&mut self) -> *mut f32 {
        match self {
            Memory::Lines(lines) => lines.as_mut_ptr().cast(),
            Memory::Mapped(map) => map.as_mut_ptr().cast(),
        }
    }
}

impl Floats {
    /// `len` zeros.
    ///
    /// # Panics
    /// Where the system has no memory for them; see [`Floats::try_zeros`].
    pub fn zeros(len: usize) -> Self {
        Self::try_zeros(len).unwrap_or_else(|| panic!("no memory for {len} floats"))
    }

    /// `len` zeros, or `None` where the system has no memory for them.
    pub fn try_zeros(len: usize) -> Option<Self> {
        Some(Self {
            memory: Memory::try_zeros(len)?,
            len,
        })
    }

    /// The first `len` floats, growing where there are fewer; contents are what was last written,
    /// or zeros after growing.
    pub fn at_least(&mut self, len: usize) -> &mut [f32] {
        if len > self.len {
            *self = Self::zeros(len);
        }
        &mut self[..len]
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes() as u64
    }
}

impl Deref for Floats {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: the memory holds at least `len` initialised floats, aligned to a cache line.
        unsafe { std::slice::from_raw_parts(self.memory.start(), self.len) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start_mut(), self.len) }
    }
}

/// The threads of one session, their scratch memory and the instruction set they use.
#[derive(Debug)]
pub struct Workers {
    isa: Isa,
    threads: usize,
    pool: Option<rayon::ThreadPool>,
    scratch: Vec<Mutex<Floats>>,
    /// Results that are joined or worked on afterwards; taken and put back by each kernel.
    pub(crate) partial: Floats,
    /// Per-task sums.
    pub(crate) sums: Vec<f64>,
    /// Packed weights.
    pub(crate) packed: Floats,
    /// What one phase of a kernel leaves to the next.
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

//! Which instruction set the kernels run with: chosen once per process, or forced.

use std::sync::OnceLock;

/// An instruction set that the kernels have a path for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust over arrays of 8 lanes, which compilers turn into SSE2 or NEON.
    Portable,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 lanes.
    Avx512,
}

impl Isa {
    /// Every instruction set, slowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// Whether this processor can run it.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    /// The name that [`Isa::detect`] reads: `scalar`, `avx2` or `avx512`.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The fastest that this processor has, or the one named in the environment variable
    /// `MNAS_ISA` where the processor has it. Read once per process.
    pub fn detect() -> Isa {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var("MNAS_ISA").ok();
            let usable = Self::ALL.into_iter().rev().filter(|i| i.available());
            let named = usable.clone().find(|i| Some(i.name()) == wanted.as_deref());
            named.or(usable.clone().next()).unwrap_or(Isa::Portable)
        })
    }

    /// Floats per vector.
    pub(crate) const fn lanes(self) -> usize {
        match self {
            Isa::Portable | Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        }
    }
}

/// Defines `fn $name(isa, ..)`, which runs the generic `$generic::<V>(..)` compiled for `isa`.
macro_rules! dispatched {
    ($vis:vis unsafe fn $name:ident = $generic:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        /// # Safety
        /// As the generic function; and `isa` must be available.
        $vis unsafe fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: the caller of the outer function vouches for the arguments.
                unsafe { $generic::<std::arch::x86_64::__m512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: the caller of the outer function vouches for the arguments.
                unsafe { $generic::<std::arch::x86_64::__m256>($($arg),*) }
            }
            // SAFETY: the caller vouches for the arguments and for the instruction set.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2 => avx2($($arg),*),
                    _ => $generic::<$crate::simd::Lanes>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use dispatched;

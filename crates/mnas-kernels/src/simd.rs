//! A vector of floats, so that each kernel is written once for every instruction set.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::stored::Bf16;

pub(crate) use portable::Lanes;

/// A vector of [`Vector::LEN`] floats.
///
/// # Safety
/// Every method may only run where the vector's instruction set is available; loads and stores
/// need `LEN` (or `n`) valid floats at the pointer, of any alignment.
pub(crate) trait Vector: Copy {
    /// Floats per vector.
    const LEN: usize;
    /// Rows of the matrix-product kernel with 1, 2 and 3 vectors of columns: as many as the
    /// registers hold.
    const ROWS: [usize; 3];

    unsafe fn splat(v: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// The first `n` floats (`1..=LEN`), the rest 0; reads no further.
    unsafe fn load_part(p: *const f32, n: usize) -> Self;
    /// Stores the first `n` floats (`1..=LEN`) only.
    unsafe fn store_part(self, p: *mut f32, n: usize);
    /// `self * b + c`, rounded once where the instruction set can.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, o: Self) -> Self;
    unsafe fn sub(self, o: Self) -> Self;
    unsafe fn mul(self, o: Self) -> Self;
    unsafe fn div(self, o: Self) -> Self;
    unsafe fn sqrt(self) -> Self;
    /// The larger; `o` where either is NaN, so `zero.max(x)` keeps a NaN of `x`.
    unsafe fn max(self, o: Self) -> Self;
    /// The smaller; `o` where either is NaN.
    unsafe fn min(self, o: Self) -> Self;
    /// `self` where `a > b`, else 0.
    unsafe fn keep_gt(self, a: Self, b: Self) -> Self;
    /// `self` where `a >= b`, else 0.
    unsafe fn keep_ge(self, a: Self, b: Self) -> Self;

    /// Loads `LEN` bfloat16.
    unsafe fn load_bf16(p: *const Bf16) -> Self;
    /// The first `n` bfloat16 (`1..=LEN`), the rest 0; reads no further.
    unsafe fn load_bf16_part(p: *const Bf16, n: usize) -> Self;
    /// Each lane as [`Bf16::from_f32`] would store it.
    unsafe fn round_bf16(self) -> Self;
    /// Stores lanes that [`Vector::round_bf16`] rounded.
    unsafe fn store_bf16(self, p: *mut Bf16);
    /// Stores the first `n` lanes (`1..=LEN`) only, rounded before.
    unsafe fn store_bf16_part(self, p: *mut Bf16, n: usize);

    /// Writes the transpose of an 8 by 8 block: `to[j * to_row + i] = from[i * from_row + j]`.
    unsafe fn transpose_8x8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller has the instruction set.
        unsafe { Self::splat(0.0) }
    }

    /// A whole vector where `FULL`, else its first `n` floats.
    #[inline(always)]
    unsafe fn get<const FULL: bool>(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller vouches for LEN floats where FULL, else for n.
        unsafe {
            if FULL {
                Self::load(p)
            } else {
                Self::load_part(p, n)
            }
        }
    }

    /// Stores a whole vector where `FULL`, else its first `n` floats.
    #[inline(always)]
    unsafe fn put<const FULL: bool>(self, p: *mut f32, n: usize) {
        // SAFETY: the caller vouches for LEN floats where FULL, else for n.
        unsafe {
            if FULL {
                self.store(p)
            } else {
                self.store_part(p, n)
            }
        }
    }
}

/// Runs `body` for each block of channels: `$c0` its first channel, `$n` how many, and the
/// constant `$full` whether the block is a whole vector.
macro_rules! channel_blocks {
    ($V:ty, $c:expr, |$c0:ident, $n:ident, $full:ident| $body:block) => {{
        let mut $c0 = 0usize;
        while $c0 + <$V>::LEN <= $c {
            const $full: bool = true;
            let $n = <$V>::LEN;
            $body
            $c0 += $n;
        }
        if $c0 < $c {
            const $full: bool = false;
            let $n = $c - $c0;
            $body
        }
    }};
}
pub(crate) use channel_blocks;

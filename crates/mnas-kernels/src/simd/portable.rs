//! Eight lanes in plain Rust; compilers turn the loops into SSE2 or NEON.

use super::Vector;
use crate::stored::Bf16;

/// Eight floats.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([f32; 8]);

impl Lanes {
    #[inline(always)]
    fn zip(self, o: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Lanes(std::array::from_fn(|i| f(self.0[i], o.0[i])))
    }
}

impl Vector for Lanes {
    const LEN: usize = 8;
    const ROWS: [usize; 3] = [4, 2, 1];

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        Lanes([v; 8])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for 8 floats at p.
        Lanes(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for 8 floats at p.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        let mut v = [0.0; 8];
        for (i, lane) in v.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats at p.
            *lane = unsafe { *p.add(i) };
        }
        Lanes(v)
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        for (i, lane) in self.0.iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n floats at p.
            unsafe { *p.add(i) = *lane };
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // Rounded twice: `f32::mul_add` calls a slow function where there is no instruction.
        Lanes(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        self.zip(o, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        self.zip(o, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        self.zip(o, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        self.zip(o, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        Lanes(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        self.zip(o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        self.zip(o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn keep_gt(self, a: Self, b: Self) -> Self {
        Lanes(std::array::from_fn(|i| {
            if a.0[i] > b.0[i] { self.0[i] } else { 0.0 }
        }))
    }
    #[inline(always)]
    unsafe fn keep_ge(self, a: Self, b: Self) -> Self {
        Lanes(std::array::from_fn(|i| {
            if a.0[i] >= b.0[i] { self.0[i] } else { 0.0 }
        }))
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const Bf16) -> Self {
        // SAFETY: the caller vouches for 8 values at p.
        let v = unsafe { p.cast::<[Bf16; 8]>().read_unaligned() };
        Lanes(v.map(Bf16::to_f32))
    }
    #[inline(always)]
    unsafe fn load_bf16_part(p: *const Bf16, n: usize) -> Self {
        let mut v = [0.0; 8];
        for (i, lane) in v.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for n values at p.
            *lane = unsafe { *p.add(i) }.to_f32();
        }
        Lanes(v)
    }
    #[inline(always)]
    unsafe fn round_bf16(self) -> Self {
        Lanes(self.0.map(|x| Bf16::from_f32(x).to_f32()))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut Bf16) {
        let v = self.0.map(Bf16::upper_half);
        // SAFETY: the caller vouches for 8 values at p.
        unsafe { p.cast::<[Bf16; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_bf16_part(self, p: *mut Bf16, n: usize) {
        for (i, lane) in self.0.iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n values at p.
            unsafe { *p.add(i) = Bf16::upper_half(*lane) };
        }
    }
    #[inline(always)]
    unsafe fn transpose_8x8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for j in 0..8 {
            for i in 0..8 {
                // SAFETY: the caller vouches for both blocks.
                unsafe { *to.add(j * to_row + i) = *from.add(i * from_row + j) };
            }
        }
    }
}

//! Chroma back to the size of luma, by the triangle filter that libjpeg calls "fancy": each output
//! sample is 3/4 of the nearer and 1/4 of the further input, in each direction that was halved.

use super::Arithmetic;

/// Which directions of chroma are halved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsample {
    /// None: 4:4:4.
    No,
    /// Horizontally: 4:2:2.
    Across,
    /// Vertically: 4:4:0.
    Down,
    /// Both: 4:2:0.
    Both,
}

impl Arithmetic {
    /// One row of output from the row it lies in (`near`) and the next one on its side (`far`; the
    /// same at the picture's edge). `lower` tells the second of the two rows that a row of input
    /// becomes. `out` is as long as the input, or twice as long where that was halved across; an
    /// odd width drops the last sample.
    ///
    /// # Panics
    /// Where `near` is empty, or lengths don't fit.
    pub fn upsample(self, kind: Upsample, lower: bool, near: &[u8], far: &[u8], out: &mut [u8]) {
        let across = matches!(kind, Upsample::Across | Upsample::Both);
        let whole = if across { 2 * near.len() } else { near.len() };
        assert!(!near.is_empty() && far.len() == near.len() && out.len() == whole);
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `new` has seen AVX2.
            return unsafe { avx2(kind, lower, near, far, out) };
        }
        rows(kind, lower, near, far, out);
    }
}

/// [`rows`] as the compiler vectorises it for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(kind: Upsample, lower: bool, near: &[u8], far: &[u8], out: &mut [u8]) {
    rows(kind, lower, near, far, out);
}

#[inline(always)]
fn rows(kind: Upsample, lower: bool, near: &[u8], far: &[u8], out: &mut [u8]) {
    match kind {
        Upsample::No => out.copy_from_slice(near),
        // libjpeg repeats samples of planes this narrow.
        Upsample::Across if near.len() <= 2 => repeat(near, out),
        Upsample::Both if near.len() <= 2 => repeat(near, out),
        Upsample::Across => across(near, out),
        Upsample::Down => {
            let bias = 1 + u16::from(lower);
            for ((n, f), o) in near.iter().zip(far).zip(out) {
                *o = ((3 * u16::from(*n) + u16::from(*f) + bias) >> 2) as u8;
            }
        }
        Upsample::Both => both(near, far, out),
    }
}

#[inline(always)]
fn repeat(near: &[u8], out: &mut [u8]) {
    for (pair, v) in out.chunks_exact_mut(2).zip(near) {
        pair.fill(*v);
    }
}

#[inline(always)]
fn across(x: &[u8], out: &mut [u8]) {
    let n = x.len();
    let wide = |i: usize| u16::from(x[i]);
    out[0] = x[0];
    out[1] = ((3 * wide(0) + wide(1) + 2) >> 2) as u8;
    let inner = out[2..2 * n - 2].chunks_exact_mut(2);
    for (((pair, before), v), after) in inner.zip(x).zip(&x[1..]).zip(&x[2..]) {
        let v = 3 * u16::from(*v);
        pair[0] = ((v + u16::from(*before) + 1) >> 2) as u8;
        pair[1] = ((v + u16::from(*after) + 2) >> 2) as u8;
    }
    out[2 * n - 2] = ((3 * wide(n - 1) + wide(n - 2) + 1) >> 2) as u8;
    out[2 * n - 1] = x[n - 1];
}

#[inline(always)]
fn both(near: &[u8], far: &[u8], out: &mut [u8]) {
    let n = near.len();
    let sum = |n: u8, f: u8| 3 * u16::from(n) + u16::from(f);
    let at = |i: usize| sum(near[i], far[i]);
    out[0] = ((4 * at(0) + 8) >> 4) as u8;
    out[1] = ((3 * at(0) + at(1) + 7) >> 4) as u8;
    let inner = out[2..2 * n - 2].chunks_exact_mut(2);
    let (before, mid, after) = (
        near.iter().zip(far),
        near[1..].iter().zip(&far[1..]),
        near[2..].iter().zip(&far[2..]),
    );
    for (((pair, before), v), after) in inner.zip(before).zip(mid).zip(after) {
        let v = 3 * sum(*v.0, *v.1);
        pair[0] = ((v + sum(*before.0, *before.1) + 8) >> 4) as u8;
        pair[1] = ((v + sum(*after.0, *after.1) + 7) >> 4) as u8;
    }
    out[2 * n - 2] = ((3 * at(n - 1) + at(n - 2) + 8) >> 4) as u8;
    out[2 * n - 1] = ((4 * at(n - 1) + 7) >> 4) as u8;
}

//! Row kernels of the depthwise convolution. Channels are innermost, so memory is walked in
//! order, and a tile of output pixels shares the loads of inputs and weights.

use crate::isa::dispatched;
use crate::simd::{Vector, channel_blocks};

/// An input row and the weights that meet it.
#[derive(Clone, Copy)]
pub(super) struct TapRow {
    /// The pixel that tap 0 of output 0 reads.
    pub(super) x: *const f32,
    /// Weights of tap 0.
    pub(super) w: *const f32,
}

impl TapRow {
    pub(super) const NONE: Self = Self {
        x: std::ptr::null(),
        w: std::ptr::null(),
    };
}

/// `out[i] (+)= Σ_rows Σ_taps x[i * stride + tap] · w[tap]`, per channel.
pub(super) struct ConvRow<'a> {
    pub(super) rows: &'a [TapRow],
    /// Taps per row.
    pub(super) taps: usize,
    /// Floats between the weights of one tap and the next.
    pub(super) tap_w: isize,
    /// Pixels between the inputs of one output and the next.
    pub(super) stride: usize,
    pub(super) out: *mut f32,
    /// Outputs.
    pub(super) count: usize,
    /// Pixels between one output and the next.
    pub(super) out_step: usize,
    pub(super) channels: usize,
    pub(super) accumulate: bool,
}

/// An input row and the weight gradient that it adds to.
#[derive(Clone, Copy)]
pub(super) struct WeightRow {
    pub(super) x: *const f32,
    pub(super) dw: *mut f32,
}

impl WeightRow {
    pub(super) const NONE: Self = Self {
        x: std::ptr::null(),
        dw: std::ptr::null_mut(),
    };
}

dispatched!(pub(super) unsafe fn conv_row = conv_row_v(job: &ConvRow));
dispatched!(pub(super) unsafe fn weight_row = weight_row_v(
    rows: &[WeightRow], taps: usize, stride: usize, g: *const f32, count: usize, channels: usize,
));

/// # Safety
/// Inputs, weights and outputs must be valid for the job's extents.
#[inline(always)]
unsafe fn conv_row_v<V: Vector>(job: &ConvRow) {
    // SAFETY: handed on.
    unsafe {
        match (job.taps, job.stride) {
            (1, 1) => conv_tiles::<V, 1, 1>(job),
            (2, 1) => conv_tiles::<V, 2, 1>(job),
            (3, 1) => conv_tiles::<V, 3, 1>(job),
            (4, 1) => conv_tiles::<V, 4, 1>(job),
            (5, 1) => conv_tiles::<V, 5, 1>(job),
            (7, 1) => conv_tiles::<V, 7, 1>(job),
            (3, 2) => conv_tiles::<V, 3, 2>(job),
            (5, 2) => conv_tiles::<V, 5, 2>(job),
            (7, 2) => conv_tiles::<V, 7, 2>(job),
            _ => conv_any::<V>(job),
        }
    }
}

/// # Safety
/// As [`conv_row_v`].
#[inline(always)]
unsafe fn conv_tiles<V: Vector, const T: usize, const S: usize>(job: &ConvRow) {
    let mut q = 0;
    while q < job.count {
        // SAFETY: q and the tile lie within count; channel blocks within channels.
        unsafe {
            q += match job.count - q {
                8.. => conv_tile::<V, T, S, 8>(job, q),
                4.. => conv_tile::<V, T, S, 4>(job, q),
                2.. => conv_tile::<V, T, S, 2>(job, q),
                _ => conv_tile::<V, T, S, 1>(job, q),
            };
        }
    }
}

/// `U` outputs from `q` on, all channels; returns `U`.
///
/// # Safety
/// As [`conv_row_v`].
#[inline(always)]
unsafe fn conv_tile<V: Vector, const T: usize, const S: usize, const U: usize>(
    job: &ConvRow,
    q: usize,
) -> usize {
    let c = job.channels;
    // SAFETY: the caller vouches for the job.
    unsafe {
        channel_blocks!(V, c, |j, n, FULL| {
            let mut acc = [V::zero(); U];
            for row in job.rows {
                let x = row.x.add(q * S * c + j);
                let mut w = [V::zero(); T];
                for (t, w) in w.iter_mut().enumerate() {
                    *w = V::get::<FULL>(row.w.offset(t as isize * job.tap_w + j as isize), n);
                }
                for i in 0..(U - 1) * S + T {
                    let x = V::get::<FULL>(x.add(i * c), n);
                    for (u, acc) in acc.iter_mut().enumerate() {
                        if i >= u * S && i - u * S < T {
                            *acc = x.mul_add(w[i - u * S], *acc);
                        }
                    }
                }
            }
            for (u, acc) in acc.iter().enumerate() {
                let p = job.out.add((q + u) * job.out_step * c + j);
                let y = if job.accumulate {
                    V::get::<FULL>(p, n).add(*acc)
                } else {
                    *acc
                };
                y.put::<FULL>(p, n);
            }
        });
    }
    U
}

/// Any number of taps and any stride.
///
/// # Safety
/// As [`conv_row_v`].
#[inline(always)]
unsafe fn conv_any<V: Vector>(job: &ConvRow) {
    let c = job.channels;
    for q in 0..job.count {
        // SAFETY: the caller vouches for the job.
        unsafe {
            channel_blocks!(V, c, |j, n, FULL| {
                let mut acc = V::zero();
                for row in job.rows {
                    for t in 0..job.taps {
                        let x = V::get::<FULL>(row.x.add((q * job.stride + t) * c + j), n);
                        let w = row.w.offset(t as isize * job.tap_w + j as isize);
                        acc = x.mul_add(V::get::<FULL>(w, n), acc);
                    }
                }
                let p = job.out.add(q * job.out_step * c + j);
                let y = if job.accumulate {
                    V::get::<FULL>(p, n).add(acc)
                } else {
                    acc
                };
                y.put::<FULL>(p, n);
            });
        }
    }
}

/// `dw[tap] += Σ_i x[i * stride + tap] · g[i]`, per channel and row.
///
/// # Safety
/// Inputs, gradients and weight gradients must be valid for the extents.
#[inline(always)]
unsafe fn weight_row_v<V: Vector>(
    rows: &[WeightRow],
    taps: usize,
    stride: usize,
    g: *const f32,
    count: usize,
    c: usize,
) {
    // SAFETY: handed on.
    unsafe {
        channel_blocks!(V, c, |j, n, FULL| {
            match (taps, stride) {
                (3, 1) => weight_block::<V, 3, 1, 3, FULL>(rows, g, count, c, j, n),
                (3, 2) => weight_block::<V, 3, 2, 3, FULL>(rows, g, count, c, j, n),
                (5, 1) => weight_block::<V, 5, 1, 2, FULL>(rows, g, count, c, j, n),
                (5, 2) => weight_block::<V, 5, 2, 2, FULL>(rows, g, count, c, j, n),
                (7, 1) => weight_block::<V, 7, 1, 1, FULL>(rows, g, count, c, j, n),
                (7, 2) => weight_block::<V, 7, 2, 1, FULL>(rows, g, count, c, j, n),
                _ => weight_any::<V, FULL>(rows, taps, stride, g, count, c, j, n),
            }
        });
    }
}

/// One block of channels, `G` rows at a time: their sums stay in registers along the row.
///
/// # Safety
/// As [`weight_row_v`].
#[inline(always)]
unsafe fn weight_block<
    V: Vector,
    const T: usize,
    const S: usize,
    const G: usize,
    const FULL: bool,
>(
    rows: &[WeightRow],
    g: *const f32,
    count: usize,
    c: usize,
    j: usize,
    n: usize,
) {
    let groups = rows.chunks_exact(G);
    let rest = groups.remainder();
    // SAFETY: handed on.
    unsafe {
        for group in groups {
            weight_group::<V, T, S, G, FULL>(group, g, count, c, j, n);
        }
        for row in rest.chunks_exact(1) {
            weight_group::<V, T, S, 1, FULL>(row, g, count, c, j, n);
        }
    }
}

/// # Safety
/// As [`weight_row_v`]; `rows` are `G`.
#[inline(always)]
unsafe fn weight_group<
    V: Vector,
    const T: usize,
    const S: usize,
    const G: usize,
    const FULL: bool,
>(
    rows: &[WeightRow],
    g: *const f32,
    count: usize,
    c: usize,
    j: usize,
    n: usize,
) {
    // SAFETY: the caller vouches for the extents.
    unsafe {
        let mut acc = [[V::zero(); T]; G];
        let mut q = 0;
        while q + 4 <= count {
            weight_tile::<V, T, S, G, 4, FULL>(rows, g, q, c, j, n, &mut acc);
            q += 4;
        }
        while q < count {
            weight_tile::<V, T, S, G, 1, FULL>(rows, g, q, c, j, n, &mut acc);
            q += 1;
        }
        for (row, acc) in rows.iter().zip(&acc) {
            for (t, acc) in acc.iter().enumerate() {
                let p = row.dw.add(t * c + j);
                V::get::<FULL>(p, n).add(*acc).put::<FULL>(p, n);
            }
        }
    }
}

/// # Safety
/// As [`weight_group`].
#[inline(always)]
unsafe fn weight_tile<
    V: Vector,
    const T: usize,
    const S: usize,
    const G: usize,
    const U: usize,
    const FULL: bool,
>(
    rows: &[WeightRow],
    g: *const f32,
    q: usize,
    c: usize,
    j: usize,
    n: usize,
    acc: &mut [[V; T]; G],
) {
    // SAFETY: the caller vouches for the extents.
    unsafe {
        let mut gv = [V::zero(); U];
        for (u, gv) in gv.iter_mut().enumerate() {
            *gv = V::get::<FULL>(g.add((q + u) * c + j), n);
        }
        for (r, acc) in acc.iter_mut().enumerate() {
            let x = rows.get_unchecked(r).x.add(q * S * c + j);
            for i in 0..(U - 1) * S + T {
                let x = V::get::<FULL>(x.add(i * c), n);
                for (u, gv) in gv.iter().enumerate() {
                    if i >= u * S && i - u * S < T {
                        acc[i - u * S] = x.mul_add(*gv, acc[i - u * S]);
                    }
                }
            }
        }
    }
}

/// Any number of taps and any stride.
///
/// # Safety
/// As [`weight_row_v`].
#[inline(always)]
unsafe fn weight_any<V: Vector, const FULL: bool>(
    rows: &[WeightRow],
    taps: usize,
    stride: usize,
    g: *const f32,
    count: usize,
    c: usize,
    j: usize,
    n: usize,
) {
    for row in rows {
        for t in 0..taps {
            // SAFETY: the caller vouches for the extents.
            unsafe {
                let p = row.dw.add(t * c + j);
                let mut acc = V::get::<FULL>(p, n);
                for q in 0..count {
                    let x = V::get::<FULL>(row.x.add((q * stride + t) * c + j), n);
                    acc = x.mul_add(V::get::<FULL>(g.add(q * c + j), n), acc);
                }
                acc.put::<FULL>(p, n);
            }
        }
    }
}

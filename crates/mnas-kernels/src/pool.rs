//! Average and maximum over a sliding window; padding doesn't count.

use std::ops::Range;

use crate::fused::TASKS;
use crate::isa::dispatched;
use crate::simd::{Vector, channel_blocks};
use crate::window::Window;
use crate::workers::{Shared, Workers, share};

#[cfg(test)]
mod tests;

/// What a window's pixels become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Their average.
    Average,
    /// Their maximum; the gradient goes to the first of equal pixels.
    Maximum,
}

dispatched!(unsafe fn forward_row = forward_row_v(
    kind: Pool, w: &Window, o: usize, c: usize, x: *const f32, out: *mut f32,
));
dispatched!(unsafe fn backward_row = backward_row_v(
    kind: Pool, w: &Window, o: usize, c: usize, xy: (*const f32, *const f32), g: *const f32,
    out: *mut f32,
));

/// Rows and columns of the input under the window of output pixel `(o, q)`, and one over their
/// number of pixels.
fn under(w: &Window, o: usize, q: usize) -> (Range<usize>, Range<usize>, f32) {
    let at = |taps: Range<usize>, position: usize, before: usize| {
        let first = position * w.stride + taps.start - before;
        first..first + taps.len()
    };
    let rows = at(w.rows_at(o), o, w.before[0]);
    let columns = at(w.columns_at(q), q, w.before[1]);
    let share = 1.0 / (rows.len() * columns.len()).max(1) as f32;
    (rows, columns, share)
}

/// Row `o` of one image's output.
///
/// # Safety
/// `x` is an image of `w`, `out` a row of its output, both with `c` channels.
#[inline(always)]
unsafe fn forward_row_v<V: Vector>(
    kind: Pool,
    w: &Window,
    o: usize,
    c: usize,
    x: *const f32,
    out: *mut f32,
) {
    for q in 0..w.out_w {
        let (rows, columns, share) = under(w, o, q);
        // SAFETY: pixels inside the image, channels below `c`.
        unsafe {
            channel_blocks!(V, c, |c0, n, FULL| {
                let mut pooled = V::splat(match kind {
                    Pool::Average => 0.0,
                    Pool::Maximum => f32::NEG_INFINITY,
                });
                for row in rows.clone() {
                    for column in columns.clone() {
                        let x = V::get::<FULL>(x.add((row * w.w + column) * c + c0), n);
                        pooled = match kind {
                            Pool::Average => pooled.add(x),
                            // Each is the maximum unless one is NaN, and then the first keeps
                            // that of `pooled`, the second that of `x`: divergence shows in the loss.
                            Pool::Maximum => {
                                let half = V::splat(0.5);
                                x.max(pooled).mul_add(half, pooled.max(x).mul(half))
                            }
                        };
                    }
                }
                if kind == Pool::Average {
                    pooled = pooled.mul(V::splat(share));
                }
                pooled.put::<FULL>(out.add(q * c + c0), n);
            });
        }
    }
}

/// Adds the gradient of row `o` of one image's output to that of its input.
///
/// # Safety
/// `x` and `out` are an image of `w`, `y` and `g` a row of its output, all with `c` channels.
#[inline(always)]
unsafe fn backward_row_v<V: Vector>(
    kind: Pool,
    w: &Window,
    o: usize,
    c: usize,
    (x, y): (*const f32, *const f32),
    g: *const f32,
    out: *mut f32,
) {
    for q in 0..w.out_w {
        let (rows, columns, share) = under(w, o, q);
        // SAFETY: pixels inside the image, channels below `c`.
        unsafe {
            channel_blocks!(V, c, |c0, n, FULL| {
                let at = q * c + c0;
                let mut left = V::get::<FULL>(g.add(at), n);
                if kind == Pool::Average {
                    left = left.mul(V::splat(share));
                }
                let y = V::get::<FULL>(y.add(at), n);
                for row in rows.clone() {
                    for column in columns.clone() {
                        let at = (row * w.w + column) * c + c0;
                        let part = match kind {
                            Pool::Average => left,
                            // Nothing is left after the first pixel that equals the maximum.
                            Pool::Maximum => {
                                let part = left.keep_ge(V::get::<FULL>(x.add(at), n), y);
                                left = left.sub(part);
                                part
                            }
                        };
                        let sum = V::get::<FULL>(out.add(at), n).add(part);
                        sum.put::<FULL>(out.add(at), n);
                    }
                }
            });
        }
    }
}

/// `out` = the pooled `x`, both `images x pixels x channels`.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn pool_forward(
    workers: &Workers,
    kind: Pool,
    window: &Window,
    channels: usize,
    x: &[f32],
    out: &mut [f32],
) {
    window.check();
    assert_eq!(x.len(), window.inputs() * channels, "pool input");
    assert_eq!(out.len(), window.outputs() * channels, "pool output");
    let (w, c) = (window, channels);
    let (in_len, out_len) = (w.h * w.w * c, w.out_h * w.out_w * c);
    let target = Shared::new(out);
    let tasks = w.images.min(TASKS);
    workers.run(tasks, |task, _| {
        for image in share(w.images, 1, task, tasks) {
            // SAFETY: images belong to one task each.
            let out = unsafe { target.part(image * out_len..(image + 1) * out_len) };
            let x = &x[image * in_len..(image + 1) * in_len];
            for (o, out) in out.chunks_exact_mut(w.out_w * c).enumerate() {
                // SAFETY: an image and a row of its output.
                unsafe {
                    forward_row(workers.isa(), kind, w, o, c, x.as_ptr(), out.as_mut_ptr());
                }
            }
        }
    });
}

/// `out (+)=` gradient of [`pool_forward`] at `x`; `y` is what it wrote.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn pool_backward(
    workers: &Workers,
    kind: Pool,
    window: &Window,
    channels: usize,
    (x, y): (&[f32], &[f32]),
    g: &[f32],
    out: &mut [f32],
    accumulate: bool,
) {
    window.check();
    let (w, c) = (window, channels);
    let (in_len, out_len) = (w.h * w.w * c, w.out_h * w.out_w * c);
    assert_eq!(
        (x.len(), out.len()),
        (w.images * in_len, w.images * in_len),
        "pool input"
    );
    assert_eq!(
        (y.len(), g.len()),
        (w.images * out_len, w.images * out_len),
        "pool output"
    );
    let target = Shared::new(out);
    let tasks = w.images.min(TASKS);
    workers.run(tasks, |task, _| {
        for image in share(w.images, 1, task, tasks) {
            // SAFETY: images belong to one task each.
            let out = unsafe { target.part(image * in_len..(image + 1) * in_len) };
            if !accumulate {
                out.fill(0.0);
            }
            let x = &x[image * in_len..(image + 1) * in_len];
            for o in 0..w.out_h {
                let row =
                    image * out_len + o * w.out_w * c..image * out_len + (o + 1) * w.out_w * c;
                let (y, g) = (&y[row.clone()], &g[row]);
                // SAFETY: an image and a row of its output.
                unsafe {
                    let xy = (x.as_ptr(), y.as_ptr());
                    backward_row(
                        workers.isa(),
                        kind,
                        w,
                        o,
                        c,
                        xy,
                        g.as_ptr(),
                        out.as_mut_ptr(),
                    );
                }
            }
        }
    });
}

//! Average and maximum over a sliding window; padding doesn't count.

use std::ops::Range;

use crate::fused::TASKS;
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

/// Input pixels under the window of output pixel `(o, q)`.
fn under(w: &Window, o: usize, q: usize) -> (Range<usize>, Range<usize>) {
    let at = |taps: Range<usize>, position: usize, before: usize| {
        let first = position * w.stride + taps.start - before;
        first..first + taps.len()
    };
    (
        at(w.rows_at(o), o, w.before[0]),
        at(w.columns_at(q), q, w.before[1]),
    )
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
            for (p, out) in out.chunks_exact_mut(c).enumerate() {
                let (ys, xs) = under(w, p / w.out_w, p % w.out_w);
                let scale = 1.0 / (ys.len() * xs.len()).max(1) as f32;
                out.fill(if kind == Pool::Average {
                    0.0
                } else {
                    f32::NEG_INFINITY
                });
                for y in ys {
                    for column in xs.clone() {
                        let x = &x[(y * w.w + column) * c..][..c];
                        match kind {
                            Pool::Average => out.iter_mut().zip(x).for_each(|(o, x)| *o += x),
                            // A NaN stays, so that divergence shows in the loss.
                            Pool::Maximum => out.iter_mut().zip(x).for_each(|(o, x)| {
                                *o = if *o >= *x || o.is_nan() { *o } else { *x };
                            }),
                        }
                    }
                }
                if kind == Pool::Average {
                    out.iter_mut().for_each(|o| *o *= scale);
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
    workers.run(tasks, |task, scratch| {
        let taken = scratch.at_least(c);
        for image in share(w.images, 1, task, tasks) {
            // SAFETY: images belong to one task each.
            let out = unsafe { target.part(image * in_len..(image + 1) * in_len) };
            if !accumulate {
                out.fill(0.0);
            }
            let x = &x[image * in_len..(image + 1) * in_len];
            for p in 0..w.out_h * w.out_w {
                let at = image * out_len + p * c;
                let (g, y) = (&g[at..at + c], &y[at..at + c]);
                let (ys, xs) = under(w, p / w.out_w, p % w.out_w);
                let scale = 1.0 / (ys.len() * xs.len()).max(1) as f32;
                taken.fill(0.0);
                for row in ys {
                    for column in xs.clone() {
                        let at = (row * w.w + column) * c;
                        let (x, out) = (&x[at..at + c], &mut out[at..at + c]);
                        match kind {
                            Pool::Average => {
                                out.iter_mut().zip(g).for_each(|(o, g)| *o += g * scale);
                            }
                            Pool::Maximum => {
                                for j in 0..c {
                                    if taken[j] == 0.0 && x[j] == y[j] {
                                        taken[j] = 1.0;
                                        out[j] += g[j];
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    });
}

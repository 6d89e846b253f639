//! Depthwise convolution, fused like the pointwise one. A task walks its images row by row: input
//! rows are normalised once into a ring of padded rows, which stays in cache.

use std::ops::Range;

mod row;
#[cfg(test)]
pub(crate) mod tests;

use crate::fused::{Rows, TASKS, bias_backward, join_partials};
use crate::isa::Isa;
use crate::source::{Moments, Sink, Source, Upstream};
use crate::stats::{TileFinish, TileMoments, affine_at, carve, join_sums, scratch_len};
use crate::stored::{SharedValues, ValuesMut};
use crate::tile::{self, Size, Staged, Tile};
use crate::window::{MAX_KERNEL, Window};
use crate::workers::{Floats, Shared, Workers, share};
use row::{ConvRow, TapRow, WeightRow, conv_row, weight_row};

/// Bytes of output rows that wait for their sums: they are still in the first-level cache then.
const PENDING_BYTES: usize = 24 * 1024;

/// Rows of an image, zero-padded left and right, of which the last few are kept.
struct Ring {
    start: *mut f32,
    rows: usize,
    /// Floats per row.
    len: usize,
    /// Floats of padding on the left.
    left: usize,
}

impl Ring {
    fn new(space: &mut [f32], rows: usize, len: usize, left: usize) -> Self {
        assert!(space.len() >= rows * len && left <= len);
        // The padding stays zero from here on: only the inner part is written.
        space[..rows * len].fill(0.0);
        Self {
            start: space.as_mut_ptr(),
            rows,
            len,
            left,
        }
    }

    /// Where the inner part of image row `r` lies.
    fn inner(&self, r: usize) -> *mut f32 {
        self.start
            .wrapping_add(r % self.rows * self.len + self.left)
    }
}

/// Most values that wait for their sums, where up to `step` rows of `row_len` come at once.
fn waiting_len(row_len: usize, step: usize) -> usize {
    // Fewer than `PENDING_BYTES` wait when more come.
    (PENDING_BYTES / (4 * row_len) + step) * row_len
}

/// Width in pixels of a padded input row.
fn padded_width(w: &Window) -> usize {
    (w.before[1] + w.w).max((w.out_w - 1) * w.stride + w.kernel)
}

/// `out` = depthwise convolution of `source`; `weights` are `[kernel, kernel, channels]`. With
/// `moments`, the output's mean and deviation per channel too.
///
/// # Panics
/// If a slice doesn't have the shape's length, or the source is gated.
pub fn depthwise_forward(
    workers: &mut Workers,
    window: &Window,
    channels: usize,
    source: &Source,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: ValuesMut,
    moments: Option<&mut Moments>,
) {
    window.check();
    source.check(window.images, window.h * window.w, channels);
    assert!(source.gate.is_none(), "depthwise: gated source");
    assert_eq!(
        weights.len(),
        window.kernel * window.kernel * channels,
        "depthwise weights"
    );
    assert_eq!(out.len(), window.outputs() * channels, "depthwise output");
    assert!(bias.is_none_or(|b| b.len() == channels), "depthwise bias");
    let tasks = window.images.min(TASKS);
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(tasks * 2 * channels, 0.0);
    let (target, totals) = (SharedValues::new(out), Shared::new(&mut sums));
    let gather = moments.is_some();
    let isa = workers.isa();
    let image_len = window.out_h * window.out_w * channels;
    workers.run(tasks, |task, scratch| {
        let row_len = padded_width(window) * channels;
        let staging = target.staging(waiting_len(window.out_w * channels, 1));
        let sizes = [window.kernel * row_len, scratch_len(channels), staging];
        let [ring, stats, staging] = carve(scratch, sizes);
        let ring = Ring::new(ring, window.kernel, row_len, window.before[1] * channels);
        // SAFETY: each task has its own part.
        let total = unsafe { totals.part(task * 2 * channels..(task + 1) * 2 * channels) };
        let mut gathered = TileMoments::new(channels, stats, total);
        for image in share(window.images, 1, task, tasks) {
            // SAFETY: images belong to one task each.
            let out = unsafe { target.part(image * image_len..(image + 1) * image_len) };
            let pass = ForwardImage {
                isa,
                window,
                channels,
                source,
                weights,
                bias,
                image,
            };
            pass.run(&ring, out, staging, gather.then_some(&mut gathered));
        }
        gathered.close();
    });
    if let Some(m) = moments {
        assert_eq!(m.mean.len(), channels, "moments: channels");
        let pixels = window.out_h * window.out_w;
        m.join(
            &sums,
            (0..tasks).map(|t| share(window.images, 1, t, tasks).len() * pixels),
        );
    }
    workers.sums = sums;
}

/// One image's forward pass.
struct ForwardImage<'a> {
    isa: Isa,
    window: &'a Window,
    channels: usize,
    source: &'a Source<'a>,
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    image: usize,
}

impl ForwardImage<'_> {
    /// `staging` as [`Staged::new`] takes it for rows that wait for their sums.
    fn run(
        &self,
        ring: &Ring,
        mut out: ValuesMut,
        staging: &mut [f32],
        mut moments: Option<&mut TileMoments>,
    ) {
        let (w, c) = (self.window, self.channels);
        let row_len = w.out_w * c;
        let (mut filled, mut pending) = (0, 0);
        for o in 0..w.out_h {
            let taps = w.rows_at(o);
            let top = o * w.stride;
            let last = (top + taps.end).saturating_sub(w.before[0]).min(w.h);
            for r in filled..last {
                fill_row(self.isa, w, c, self.source, self.image, r, ring);
            }
            filled = filled.max(last);
            let mut rows = [TapRow::NONE; MAX_KERNEL];
            for (slot, kh) in rows.iter_mut().zip(taps.clone()) {
                *slot = TapRow {
                    x: ring.inner(top + kh - w.before[0]).wrapping_sub(ring.left),
                    w: self.weights[kh * w.kernel * c..].as_ptr(),
                };
            }
            let size = Size::new((o + 1 - pending) * w.out_w, c);
            let waiting = Tile::at(out.part(pending * row_len..(o + 1) * row_len), c);
            let waiting = Staged::new(waiting, size, staging);
            let line = waiting.skip_rows((o - pending) * w.out_w).work;
            let job = ConvRow {
                rows: &rows[..taps.len()],
                taps: w.kernel,
                tap_w: c as isize,
                stride: w.stride,
                out: line.start,
                count: w.out_w,
                out_step: 1,
                channels: c,
                accumulate: false,
            };
            // SAFETY: ring rows are padded for the window's whole width; the line holds out_w
            // pixels; weights hold kernel x kernel x c.
            unsafe {
                conv_row(self.isa, &job);
                if let Some(b) = self.bias {
                    tile::add_row(self.isa, Size::new(w.out_w, c), line, b.as_ptr());
                }
            }
            if 4 * size.rows * c >= PENDING_BYTES || o + 1 == w.out_h {
                // SAFETY: the rows were written above.
                unsafe {
                    match moments.as_deref_mut() {
                        Some(m) => m.store(self.isa, size.rows, waiting),
                        None => waiting.store(self.isa, size),
                    }
                }
                pending = o + 1;
            }
        }
    }
}

/// Writes image row `r` of the source's activation into the ring.
fn fill_row(isa: Isa, w: &Window, c: usize, source: &Source, image: usize, r: usize, ring: &Ring) {
    let at = (image * w.h + r) * w.w * c;
    let x = Tile::at(source.raw.part(at..at + w.w * c), c);
    let size = Size::new(w.w, c);
    let out = Tile::at(ring.inner(r), c);
    let affine = affine_at(source, 0, c);
    // SAFETY: the slice above is the row; the ring's inner part holds w.w pixels.
    unsafe { tile::activate(isa, size, x, affine, source.act, std::ptr::null(), out) };
}

/// Gradients of [`depthwise_forward`]: of weights, of the bias, and of the source's activation
/// into `sink` where wanted.
///
/// # Panics
/// If a slice doesn't have the shape's length, or the source is gated.
pub fn depthwise_backward(
    workers: &mut Workers,
    window: &Window,
    channels: usize,
    source: &Source,
    weights: &[f32],
    upstream: &Upstream,
    weight_gradient: &mut [f32],
    bias_gradient: Option<&mut [f32]>,
    sink: Option<Sink>,
) {
    window.check();
    source.check(window.images, window.h * window.w, channels);
    upstream.check(window.outputs() * channels, channels);
    assert!(source.gate.is_none(), "depthwise: gated source");
    let values = window.kernel * window.kernel * channels;
    assert_eq!(
        (weights.len(), weight_gradient.len()),
        (values, values),
        "depthwise weights"
    );
    if let Some(b) = bias_gradient {
        assert_eq!(b.len(), channels, "depthwise bias");
        let rows = Rows {
            count: window.outputs(),
            tile: 256,
        };
        bias_backward(workers, rows, upstream, b);
    }
    let tasks = window.images.min(TASKS);
    let image_len = window.h * window.w * channels;
    let (mut finish_sums, mut mean, mut accumulate, mut target) = (None, None, false, None);
    if let Some(s) = sink {
        assert_eq!(s.out.len(), window.images * image_len, "depthwise sink");
        accumulate = s.accumulate;
        target = Some(SharedValues::new(s.out));
        (mean, finish_sums) = s.finish.map(|f| (f.mean, f.sums)).unzip();
    }
    let mut partial = std::mem::take(&mut workers.partial);
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(tasks * 2 * channels, 0.0);
    let parts = Shared::new(partial.at_least(tasks * values));
    let totals = Shared::new(&mut sums);
    let isa = workers.isa();
    let pass = BackwardImage {
        isa,
        window,
        channels,
        source,
        weights,
        upstream,
        accumulate,
        mean,
    };
    workers.run(tasks, |task, scratch| {
        // SAFETY: each task has its own parts.
        let (dw, total) = unsafe {
            let total = totals.part(task * 2 * channels..(task + 1) * 2 * channels);
            (parts.part(task * values..(task + 1) * values), total)
        };
        dw.fill(0.0);
        let staging = target.as_ref().map_or(0, |t| t.staging(pass.waiting_len()));
        let (mut rings, [stats, staging]) = pass.rings(scratch, staging);
        let mut finish = TileFinish::new(channels, stats, total);
        for image in share(window.images, 1, task, tasks) {
            let range = image * image_len..(image + 1) * image_len;
            // SAFETY: images belong to one task each.
            let dx = target.as_ref().map(|t| unsafe { t.part(range) });
            pass.run(image, &mut rings, dw, dx, staging, &mut finish);
        }
    });
    join_partials(workers, &partial[..tasks * values], weight_gradient);
    if let Some(s) = finish_sums {
        join_sums(s, &sums);
    }
    (workers.sums, workers.partial) = (sums, partial);
}

/// Layout of the ring of upstream gradient rows.
struct GradientRows {
    rows: usize,
    /// Zero pixels on the left.
    left: usize,
    /// Pixels of a padded row.
    width: usize,
}

impl GradientRows {
    fn of(w: &Window) -> Self {
        let reach = (w.kernel - 1) / w.stride;
        let right = ((w.w - 1 + w.before[1]) / w.stride + 1).max(w.out_w);
        Self {
            rows: reach + 1,
            left: reach,
            width: reach + right,
        }
    }
}

/// One image's backward pass.
struct BackwardImage<'a> {
    isa: Isa,
    window: &'a Window,
    channels: usize,
    source: &'a Source<'a>,
    weights: &'a [f32],
    upstream: &'a Upstream<'a>,
    accumulate: bool,
    mean: Option<&'a [f32]>,
}

impl BackwardImage<'_> {
    /// The rings of input and gradient rows, space for the sums, and `staging` floats.
    fn rings<'s>(
        &self,
        scratch: &'s mut Floats,
        staging: usize,
    ) -> ([Ring; 2], [&'s mut [f32]; 2]) {
        let (w, c) = (self.window, self.channels);
        let (x_len, g) = (padded_width(w) * c, GradientRows::of(w));
        let rings = [w.kernel * x_len, g.rows * g.width * c];
        let sizes = [rings[0], rings[1], scratch_len(c), staging];
        let [xs, gs, stats, staging] = carve(scratch, sizes);
        let xs = Ring::new(xs, w.kernel, x_len, w.before[1] * c);
        let gs = Ring::new(gs, g.rows, g.width * c, g.left * c);
        ([xs, gs], [stats, staging])
    }

    /// Input rows whose last output row is `o` or one before it.
    fn ready(&self, o: usize) -> usize {
        let w = self.window;
        match o + 1 == w.out_h {
            true => w.h,
            false => ((o + 1) * w.stride).saturating_sub(w.before[0]).min(w.h),
        }
    }

    /// Most values of input rows that wait to be finished.
    fn waiting_len(&self) -> usize {
        let w = self.window;
        let (mut done, mut step) = (0, 0);
        for o in 0..w.out_h {
            step = step.max(self.ready(o).saturating_sub(done));
            done = done.max(self.ready(o));
        }
        waiting_len(w.w * self.channels, step)
    }

    fn run(
        &self,
        image: usize,
        [xs, gs]: &mut [Ring; 2],
        dw: &mut [f32],
        mut dx: Option<ValuesMut>,
        staging: &mut [f32],
        finish: &mut TileFinish,
    ) {
        let (w, c) = (self.window, self.channels);
        let (mut filled, mut done, mut pending) = (0, 0, 0);
        for o in 0..w.out_h {
            self.gradient_row(image, o, gs);
            let last = (o * w.stride + w.rows_at(o).end)
                .saturating_sub(w.before[0])
                .min(w.h);
            for r in filled..last {
                fill_row(self.isa, w, c, self.source, image, r, xs);
            }
            filled = filled.max(last);
            self.weight_rows(o, xs, gs, dw);
            let Some(dx) = &mut dx else {
                continue;
            };
            let ready = self.ready(o).max(done);
            let size = Size::new((ready - pending) * w.w, c);
            let waiting = Tile::at(dx.part(pending * w.w * c..ready * w.w * c), c);
            let waiting = Staged::new(waiting, size, staging);
            for r in done..ready {
                self.input_row(r, gs, waiting.skip_rows((r - pending) * w.w));
            }
            done = ready;
            if 4 * size.rows * c >= PENDING_BYTES || done == w.h {
                self.finish_rows(image, pending..done, waiting, finish);
                pending = done;
            }
        }
    }

    /// Writes the gradient at raw output row `o` into the ring.
    fn gradient_row(&self, image: usize, o: usize, gs: &Ring) {
        let (w, c) = (self.window, self.channels);
        let at = (image * w.out_h + o) * w.out_w * c;
        let len = w.out_w * c;
        let g = Tile::at(self.upstream.g.part(at..at + len), c);
        let (size, out) = (Size::new(w.out_w, c), Tile::at(gs.inner(o), c));
        // SAFETY: parts are cut to the row; the ring's inner part holds out_w pixels.
        unsafe {
            match self.upstream.norm {
                None => tile::copy(self.isa, size, g, out.into(), false),
                Some(n) => {
                    let z = Tile::at(n.z.part(at..at + len), c);
                    let k = [n.a, n.b, n.d].map(|p| p.as_ptr());
                    tile::norm_gradient(self.isa, size, g, z, k, out, false);
                }
            }
        }
    }

    /// Adds output row `o`'s part of the weight gradient.
    fn weight_rows(&self, o: usize, xs: &Ring, gs: &Ring, dw: &mut [f32]) {
        let (w, c) = (self.window, self.channels);
        let taps = w.rows_at(o);
        let mut rows = [WeightRow::NONE; MAX_KERNEL];
        for (slot, kh) in rows.iter_mut().zip(taps.clone()) {
            *slot = WeightRow {
                x: xs
                    .inner(o * w.stride + kh - w.before[0])
                    .wrapping_sub(xs.left),
                dw: dw[kh * w.kernel * c..(kh + 1) * w.kernel * c].as_mut_ptr(),
            };
        }
        let rows = &rows[..taps.len()];
        // SAFETY: ring rows are padded for the window's whole width; dw rows are kernel x c.
        unsafe { weight_row(self.isa, rows, w.kernel, w.stride, gs.inner(o), w.out_w, c) };
    }

    /// Gradient of input row `r` into the first row of `dx`: per residue of columns, a convolution
    /// of gradient rows with every `stride`-th tap, backwards.
    fn input_row(&self, r: usize, gs: &Ring, dx: Staged) {
        let (w, c) = (self.window, self.channels);
        let (s, k) = (w.stride, w.kernel);
        if self.accumulate {
            // SAFETY: the tile holds the row.
            unsafe { dx.fetch(self.isa, Size::new(w.w, c)) };
        }
        for t in 0..s {
            // First column of this residue, and the gradient column that its tap `t` meets.
            let first = (t + s - w.before[1] % s) % s;
            if first >= w.w {
                continue;
            }
            let count = (w.w - first).div_ceil(s);
            let q = (first + w.before[1]) / s;
            let taps = k.saturating_sub(t).div_ceil(s);
            let start_w = (t + s * taps.saturating_sub(1)) * c;
            let mut rows = [TapRow::NONE; MAX_KERNEL];
            let mut n = 0;
            for kh in ((r + w.before[0]) % s..k).step_by(s) {
                let Some(o) = (r + w.before[0]).checked_sub(kh).map(|v| v / s) else {
                    break;
                };
                if o >= w.out_h || taps == 0 {
                    continue;
                }
                let x = gs.inner(o).wrapping_add(q * c).wrapping_sub((taps - 1) * c);
                rows[n] = TapRow {
                    x,
                    w: self.weights[kh * k * c + start_w..].as_ptr(),
                };
                n += 1;
            }
            let job = ConvRow {
                rows: &rows[..n],
                taps,
                tap_w: -((s * c) as isize),
                stride: 1,
                out: dx.work.start.wrapping_add(first * c),
                count,
                out_step: s,
                channels: c,
                accumulate: self.accumulate,
            };
            // SAFETY: ring rows are padded so that every tap of every column lies within them;
            // dx holds the row; weights hold kernel x kernel x c.
            unsafe { conv_row(self.isa, &job) };
        }
    }

    /// Finishes and stores rows of the input gradient, which are all of `dx`.
    fn finish_rows(&self, image: usize, rows: Range<usize>, dx: Staged, finish: &mut TileFinish) {
        let (w, c) = (self.window, self.channels);
        let (pixels, first) = (rows.len() * w.w, (image * w.h + rows.start) * w.w);
        // SAFETY: the tile holds the rows; the part of the source is cut to them.
        unsafe {
            match self.mean {
                Some(_) if rows.is_empty() => {}
                Some(mean) => {
                    let z = self.source.raw.part(first * c..(first + pixels) * c);
                    let z = Tile::at(z, c);
                    finish.add(self.isa, pixels, dx, z, self.source, mean, 0);
                }
                None => dx.store(self.isa, Size::new(pixels, c)),
            }
        }
    }
}

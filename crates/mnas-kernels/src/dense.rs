//! Dense convolution: patches of a tile of output pixels are laid out as rows of a matrix, a few
//! rows of the window at a time so that they stay in the second-level cache.

use std::ops::Range;

#[cfg(test)]
mod tests;

use crate::fused::{
    ForwardGrid, Rows, SendRight, TASKS, bias_backward, join_partials, pack_parallel, upstream_tile,
};
use crate::isa::{Isa, dispatched};
use crate::product::{Extents, Left, Out, Right, pack, packed_len, product};
use crate::simd::{Vector, channel_blocks};
use crate::source::{Moments, Upstream};
use crate::stats::carve;
use crate::stored::{At, SharedValues, Stored, Values, ValuesMut};
use crate::tile::{Size, Staged, Tile};
use crate::window::Window;
use crate::workers::{Floats, Shared, Workers, share};

/// Floats of patches laid out at once.
const PATCHES: usize = 64 * 1024;
/// Output channels of which a product is so short that writing and scattering it costs more.
const FEW: usize = 32;
/// Floats of partial weight gradients beyond which tasks cut channels instead of rows.
const PARTIALS: usize = 512 * 1024;

/// Extents of a dense convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseShape {
    /// The window and its images.
    pub window: Window,
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
}

impl DenseShape {
    /// Values of the kernel tensor `[outputs, kernel, kernel, inputs]`.
    pub fn weights(&self) -> usize {
        self.outputs * self.patch()
    }

    /// Values under the whole window.
    fn patch(&self) -> usize {
        self.window.kernel * self.line()
    }

    /// Values under one row of the window.
    fn line(&self) -> usize {
        self.window.kernel * self.inputs
    }

    /// Output pixels per tile.
    fn tile_rows(&self) -> usize {
        (PATCHES / self.line() / 48 * 48).clamp(48, 480)
    }

    /// Rows of the window laid out at once.
    fn lines_at_once(&self) -> usize {
        (PATCHES / (self.line() * self.tile_rows())).clamp(1, self.window.kernel)
    }

    /// The window's rows in groups that are laid out at once.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (k, g) = (self.window.kernel, self.lines_at_once());
        (0..k).step_by(g).map(move |kh| kh..(kh + g).min(k))
    }

    fn rows(&self) -> Rows {
        Rows {
            count: self.window.outputs(),
            tile: self.tile_rows(),
        }
    }

    /// The convolution from one image's output gradient to its input gradient, where it is one and
    /// takes less time than scattering products under the window: steps of one pixel, few channels
    /// to sum over, none laid out more than scattered, and vectors of `lanes` mostly full.
    fn mirrored(&self, lanes: usize) -> Option<DenseShape> {
        let w = &self.window;
        let full = self.inputs.next_multiple_of(lanes) * 4 <= self.inputs * 5;
        let pays = w.stride == 1 && full && self.outputs <= self.inputs.min(FEW);
        pays.then(|| DenseShape {
            window: Window {
                images: 1,
                h: w.out_h,
                w: w.out_w,
                before: w.before.map(|b| w.kernel - 1 - b),
                out_h: w.h,
                out_w: w.w,
                ..*w
            },
            inputs: self.outputs,
            outputs: self.inputs,
        })
    }

    fn patches_len(&self) -> usize {
        self.tile_rows() * self.lines_at_once() * self.line()
    }

    fn check(&self, x: usize, weights: usize) {
        self.window.check();
        assert_eq!(x, self.window.inputs() * self.inputs, "dense input");
        assert_eq!(weights, self.weights(), "dense weights");
    }
}

/// `out` = convolution of `x` with `weights` (`[outputs, kernel, kernel, inputs]`) `(+ bias)`.
/// With `moments`, the output's mean and deviation per channel too.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn dense_forward(
    workers: &mut Workers,
    shape: &DenseShape,
    x: Values,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: ValuesMut,
    moments: Option<&mut Moments>,
) {
    shape.check(x.len(), weights.len());
    let outputs = shape.outputs;
    let isa = workers.isa();
    let packed = pack_parallel(
        workers,
        weights,
        (shape.patch(), outputs),
        (1, shape.patch()),
    );
    let right = SendRight(Right::packed(&packed, shape.patch(), outputs, isa.lanes()));
    let right = &right;
    let grid = ForwardGrid {
        rows: shape.rows(),
        outputs,
        bias,
        space: shape.patches_len(),
    };
    // SAFETY: products write their rows and columns only; factors are as checked.
    unsafe {
        grid.run(workers, out, moments, |rows, columns, patches, out| {
            let right = right.0.at_column(columns.start, isa.lanes());
            for lines in shape.groups() {
                let depth = lines.len() * shape.line();
                layout(isa, shape, x, rows, &lines, patches);
                let left = Left::at(patches.as_ptr(), depth, 1);
                let start = right.start.add(lines.start * shape.line() * right.step);
                let out = Out {
                    accumulate: lines.start > 0,
                    ..out
                };
                let e = Extents::new(rows.len(), columns.len(), depth);
                product(isa, e, left, Right { start, ..right }, out);
            }
        });
    }
    workers.packed = packed;
}

/// Lays out the patches of output pixels `rows` under the window's rows `lines`:
/// `[pixel][line][column][channel]`, zero where the window leaves the image.
fn layout(
    isa: Isa,
    shape: &DenseShape,
    x: Values,
    rows: &Range<usize>,
    lines: &Range<usize>,
    out: &mut [f32],
) {
    assert!(out.len() >= rows.len() * lines.len() * shape.line());
    assert_eq!(x.len(), shape.window.inputs() * shape.inputs);
    // SAFETY: sizes as asserted; the window's ranges stay within the image.
    unsafe {
        layout_rows(
            isa,
            shape,
            x.part(0..x.len()),
            rows,
            lines,
            out.as_mut_ptr(),
        )
    };
}

dispatched!(unsafe fn layout_rows = layout_v(
    shape: &DenseShape, x: At, rows: &Range<usize>, lines: &Range<usize>, out: *mut f32,
));

/// # Safety
/// `x` must hold the images, `out` the patches.
#[inline(always)]
unsafe fn layout_v<V: Vector>(
    shape: &DenseShape,
    x: At,
    rows: &Range<usize>,
    lines: &Range<usize>,
    out: *mut f32,
) {
    // SAFETY: handed on.
    unsafe {
        match x {
            At::F32(x) => layout_f::<V, _>(shape, x, rows, lines, out),
            At::Bf16(x) => layout_f::<V, _>(shape, x, rows, lines, out),
        }
    }
}

/// # Safety
/// As [`layout_v`].
#[inline(always)]
unsafe fn layout_f<V: Vector, X: Stored>(
    shape: &DenseShape,
    x: *const X,
    rows: &Range<usize>,
    lines: &Range<usize>,
    out: *mut f32,
) {
    let (w, c, line) = (&shape.window, shape.inputs, shape.line());
    let (mut image, mut o, mut q) = place(w, rows.start);
    let mut ys = w.rows_at(o);
    let mut to = out;
    for _ in rows.clone() {
        let xs = w.columns_at(q);
        for kh in lines.clone() {
            // SAFETY: the window's row and columns lie in the image; `to` advances by one line.
            unsafe {
                if !ys.contains(&kh) || xs.is_empty() {
                    zero_v::<V>(to, line);
                } else {
                    let y = image * w.h + o * w.stride + kh - w.before[0];
                    let column = q * w.stride + xs.start - w.before[1];
                    let from = x.add((y * w.w + column) * c);
                    let (head, inner) = (xs.start * c, xs.len() * c);
                    if inner < line {
                        zero_v::<V>(to, head);
                        zero_v::<V>(to.add(head + inner), line - head - inner);
                    }
                    copy_v::<V, X>(from, to.add(head), inner);
                }
                to = to.add(line);
            }
        }
        q += 1;
        if q == w.out_w {
            (q, o) = (0, o + 1);
            if o == w.out_h {
                (o, image) = (0, image + 1);
            }
            ys = w.rows_at(o);
        }
    }
}

/// Image, row and column of output pixel `p`.
fn place(w: &Window, p: usize) -> (usize, usize, usize) {
    let pixels = w.out_h * w.out_w;
    (p / pixels, p % pixels / w.out_w, p % w.out_w)
}

dispatched!(unsafe fn add = add_v(from: *const f32, to: *mut f32, len: usize));

/// # Safety
/// `len` values at both pointers.
#[inline(always)]
unsafe fn copy_v<V: Vector, X: Stored>(from: *const X, to: *mut f32, len: usize) {
    // SAFETY: blocks stay within len.
    unsafe {
        channel_blocks!(V, len, |j, n, FULL| {
            X::get::<V, FULL>(from.add(j), n).put::<FULL>(to.add(j), n);
        });
    }
}

/// `to = 0`.
///
/// # Safety
/// `len` floats at the pointer.
#[inline(always)]
unsafe fn zero_v<V: Vector>(to: *mut f32, len: usize) {
    // SAFETY: blocks stay within len.
    unsafe {
        channel_blocks!(V, len, |j, n, FULL| {
            V::zero().put::<FULL>(to.add(j), n);
        });
    }
}

/// `to += from`.
///
/// # Safety
/// `len` floats at both pointers.
#[inline(always)]
unsafe fn add_v<V: Vector>(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: blocks stay within len.
    unsafe {
        channel_blocks!(V, len, |j, n, FULL| {
            let sum = V::get::<FULL>(from.add(j), n).add(V::get::<FULL>(to.add(j), n));
            sum.put::<FULL>(to.add(j), n);
        });
    }
}

/// Gradients of [`dense_forward`]: of weights, of the bias, and of `x` into `input_gradient`
/// (added to what is there where `accumulate`) where wanted.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn dense_backward(
    workers: &mut Workers,
    shape: &DenseShape,
    x: Values,
    weights: &[f32],
    upstream: &Upstream,
    weight_gradient: &mut [f32],
    bias_gradient: Option<&mut [f32]>,
    input_gradient: Option<(ValuesMut, bool)>,
) {
    shape.check(x.len(), weights.len());
    upstream.check(shape.window.outputs() * shape.outputs, shape.outputs);
    assert_eq!(
        weight_gradient.len(),
        weights.len(),
        "dense weight gradient"
    );
    let pass = Backward {
        shape,
        x,
        upstream,
        isa: workers.isa(),
    };
    if let Some(b) = bias_gradient {
        assert_eq!(b.len(), shape.outputs, "dense bias gradient");
        bias_backward(workers, shape.rows(), upstream, b);
    }
    let fits = (PARTIALS / weights.len()).min(shape.rows().tasks());
    if fits >= 4 {
        pass.weights_by_rows(workers, fits, weight_gradient);
    } else {
        pass.weights_by_channels(workers, weight_gradient);
    }
    if let Some((out, accumulate)) = input_gradient {
        pass.input(workers, weights, out, accumulate);
    }
}

/// The factors of the gradients.
struct Backward<'a> {
    shape: &'a DenseShape,
    x: Values<'a>,
    upstream: &'a Upstream<'a>,
    isa: Isa,
}

impl Backward<'_> {
    /// Each task sums the weight gradient of its rows.
    fn weights_by_rows(&self, workers: &mut Workers, tasks: usize, out: &mut [f32]) {
        let values = out.len();
        let mut partial = std::mem::take(&mut workers.partial);
        let parts = Shared::new(partial.at_least(tasks * values));
        workers.run(tasks, |task, scratch| {
            // SAFETY: each task has its own part.
            let dw = unsafe { parts.part(task * values..(task + 1) * values) };
            let rows = self.shape.rows().of_task(task, tasks);
            if rows.is_empty() {
                dw.fill(0.0);
            }
            let all = 0..self.shape.outputs;
            self.weight_rows(
                rows,
                &all,
                0..self.shape.window.kernel,
                dw.as_mut_ptr(),
                scratch,
            );
        });
        join_partials(workers, &partial[..tasks * values], out);
        workers.partial = partial;
    }

    /// Each task computes some output channels of one row of the window.
    fn weights_by_channels(&self, workers: &Workers, out: &mut [f32]) {
        let shape = self.shape;
        let kernel = shape.window.kernel;
        let blocks = (shape.outputs / 48).clamp(1, TASKS.div_ceil(kernel));
        let target = Shared::new(out);
        workers.run(kernel * blocks, |task, scratch| {
            let columns = share(shape.outputs, 16, task / kernel, blocks);
            let line = task % kernel..task % kernel + 1;
            // Tasks own disjoint channels and window rows of the gradient, which is checked.
            let start = target.pointer().wrapping_add(columns.start * shape.patch());
            self.weight_rows(0..shape.window.outputs(), &columns, line, start, scratch);
        });
    }

    /// Weight gradient of output channels `columns` under the window's rows `lines`, over output
    /// pixels `rows`; `dw` starts at the first channel and is overwritten.
    fn weight_rows(
        &self,
        rows: Range<usize>,
        columns: &Range<usize>,
        lines: Range<usize>,
        dw: *mut f32,
        scratch: &mut Floats,
    ) {
        let shape = self.shape;
        let sizes = [shape.patches_len(), shape.tile_rows() * columns.len()];
        let [patches, gradient] = carve(scratch, sizes);
        if columns.is_empty() {
            return;
        }
        for (i, rows) in shape.rows().tiles(rows).enumerate() {
            // SAFETY: rows and columns lie within the checked slices; the caller gives each task
            // its own part of the weight gradient.
            unsafe {
                let outputs = shape.outputs;
                let g = upstream_tile(self.isa, outputs, self.upstream, &rows, columns, gradient);
                let left = Left::at(g.start, 1, g.row);
                let mut kh = lines.start;
                while kh < lines.end {
                    let group = kh..(kh + shape.lines_at_once()).min(lines.end);
                    let depth = group.len() * shape.line();
                    layout(self.isa, shape, self.x, &rows, &group, patches);
                    let lanes = self.isa.lanes();
                    let right = Right {
                        start: patches.as_ptr(),
                        column: lanes,
                        step: depth,
                        padded: false,
                    };
                    let start = dw.add(kh * shape.line());
                    let out = Out {
                        start,
                        row: shape.patch(),
                        accumulate: i > 0,
                    };
                    let e = Extents::new(columns.len(), depth, rows.len());
                    product(self.isa, e, left, right, out);
                    kh = group.end;
                }
            }
        }
    }

    /// Gradient of the input, image by image.
    fn input(&self, workers: &mut Workers, weights: &[f32], out: ValuesMut, accumulate: bool) {
        let (shape, w) = (self.shape, &self.shape.window);
        assert_eq!(out.len(), self.x.len(), "dense input gradient");
        let mirrored = shape.mirrored(self.isa.lanes());
        let mut packed = std::mem::take(&mut workers.packed);
        match mirrored {
            Some(_) => self.pack_mirrored(workers, weights, &mut packed),
            None => self.pack_lines(workers, weights, &mut packed),
        }
        let image_len = w.h * w.w * shape.inputs;
        let (target, packed_ref) = (SharedValues::new(out), &packed);
        let tasks = w.images.min(TASKS);
        workers.run(tasks, |task, scratch| {
            for image in share(w.images, 1, task, tasks) {
                let image_at = image * image_len..(image + 1) * image_len;
                // SAFETY: images belong to one task each.
                let mut dx = unsafe { target.part(image_at) };
                let (dx, staging) = ((&mut dx, accumulate), target.staging(image_len));
                match &mirrored {
                    Some(to) => self.input_mirrored(image, to, packed_ref, dx, staging, scratch),
                    None => self.input_scattered(image, packed_ref, dx, staging, scratch),
                }
            }
        });
        workers.packed = packed;
    }

    /// Each row of the window apart, to be multiplied by output gradients from the left.
    fn pack_lines(&self, workers: &Workers, weights: &[f32], packed: &mut Floats) {
        let (shape, lanes) = (self.shape, self.isa.lanes());
        let (kernel, line, outputs) = (shape.window.kernel, shape.line(), shape.outputs);
        let line_len = packed_len(outputs, line, lanes);
        let space = Shared::new(packed.at_least(kernel * line_len));
        workers.run(kernel, |kh, _| {
            // SAFETY: tasks own disjoint window rows.
            let out = unsafe { space.part(kh * line_len..(kh + 1) * line_len) };
            let from = &weights[kh * line..];
            let vectors = 0..line.div_ceil(lanes);
            let strides = (shape.patch(), 1);
            pack(self.isa, from, (outputs, line), strides, vectors, out);
        });
    }

    /// The window turned by half, as the right factor of patches of output gradients.
    fn pack_mirrored(&self, workers: &Workers, weights: &[f32], packed: &mut Floats) {
        let (shape, lanes) = (self.shape, self.isa.lanes());
        let (inputs, outputs) = (shape.inputs, shape.outputs);
        let taps = shape.window.kernel * shape.window.kernel;
        let (tap, vectors) = (outputs * lanes, inputs.div_ceil(lanes));
        let space = Shared::new(packed.at_least(vectors * taps * tap));
        workers.run(vectors, |v, _| {
            // SAFETY: tasks own disjoint vectors of columns.
            let out = unsafe { space.part(v * taps * tap..(v + 1) * taps * tap) };
            for (t, out) in out.chunks_exact_mut(tap).enumerate() {
                let from = &weights[(taps - 1 - t) * inputs..];
                let strides = (shape.patch(), 1);
                pack(self.isa, from, (outputs, inputs), strides, v..v + 1, out);
            }
        });
    }

    /// One image's gradient as the convolution of the output's gradient with the mirrored window.
    fn input_mirrored(
        &self,
        image: usize,
        to: &DenseShape,
        packed: &[f32],
        (dx, accumulate): (&mut ValuesMut, bool),
        staging: usize,
        scratch: &mut Floats,
    ) {
        let (isa, outputs, c) = (self.isa, to.inputs, to.outputs);
        let pixels = to.window.inputs();
        let sizes = [to.patches_len(), pixels * outputs, staging];
        let [patches, gradient, staging] = carve(scratch, sizes);
        let (size, len) = (Size::new(to.window.outputs(), c), dx.len());
        let staged = Staged::new(Tile::at(dx.part(0..len), c), size, staging);
        let (rows, all) = (image * pixels..(image + 1) * pixels, 0..outputs);
        let right = Right::packed(packed, to.patch(), c, isa.lanes());
        // SAFETY: the image's rows lie within the upstream, whose tile has no gaps; products
        // write rows of the image's own gradient.
        unsafe {
            if accumulate {
                staged.fetch(isa, size);
            }
            let g = upstream_tile(isa, outputs, self.upstream, &rows, &all, gradient);
            debug_assert_eq!(g.row, outputs, "upstream tiles of all columns have no gaps");
            let g = Values::F32(std::slice::from_raw_parts(g.start, pixels * outputs));
            for rows in to.rows().tiles(0..to.window.outputs()) {
                for lines in to.groups() {
                    let depth = lines.len() * to.line();
                    layout(isa, to, g, &rows, &lines, patches);
                    let out = Out {
                        start: staged.work.start.add(rows.start * staged.work.row),
                        row: staged.work.row,
                        accumulate: accumulate || lines.start > 0,
                    };
                    let start = right.start.add(lines.start * to.line() * right.step);
                    let e = Extents::new(rows.len(), c, depth);
                    let left = Left::at(patches.as_ptr(), depth, 1);
                    product(isa, e, left, Right { start, ..right }, out);
                }
            }
            staged.store(isa, size);
        }
    }

    /// One image's gradient as `g · W` scattered back under the window. `staging` is what
    /// [`Staged::new`] takes for the image.
    fn input_scattered(
        &self,
        image: usize,
        packed: &[f32],
        (dx, accumulate): (&mut ValuesMut, bool),
        staging: usize,
        scratch: &mut Floats,
    ) {
        let (shape, w, c) = (self.shape, &self.shape.window, self.shape.inputs);
        let (line, outputs, lanes) = (shape.line(), shape.outputs, self.isa.lanes());
        let t = shape.tile_rows();
        let [patches, gradient, staging] = carve(scratch, [t * line, t * outputs, staging]);
        let (size, len) = (Size::new(w.h * w.w, c), dx.len());
        let staged = Staged::new(Tile::at(dx.part(0..len), c), size, staging);
        // SAFETY: the work tile holds the image without gaps, and nothing else refers to it.
        let dx = unsafe { std::slice::from_raw_parts_mut(staged.work.start, len) };
        if !accumulate {
            dx.fill(0.0);
        } else {
            // SAFETY: the tile holds the image.
            unsafe { staged.fetch(self.isa, size) };
        }
        let pixels = w.out_h * w.out_w;
        for rows in shape.rows().tiles(image * pixels..(image + 1) * pixels) {
            let all = 0..outputs;
            // SAFETY: rows lie within the upstream.
            let g =
                unsafe { upstream_tile(self.isa, outputs, self.upstream, &rows, &all, gradient) };
            for kh in 0..w.kernel {
                let line_len = packed_len(outputs, line, lanes);
                let packed = &packed[kh * line_len..(kh + 1) * line_len];
                let right = Right::packed(packed, outputs, line, lanes);
                let left = Left::at(g.start, g.row, 1);
                let out = Out {
                    start: patches.as_mut_ptr(),
                    row: line,
                    accumulate: false,
                };
                let e = Extents::new(rows.len(), line, outputs);
                // SAFETY: patches hold a tile of lines.
                unsafe { product(self.isa, e, left, right, out) };
                for (p, patch) in rows.clone().zip(patches.chunks_exact(line)) {
                    let (_, o, q) = place(w, p);
                    let xs = w.columns_at(q);
                    if !w.rows_at(o).contains(&kh) || xs.is_empty() {
                        continue;
                    }
                    let y = o * w.stride + kh - w.before[0];
                    let x = q * w.stride + xs.start - w.before[1];
                    let to = &mut dx[(y * w.w + x) * c..][..xs.len() * c];
                    let from = &patch[xs.start * c..xs.end * c];
                    // SAFETY: both slices have the same length.
                    unsafe { add(self.isa, from.as_ptr(), to.as_mut_ptr(), to.len()) };
                }
            }
        }
        // SAFETY: the tile holds the image.
        unsafe { staged.store(self.isa, size) };
    }
}

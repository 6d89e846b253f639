//! Gradients of dense convolutions.

use std::ops::Range;

use super::winograd::{PLANES, Winograd};
use super::{Convolution, DenseShape, PARTIALS, layout, place};
use crate::fused::{TASKS, bias_backward, join_partials, upstream_tile};
use crate::isa::{Isa, dispatched};
use crate::product::{Extents, Left, Out, Right, pack, packed_len, product};
use crate::simd::{Vector, channel_blocks};
use crate::source::Upstream;
use crate::stats::carve;
use crate::stored::{SharedValues, Values, ValuesMut};
use crate::tile::{Size, Staged, Tile};
use crate::workers::{Floats, Shared, Workers, share};

/// Tasks from which each has sums of its own.
pub(super) const ALONE: usize = 8;

dispatched!(unsafe fn add = add_v(from: *const f32, to: *mut f32, len: usize));

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

/// Gradients of [`super::dense_forward`]: of weights, of the bias, and of `x` into `input_gradient`
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
    if let Some(winograd) = Winograd::of(shape) {
        pass.weights_by_squares(workers, winograd, weight_gradient);
    } else if fits >= 4 {
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

    /// By squares at the points: each task sums over its rows where the sums are small, as squares then
    /// stay in its cache; else over all rows at its points, as the sums are what doesn't fit.
    fn weights_by_squares(&self, workers: &mut Workers, winograd: Winograd, out: &mut [f32]) {
        let sums = PLANES * self.shape.outputs * self.shape.inputs;
        let mut partial = std::mem::take(&mut workers.partial);
        let mut between = std::mem::take(&mut workers.between);
        let parts = winograd.parts();
        if parts >= ALONE {
            let target = Shared::new(partial.at_least(parts * sums));
            self.squares_by_rows(workers, winograd, (parts, sums), target);
            let total = between.at_least(sums);
            join_partials(workers, &partial[..parts * sums], total);
            winograd.finish(workers, total, out);
        } else {
            let target = Shared::new(partial.at_least(sums));
            self.squares_by_points(workers, winograd, &mut between, target);
            winograd.finish(workers, &partial[..sums], out);
        }
        (workers.partial, workers.between) = (partial, between);
    }

    /// Each of `parts` tasks sums the gradient at the points over its rows, `sums` values.
    fn squares_by_rows(
        &self,
        workers: &Workers,
        winograd: Winograd,
        (parts, sums): (usize, usize),
        target: Shared<f32>,
    ) {
        let tiles = winograd.rows();
        workers.run(parts, |task, scratch| {
            let space = winograd.group_space(&(0..tiles.tile));
            let [space, gradient] = carve(scratch, [space, tiles.tile * self.shape.outputs]);
            let target = target.pointer().wrapping_add(task * sums);
            for (i, rows) in tiles.tiles(tiles.of_task(task, parts)).enumerate() {
                let space = space.as_mut_ptr();
                // SAFETY: the scratch memory is the task's own and takes a tile; each task has its own
                // part, and a tile, as there are no more parts than tiles.
                unsafe {
                    self.squares(winograd, &rows, &rows, space, gradient);
                    for point in 0..PLANES {
                        winograd.gradient(self.isa, &rows, point, space, (target, i > 0));
                    }
                }
            }
        });
    }

    /// Squares of some tiles at a time, then each task sums their products at some points.
    fn squares_by_points(
        &self,
        workers: &Workers,
        winograd: Winograd,
        between: &mut Floats,
        target: Shared<f32>,
    ) {
        let (tiles, groups) = (winograd.rows(), winograd.groups());
        let space = Shared::new(between.at_least(winograd.group_space(&(0..groups.tile))));
        for (i, group) in groups.tiles(0..groups.count).enumerate() {
            let count = group.len().div_ceil(tiles.tile);
            workers.run(count, |tile, scratch| {
                let start = group.start + tile * tiles.tile;
                let rows = start..(start + tiles.tile).min(group.end);
                let [gradient] = carve(scratch, [rows.len() * self.shape.outputs]);
                // SAFETY: the space takes a group; tasks own disjoint squares.
                unsafe { self.squares(winograd, &group, &rows, space.pointer(), gradient) };
            });
            workers.run(PLANES, |point, _| {
                let sums = (target.pointer(), i > 0);
                // SAFETY: the squares are at the points; tasks own disjoint points.
                unsafe { winograd.gradient(self.isa, &group, point, space.pointer(), sums) };
            });
        }
    }

    /// Squares of the tile `rows` of `group` at the points.
    ///
    /// # Safety
    /// `space` must be as long as the group takes, and no other task write these squares.
    unsafe fn squares(
        &self,
        winograd: Winograd,
        group: &Range<usize>,
        rows: &Range<usize>,
        space: *mut f32,
        gradient: &mut [f32],
    ) {
        let (outputs, all) = (self.shape.outputs, 0..self.shape.outputs);
        // SAFETY: rows lie within the checked slices; the rest as the caller vouches.
        unsafe {
            let g = upstream_tile(self.isa, outputs, self.upstream, rows, &all, gradient);
            let x = self.x.part(0..self.x.len());
            winograd.gradient_squares(self.isa, x, g, group, rows, space);
        }
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

    /// Gradient of the input, some images at a time.
    fn input(&self, workers: &mut Workers, weights: &[f32], out: ValuesMut, accumulate: bool) {
        let (shape, w) = (self.shape, &self.shape.window);
        assert_eq!(out.len(), self.x.len(), "dense input gradient");
        let image_len = w.h * w.w * shape.inputs;
        let mirrored = Convolution::mirrored(shape, self.isa.lanes());
        match &mirrored {
            Some(to) => to.pack(workers, weights),
            None => self.pack_lines(workers, weights),
        }
        let squares = mirrored.and_then(|to| to.winograd);
        let group = squares.map_or(1, |s| (s.rows().tile / (w.h * w.w)).max(1));
        let packed = std::mem::take(&mut workers.packed);
        let target = SharedValues::new(out);
        let groups = w.images.div_ceil(group);
        let tasks = groups.min(TASKS);
        workers.run(tasks, |task, scratch| {
            for first in share(groups, 1, task, tasks).map(|g| g * group) {
                let images = first..(first + group).min(w.images);
                let values = images.start * image_len..images.end * image_len;
                let staging = target.staging(values.len());
                // SAFETY: images belong to one task each.
                let mut dx = unsafe { target.part(values) };
                let dx = (&mut dx, accumulate);
                match &mirrored {
                    Some(to) => self.input_mirrored(images, to, &packed, dx, staging, scratch),
                    None => self.input_scattered(first, &packed, dx, staging, scratch),
                }
            }
        });
        workers.packed = packed;
    }

    /// Each row of the window apart, to be multiplied by output gradients from the left.
    fn pack_lines(&self, workers: &mut Workers, weights: &[f32]) {
        let (shape, lanes) = (self.shape, self.isa.lanes());
        let (kernel, line, outputs) = (shape.window.kernel, shape.line(), shape.outputs);
        let line_len = packed_len(outputs, line, lanes);
        let mut packed = std::mem::take(&mut workers.packed);
        let space = Shared::new(packed.at_least(kernel * line_len));
        workers.run(kernel, |kh, _| {
            // SAFETY: tasks own disjoint window rows.
            let out = unsafe { space.part(kh * line_len..(kh + 1) * line_len) };
            let from = &weights[kh * line..];
            let vectors = 0..line.div_ceil(lanes);
            let strides = (shape.patch(), 1);
            pack(self.isa, from, (outputs, line), strides, vectors, out);
        });
        workers.packed = packed;
    }

    /// The gradient of some images as the convolution of the output's gradient with the mirrored
    /// window.
    fn input_mirrored(
        &self,
        images: Range<usize>,
        to: &Convolution,
        packed: &[f32],
        (dx, accumulate): (&mut ValuesMut, bool),
        staging: usize,
        scratch: &mut Floats,
    ) {
        let (isa, outputs, c) = (self.isa, self.shape.outputs, self.shape.inputs);
        let image = self.shape.window.out_h * self.shape.window.out_w;
        let (rows, all) = (images.start * image..images.end * image, 0..outputs);
        let values = rows.len() * outputs;
        let [space, gradient, staging] = carve(scratch, [to.space(), values, staging]);
        let (size, len) = (Size::new(dx.len() / c, c), dx.len());
        let staged = Staged::new(Tile::at(dx.part(0..len), c), size, staging);
        // SAFETY: the images' rows lie within the upstream, whose tile has no gaps; tiles are rows
        // of the images' own gradient.
        unsafe {
            if accumulate {
                staged.fetch(isa, size);
            }
            let g = upstream_tile(isa, outputs, self.upstream, &rows, &all, gradient);
            assert_eq!(g.row, outputs, "upstream tiles of all columns have no gaps");
            let g = Values::F32(std::slice::from_raw_parts(g.start, values));
            for rows in to.rows().tiles(0..size.rows) {
                let out = Out {
                    start: staged.work.start.add(rows.start * staged.work.row),
                    row: staged.work.row,
                    accumulate,
                };
                to.multiply(isa, g, packed, (&rows, &(0..c)), space, out);
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

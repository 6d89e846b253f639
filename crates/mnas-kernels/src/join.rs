//! Layers without weights that read one or two sources: materialising, adding, gates and pooling
//! over all pixels.

use crate::fused::TASKS;
use crate::source::{Sink, Source};
use crate::stats::{TileFinish, affine_at, carve, join_sums, scratch_len};
use crate::stored::{SharedValues, Values, ValuesMut};
use crate::tile::{self, Size, Staged, Tile};
use crate::workers::{Shared, Workers, share};

#[cfg(test)]
mod tests;

/// Floats of a tile.
const TILE: usize = 16 * 1024;

/// Extents of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// Images in the batch.
    pub images: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

impl MapShape {
    /// Values of the whole batch.
    pub fn values(&self) -> usize {
        self.images * self.pixels * self.channels
    }

    fn step(&self) -> usize {
        (TILE / self.channels).clamp(1, self.pixels)
    }

    /// Calls `f(image, first pixel, pixels)` for the tiles of each image, tiles over tasks.
    fn tiles(&self, workers: &Workers, f: impl Fn(usize, usize, usize, &mut crate::Floats) + Sync) {
        let step = self.step();
        let per_image = self.pixels.div_ceil(step);
        let all = self.images * per_image;
        let tasks = all.clamp(1, TASKS);
        workers.run(tasks, |task, scratch| {
            for t in share(all, 1, task, tasks) {
                let first = t % per_image * step;
                f(t / per_image, first, step.min(self.pixels - first), scratch);
            }
        });
    }
}

/// Reads a tile of a source, starting at row `row`, into `out`.
///
/// # Safety
/// `out` must hold the size; the rows must lie in one image of the source.
unsafe fn read(
    workers: &Workers,
    s: &MapShape,
    source: &Source,
    image: usize,
    row: usize,
    rows: usize,
    out: *mut f32,
) {
    let c = s.channels;
    let x = source.raw.part(row * c..(row + rows) * c);
    let gate = source
        .gate
        .map_or(std::ptr::null(), |g| g[image * c..(image + 1) * c].as_ptr());
    let (x, out) = (Tile::at(x, c), Tile::at(out, c));
    let size = Size::new(rows, c);
    let affine = affine_at(source, 0, c);
    // SAFETY: x is the slice of the rows; the caller vouches for out.
    unsafe { tile::activate(workers.isa(), size, x, affine, source.act, gate, out) };
}

/// `out` = the source's activation.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn materialize(workers: &Workers, shape: MapShape, source: &Source, out: ValuesMut) {
    source.check(shape.images, shape.pixels, shape.channels);
    assert_eq!(out.len(), shape.values(), "materialize: length");
    let target = SharedValues::new(out);
    let c = shape.channels;
    shape.tiles(workers, |image, first, rows, scratch| {
        let row = image * shape.pixels + first;
        let [staging] = carve(scratch, [target.staging(rows * c)]);
        let size = Size::new(rows, c);
        // SAFETY: tiles are disjoint, and parts of the target.
        unsafe {
            let out = target.part(row * c..(row + rows) * c).part(0..rows * c);
            let out = Staged::new(Tile::at(out, c), size, staging);
            read(workers, &shape, source, image, row, rows, out.work.start);
            out.store(workers.isa(), size);
        }
    });
}

/// `out = a + b`.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn add(workers: &Workers, shape: MapShape, a: &Source, b: &Source, out: ValuesMut) {
    a.check(shape.images, shape.pixels, shape.channels);
    b.check(shape.images, shape.pixels, shape.channels);
    assert_eq!(out.len(), shape.values(), "add: length");
    let target = SharedValues::new(out);
    let c = shape.channels;
    shape.tiles(workers, |image, first, rows, scratch| {
        let row = image * shape.pixels + first;
        let range = row * c..(row + rows) * c;
        let [space, staging] = carve(scratch, [rows * c, target.staging(rows * c)]);
        let size = Size::new(rows, c);
        // SAFETY: tiles are disjoint, and parts of the target; space holds one.
        unsafe {
            let out = target.part(range.clone()).part(0..rows * c);
            let out = Staged::new(Tile::at(out, c), size, staging);
            read(workers, &shape, a, image, row, rows, out.work.start);
            let other = if b.is_plain() {
                Tile::at(b.raw.part(range), c)
            } else {
                read(workers, &shape, b, image, row, rows, space.as_mut_ptr());
                Tile::at(space.as_ptr(), c).into()
            };
            tile::copy(workers.isa(), size, other, out.work.into(), true);
            out.store(workers.isa(), size);
        }
    });
}

/// `out (+)= g`: the gradient of [`add`] for one input.
///
/// # Panics
/// If the lengths differ.
pub fn add_gradient(workers: &Workers, g: Values, out: ValuesMut, accumulate: bool) {
    assert_eq!(g.len(), out.len(), "add_gradient: length");
    let target = SharedValues::new(out);
    let tasks = g.len().div_ceil(TILE).clamp(1, TASKS);
    workers.run(tasks, |task, _| {
        let mine = share(g.len(), 16, task, tasks);
        let n = mine.len();
        // SAFETY: tasks own disjoint ranges, which are one row each.
        unsafe {
            let out = Tile::at(target.part(mine.clone()).part(0..n), n);
            let g = Tile::at(g.part(mine), n);
            tile::copy(workers.isa(), Size::new(1, n), g, out, accumulate);
        }
    });
}

/// Gradients of `out = active · gate`: `gate_gradient[image, channel] = Σ_pixels g·active`, and
/// `g` itself becomes `g · gate`, the gradient at the activation. `source` is the activation,
/// without its gate.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn gate_backward(
    workers: &Workers,
    shape: MapShape,
    source: &Source,
    gate: &[f32],
    g: ValuesMut,
    gate_gradient: &mut [f32],
) {
    let c = shape.channels;
    source.check(shape.images, shape.pixels, c);
    assert!(
        source.gate.is_none(),
        "gate_backward: the source carries its gate"
    );
    let lens = (gate.len(), g.len(), gate_gradient.len());
    assert_eq!(
        lens,
        (shape.images * c, shape.values(), shape.images * c),
        "gate_backward"
    );
    let (target, sums) = (SharedValues::new(g), Shared::new(gate_gradient));
    let tasks = shape.images.min(TASKS);
    let (affine, len) = (affine_at(source, 0, c), shape.pixels * c);
    let affine = AffineShared(affine);
    let affine = &affine;
    workers.run(tasks, |task, _| {
        for image in share(shape.images, 1, task, tasks) {
            let gate = gate[image * c..(image + 1) * c].as_ptr();
            for first in (0..shape.pixels).step_by(shape.step()) {
                let rows = shape.step().min(shape.pixels - first);
                let range = image * len + first * c..image * len + (first + rows) * c;
                let size = Size::new(rows, c);
                let x = Tile::at(source.raw.part(range.clone()), c);
                // SAFETY: images belong to one task each; slices are the tile.
                unsafe {
                    let sums = sums.part(image * c..(image + 1) * c);
                    if first == 0 {
                        sums.fill(0.0);
                    }
                    let g = Tile::at(target.part(range).part(0..rows * c), c);
                    let (isa, sums) = (workers.isa(), sums.as_mut_ptr());
                    tile::dot_rows(isa, size, g.cast_const(), x, affine.0, source.act, sums);
                    tile::mul_row(isa, size, g, gate);
                }
            }
        }
    });
}

/// Pointers to per-channel factors that all tasks read.
struct AffineShared(tile::AffineAt);
// SAFETY: tasks only read the factors, which outlive the phase.
unsafe impl Sync for AffineShared {}

/// `out[image, channel]` = mean of the source's activation over pixels.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn global_average(workers: &Workers, shape: MapShape, source: &Source, out: &mut [f32]) {
    let c = shape.channels;
    source.check(shape.images, shape.pixels, c);
    assert_eq!(out.len(), shape.images * c, "global_average: length");
    let target = Shared::new(out);
    let tasks = shape.images.min(TASKS);
    workers.run(tasks, |task, scratch| {
        let [space] = carve(scratch, [shape.step() * c]);
        for image in share(shape.images, 1, task, tasks) {
            // SAFETY: images belong to one task each.
            let out = unsafe { target.part(image * c..(image + 1) * c) };
            out.fill(0.0);
            for first in (0..shape.pixels).step_by(shape.step()) {
                let rows = shape.step().min(shape.pixels - first);
                let row = image * shape.pixels + first;
                // SAFETY: space holds a tile, out a row.
                unsafe {
                    read(
                        workers,
                        &shape,
                        source,
                        image,
                        row,
                        rows,
                        space.as_mut_ptr(),
                    );
                    let x = Tile::at(space.as_ptr(), c);
                    let size = Size::new(rows, c);
                    tile::sum_rows(workers.isa(), size, x, out.as_mut_ptr());
                }
            }
            let scale = 1.0 / shape.pixels as f32;
            out.iter_mut().for_each(|o| *o *= scale);
        }
    });
}

/// Gradient of [`global_average`] into `sink`; `source` as it was read, for the finish.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn global_average_backward(
    workers: &mut Workers,
    shape: MapShape,
    source: &Source,
    g: &[f32],
    sink: Sink,
) {
    let (c, len) = (shape.channels, shape.pixels * shape.channels);
    let Sink {
        out,
        accumulate,
        finish,
    } = sink;
    assert_eq!(
        (g.len(), out.len()),
        (shape.images * c, shape.values()),
        "global_average"
    );
    let (mean, finish_sums) = finish.map(|f| (f.mean, f.sums)).unzip();
    let tasks = shape.images.min(TASKS);
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(tasks * 2 * c, 0.0);
    let (totals, target) = (Shared::new(&mut sums), SharedValues::new(out));
    workers.run(tasks, |task, scratch| {
        let sizes = [scratch_len(c), c, target.staging(shape.step() * c)];
        let [stats, row, staging] = carve(scratch, sizes);
        // SAFETY: each task has its own part.
        let total = unsafe { totals.part(task * 2 * c..(task + 1) * 2 * c) };
        let mut gathered = TileFinish::new(c, stats, total);
        let scale = 1.0 / shape.pixels as f32;
        for image in share(shape.images, 1, task, tasks) {
            let g = &g[image * c..(image + 1) * c];
            row.iter_mut().zip(g).for_each(|(r, g)| *r = g * scale);
            for first in (0..shape.pixels).step_by(shape.step()) {
                let rows = shape.step().min(shape.pixels - first);
                let range = image * len + first * c..image * len + (first + rows) * c;
                let (isa, size) = (workers.isa(), Size::new(rows, c));
                // SAFETY: images belong to one task each; parts are the tile.
                unsafe {
                    let out = target.part(range.clone()).part(0..rows * c);
                    let out = Staged::new(Tile::at(out, c), size, staging);
                    if accumulate {
                        out.fetch(isa, size);
                    } else {
                        std::slice::from_raw_parts_mut(out.work.start, rows * c).fill(0.0);
                    }
                    tile::add_row(isa, size, out.work, row.as_ptr());
                    match mean {
                        Some(mean) => {
                            let z = Tile::at(source.raw.part(range), c);
                            gathered.add(isa, rows, out, z, source, mean, 0);
                        }
                        None => out.store(isa, size),
                    }
                }
            }
        }
    });
    if let Some(s) = finish_sums {
        join_sums(s, &sums);
    }
    workers.sums = sums;
}

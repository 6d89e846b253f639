//! Layers without weights that read one or two sources: materialising, adding, gates and pooling
//! over all pixels.

use crate::fused::TASKS;
use crate::source::{Sink, Source};
use crate::stats::{TileFinish, affine_at, carve, join_sums, scratch_len};
use crate::tile::{self, Size, Tile};
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
    let x = source.raw[row * c..(row + rows) * c].as_ptr();
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
pub fn materialize(workers: &Workers, shape: MapShape, source: &Source, out: &mut [f32]) {
    source.check(shape.images, shape.pixels, shape.channels);
    assert_eq!(out.len(), shape.values(), "materialize: length");
    let target = Shared::new(out);
    shape.tiles(workers, |image, first, rows, _| {
        let row = image * shape.pixels + first;
        let range = row * shape.channels..(row + rows) * shape.channels;
        // SAFETY: tiles are disjoint.
        unsafe {
            let out = target.part(range).as_mut_ptr();
            read(workers, &shape, source, image, row, rows, out);
        }
    });
}

/// `out = a + b`.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn add(workers: &Workers, shape: MapShape, a: &Source, b: &Source, out: &mut [f32]) {
    a.check(shape.images, shape.pixels, shape.channels);
    b.check(shape.images, shape.pixels, shape.channels);
    assert_eq!(out.len(), shape.values(), "add: length");
    let target = Shared::new(out);
    let c = shape.channels;
    shape.tiles(workers, |image, first, rows, scratch| {
        let row = image * shape.pixels + first;
        let range = row * c..(row + rows) * c;
        let [space] = carve(scratch, [rows * c]);
        // SAFETY: tiles are disjoint.
        let out = unsafe { target.part(range.clone()) };
        // SAFETY: out and space hold the tile.
        unsafe { read(workers, &shape, a, image, row, rows, out.as_mut_ptr()) };
        let other = match b.is_plain() {
            true => &b.raw[range],
            false => {
                // SAFETY: as above.
                unsafe { read(workers, &shape, b, image, row, rows, space.as_mut_ptr()) };
                &*space
            }
        };
        out.iter_mut().zip(other).for_each(|(o, b)| *o += b);
    });
}

/// `out (+)= g`: the gradient of [`add`] for one input.
///
/// # Panics
/// If the lengths differ.
pub fn add_gradient(workers: &Workers, g: &[f32], out: &mut [f32], accumulate: bool) {
    assert_eq!(g.len(), out.len(), "add_gradient: length");
    let target = Shared::new(out);
    let tasks = g.len().div_ceil(TILE).clamp(1, TASKS);
    workers.run(tasks, |task, _| {
        let mine = share(g.len(), 16, task, tasks);
        // SAFETY: tasks own disjoint ranges.
        let out = unsafe { target.part(mine.clone()) };
        if accumulate {
            out.iter_mut().zip(&g[mine]).for_each(|(o, g)| *o += g);
        } else {
            out.copy_from_slice(&g[mine]);
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
    g: &mut [f32],
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
    let (target, sums) = (Shared::new(g), Shared::new(gate_gradient));
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
                let x = Tile::at(source.raw[range.clone()].as_ptr(), c);
                // SAFETY: images belong to one task each; slices are the tile.
                unsafe {
                    let sums = sums.part(image * c..(image + 1) * c);
                    if first == 0 {
                        sums.fill(0.0);
                    }
                    let start = target.part(range).as_mut_ptr();
                    let g = Tile::at(start.cast_const(), c);
                    let isa = workers.isa();
                    tile::dot_rows(isa, size, g, x, affine.0, source.act, sums.as_mut_ptr());
                    tile::mul_row(isa, size, Tile::at(start, c), gate);
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
    let (totals, target) = (Shared::new(&mut sums), Shared::new(out));
    workers.run(tasks, |task, scratch| {
        let [stats, row] = carve(scratch, [scratch_len(c), c]);
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
                // SAFETY: images belong to one task each; slices are the tile.
                unsafe {
                    let out = target.part(range.clone());
                    if !accumulate {
                        out.fill(0.0);
                    }
                    let out = Tile::at(out.as_mut_ptr(), c);
                    let size = Size::new(rows, c);
                    tile::add_row(workers.isa(), size, out, row.as_ptr());
                    if let Some(mean) = mean {
                        let z = Tile::at(source.raw[range].as_ptr(), c);
                        gathered.add(workers.isa(), rows, out, z, source, mean, 0);
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

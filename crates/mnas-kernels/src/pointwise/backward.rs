//! Gradients of the pointwise convolution.

use std::ops::Range;

use super::{PointwiseShape, active_tile};
use crate::fused::{
    DoubleScratch, SendRight, TASKS, bias_backward, column_tasks, join_partials, pack_parallel,
    upstream_tile,
};
use crate::isa::Isa;
use crate::product::{Extents, Left, Out, Right, product};
use crate::source::{Sink, Source, Upstream};
use crate::stats::{TileFinish, carve, join_sums, scratch_len};
use crate::stored::SharedValues;
use crate::tile::{Size, Staged, Tile};
use crate::workers::{Floats, Shared, Workers, share};

/// Rows per task below which joining partial weight gradients costs more than it saves.
const ROWS_PER_PARTIAL: usize = 128;

/// Gradients of [`super::pointwise_forward`]: of weights into `weight_gradient`, of the bias, and of the
/// source's activation into `sink` where wanted.
///
/// # Panics
/// If a slice doesn't have the shape's length, or a gated source's sink finishes.
pub fn pointwise_backward(
    workers: &mut Workers,
    shape: PointwiseShape,
    source: &Source,
    weights: &[f32],
    upstream: &Upstream,
    weight_gradient: &mut [f32],
    bias_gradient: Option<&mut [f32]>,
    sink: Option<Sink>,
) {
    let PointwiseShape {
        images,
        pixels,
        inputs,
        outputs,
    } = shape;
    source.check(images, pixels, inputs);
    upstream.check(shape.rows().count * outputs, outputs);
    assert_eq!(weights.len(), inputs * outputs, "pointwise weights");
    assert_eq!(
        weight_gradient.len(),
        inputs * outputs,
        "pointwise weight gradient"
    );
    if let Some(s) = &sink {
        assert_eq!(s.out.len(), shape.rows().count * inputs, "pointwise sink");
        assert!(
            s.finish.is_none() || source.gate.is_none(),
            "a gated source can't finish"
        );
    }
    if let Some(b) = bias_gradient {
        assert_eq!(b.len(), outputs, "pointwise bias gradient");
        bias_backward(workers, shape.rows(), upstream, b);
    }
    let partials = shape
        .rows()
        .tasks()
        .min(shape.rows().count / ROWS_PER_PARTIAL)
        .max(1);
    let backward = Backward {
        shape,
        source,
        upstream,
        isa: workers.isa(),
    };
    if partials >= 4 {
        backward.by_rows(workers, partials, weights, weight_gradient, sink);
    } else {
        backward.by_columns(workers, weights, weight_gradient, sink);
    }
}

/// The factors of both gradients.
struct Backward<'a> {
    shape: PointwiseShape,
    source: &'a Source<'a>,
    upstream: &'a Upstream<'a>,
    isa: Isa,
}

/// [`Sink`] as tasks see it.
struct SinkParts<'a> {
    out: SharedValues<'a>,
    accumulate: bool,
    mean: Option<&'a [f32]>,
}

/// Takes a sink apart: what tasks write, and where the sums go.
fn take_apart<'a>(sink: Sink<'a>) -> (SinkParts<'a>, Option<&'a mut [f64]>) {
    let Sink {
        out,
        accumulate,
        finish,
    } = sink;
    let (mean, sums) = finish.map(|f| (f.mean, f.sums)).unzip();
    (
        SinkParts {
            out: SharedValues::new(out),
            accumulate,
            mean,
        },
        sums,
    )
}

impl Backward<'_> {
    /// Many rows: each task computes both gradients of its rows while their tiles are in cache,
    /// with a weight gradient of its own.
    fn by_rows(
        &self,
        workers: &mut Workers,
        tasks: usize,
        weights: &[f32],
        weight_gradient: &mut [f32],
        sink: Option<Sink>,
    ) {
        let PointwiseShape {
            inputs, outputs, ..
        } = self.shape;
        let (sink, finish_sums) = sink.map(take_apart).unzip();
        let packed = pack_parallel(workers, weights, (outputs, inputs), (inputs, 1));
        let right = SendRight(Right::packed(&packed, outputs, inputs, self.isa.lanes()));
        let right = &right;
        let mut partial = std::mem::take(&mut workers.partial);
        let mut sums = std::mem::take(&mut workers.sums);
        sums.resize(tasks * 2 * inputs, 0.0);
        let values = inputs * outputs;
        let parts = Shared::new(partial.at_least(tasks * values));
        let totals = Shared::new(&mut sums);
        workers.run(tasks, |task, scratch| {
            let t = self.shape.rows().tile;
            let [active, gradient, stats] =
                carve(scratch, [t * inputs, t * outputs, scratch_len(inputs)]);
            // SAFETY: each task has its own parts.
            let (dw, total) = unsafe {
                let total = totals.part(task * 2 * inputs..(task + 1) * 2 * inputs);
                (parts.part(task * values..(task + 1) * values), total)
            };
            let mut finish = TileFinish::new(inputs, stats, total);
            let mut accumulate = false;
            for rows in self
                .shape
                .rows()
                .tiles(self.shape.rows().of_task(task, tasks))
            {
                // SAFETY: rows of this task lie within the checked slices; no other task writes
                // them.
                unsafe {
                    let x = active_tile(self.isa, self.shape, self.source, &rows, active);
                    let all = 0..outputs;
                    let g = upstream_tile(self.isa, outputs, self.upstream, &rows, &all, gradient);
                    self.weight_tile(rows.len(), g, outputs, x, dw, accumulate);
                    if let Some(s) = &sink {
                        // The activations have been used: their memory is in cache.
                        let (all, space) = (0..inputs, &mut *active);
                        self.input_tile(&rows, g, &all, right.0, s, &mut finish, space);
                    }
                }
                accumulate = true;
            }
            if !accumulate {
                dw.fill(0.0);
            }
        });
        join_partials(workers, &partial[..tasks * values], weight_gradient);
        if let Some(s) = finish_sums.flatten() {
            join_sums(s, &sums);
        }
        (workers.sums, workers.packed, workers.partial) = (sums, packed, partial);
    }

    /// Few rows: tasks cut channels, and recompute the tiles they share.
    fn by_columns(
        &self,
        workers: &mut Workers,
        weights: &[f32],
        weight_gradient: &mut [f32],
        sink: Option<Sink>,
    ) {
        let PointwiseShape {
            inputs, outputs, ..
        } = self.shape;
        let lanes = self.isa.lanes();
        let row_tasks = self.shape.rows().tasks();
        let column_tasks = column_tasks(row_tasks, inputs, lanes);
        let weight_tasks = (outputs / 32).clamp(1, TASKS);
        let (sink, finish_sums) = sink.map(take_apart).unzip();
        let packed = match &sink {
            Some(_) => pack_parallel(workers, weights, (outputs, inputs), (inputs, 1)),
            None => std::mem::take(&mut workers.packed),
        };
        let right = sink
            .is_some()
            .then(|| Right::packed(&packed, outputs, inputs, lanes));
        let right = right.map(SendRight);
        let right = right.as_ref();
        let input_tasks = if sink.is_some() {
            row_tasks * column_tasks
        } else {
            0
        };
        let mut sums = std::mem::take(&mut workers.sums);
        sums.resize(row_tasks * 2 * inputs, 0.0);
        let totals = Shared::new(&mut sums);
        let dw = Shared::new(weight_gradient);
        workers.run(weight_tasks + input_tasks, |task, scratch| {
            if task < weight_tasks {
                let mine = share(outputs, 16, task, weight_tasks);
                // SAFETY: tasks own disjoint rows of the weight gradient.
                let dw = unsafe { dw.part(mine.start * inputs..mine.end * inputs) };
                self.weight_task(mine, dw, scratch);
            } else if let (Some(s), Some(right)) = (&sink, right) {
                let at = (
                    (task - weight_tasks) / column_tasks,
                    (task - weight_tasks) % column_tasks,
                );
                let columns = share(inputs, lanes, at.1, column_tasks);
                let rows = self.shape.rows().of_task(at.0, row_tasks);
                let right = right.0.at_column(columns.start, lanes);
                self.input_task(rows, &columns, right, s, scratch).scatter(
                    &totals,
                    at.0 * 2 * inputs,
                    inputs,
                    &columns,
                );
            }
        });
        if let Some(s) = finish_sums.flatten() {
            join_sums(s, &sums);
        }
        (workers.sums, workers.packed) = (sums, packed);
    }

    /// Rows `mine` of the weight gradient.
    fn weight_task(&self, mine: Range<usize>, dw: &mut [f32], scratch: &mut Floats) {
        let PointwiseShape {
            inputs, outputs, ..
        } = self.shape;
        let t = self.shape.rows().tile;
        let [active, gradient] = carve(scratch, [t * inputs, t * mine.len()]);
        if mine.is_empty() {
            return;
        }
        for (i, rows) in self
            .shape
            .rows()
            .tiles(0..self.shape.rows().count)
            .enumerate()
        {
            // SAFETY: rows and columns lie within the checked slices.
            unsafe {
                let x = active_tile(self.isa, self.shape, self.source, &rows, active);
                let g = upstream_tile(self.isa, outputs, self.upstream, &rows, &mine, gradient);
                self.weight_tile(rows.len(), g, mine.len(), x, dw, i > 0);
            }
        }
    }

    /// Input gradient of `rows` by `columns`; returns the finishing sums.
    fn input_task<'s>(
        &self,
        rows: Range<usize>,
        columns: &Range<usize>,
        right: Right,
        sink: &SinkParts,
        scratch: &'s mut Floats,
    ) -> DoubleScratch<'s> {
        let outputs = self.shape.outputs;
        let width = columns.len();
        let t = self.shape.rows().tile;
        let staging = sink.out.staging(t * width);
        let sizes = [t * outputs, scratch_len(width), 4 * width, staging];
        let [gradient, stats, total, staging] = carve(scratch, sizes);
        let mut local = DoubleScratch::new(total);
        let mut finish = TileFinish::new(width, stats, local.slice());
        for rows in self.shape.rows().tiles(rows) {
            // SAFETY: rows and columns lie within the checked slices; no other task writes them.
            unsafe {
                let all = 0..outputs;
                let g = upstream_tile(self.isa, outputs, self.upstream, &rows, &all, gradient);
                self.input_tile(&rows, g, columns, right, sink, &mut finish, staging);
            }
        }
        local
    }

    /// `dw (+)= gᵀ · x` over one tile; `dw` is `width` by inputs.
    ///
    /// # Safety
    /// Both tiles must be valid for `rows`.
    unsafe fn weight_tile(
        &self,
        rows: usize,
        g: Tile<*const f32>,
        width: usize,
        x: Left,
        dw: &mut [f32],
        accumulate: bool,
    ) {
        let inputs = self.shape.inputs;
        assert_eq!(dw.len(), width * inputs);
        let left = Left::at(g.start, 1, g.row);
        let lanes = self.isa.lanes();
        let right = Right {
            start: x.start,
            column: lanes,
            step: x.row,
            padded: false,
        };
        let out = Out {
            start: dw.as_mut_ptr(),
            row: inputs,
            accumulate,
        };
        // SAFETY: tiles as the caller vouches; dw as asserted.
        unsafe {
            product(
                self.isa,
                Extents::new(width, inputs, rows),
                left,
                right,
                out,
            )
        };
    }

    /// Input gradient of one tile, columns only, with the sink's finish; `space` as
    /// [`Staged::new`] takes it.
    ///
    /// # Safety
    /// Rows and columns must lie within the sink and belong to this task; `right` starts at the
    /// first column.
    unsafe fn input_tile(
        &self,
        rows: &Range<usize>,
        g: Tile<*const f32>,
        columns: &Range<usize>,
        right: Right,
        sink: &SinkParts,
        finish: &mut TileFinish,
        space: &mut [f32],
    ) {
        let PointwiseShape {
            inputs, outputs, ..
        } = self.shape;
        let at = rows.start * inputs + columns.start;
        let e = Extents::new(rows.len(), columns.len(), outputs);
        let left = Left::at(g.start, g.row, 1);
        let size = Size::new(e.m, e.n);
        let tile = Staged::new(Tile::at(sink.out.at(at), inputs), size, space);
        let c = Out {
            start: tile.work.start,
            row: tile.work.row,
            accumulate: sink.accumulate,
        };
        // SAFETY: as the caller vouches.
        unsafe {
            if sink.accumulate {
                tile.fetch(self.isa, size);
            }
            product(self.isa, e, left, right, c);
            match sink.mean {
                Some(mean) => {
                    let raw = self.source.raw;
                    let z = Tile::at(raw.part(at..raw.len()), inputs);
                    finish.add(self.isa, e.m, tile, z, self.source, mean, columns.start);
                }
                None => tile.store(self.isa, size),
            }
        }
    }
}

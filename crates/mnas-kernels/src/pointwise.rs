//! Pointwise (1x1, stride 1) convolution, fused with the batch norm, activation and gate of what
//! it reads, the statistics of what it writes, and in the backward pass with batch norm's.

use std::ops::Range;

use crate::product::{Extents, Left, Out, Right, pack, packed_len, product};
use crate::source::{Moments, Sink, Source, Upstream};
use crate::stats::{TileFinish, TileMoments, affine_at, carve, join_sums, scratch_len};
use crate::tile::{self, Size, Tile};
use crate::workers::{Floats, Shared, Workers, share};

#[cfg(test)]
mod tests;

/// Extents of a pointwise convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointwiseShape {
    /// Images in the batch.
    pub images: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
}

/// Most tasks of one phase: enough to balance 16 threads, few enough to join quickly.
const TASKS: usize = 16;
/// Rows per task below which joining partial weight gradients costs more than it saves.
const ROWS_PER_PARTIAL: usize = 128;

impl PointwiseShape {
    fn rows(self) -> usize {
        self.images * self.pixels
    }

    /// Rows of a tile whose input, gradient and output stay in the second-level cache together.
    fn tile_rows(self) -> usize {
        let row_bytes = 4 * (2 * self.inputs + self.outputs);
        (192 * 1024 / row_bytes / 48 * 48).clamp(48, 480)
    }

    /// Tasks along rows.
    fn row_tasks(self) -> usize {
        self.rows().div_ceil(self.tile_rows()).clamp(1, TASKS)
    }

    fn row_range(self, task: usize, tasks: usize) -> Range<usize> {
        share(self.rows(), self.tile_rows(), task, tasks)
    }

    /// The tiles of some rows.
    fn tiles(self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let (end, step) = (rows.end, self.tile_rows());
        rows.step_by(step).map(move |r| r..(r + step).min(end))
    }
}

/// Tasks along `columns` where rows alone give fewer than [`TASKS`]; whole groups of vectors.
fn column_tasks(row_tasks: usize, columns: usize, lanes: usize) -> usize {
    (TASKS / row_tasks).min(columns / (3 * lanes)).max(1)
}

/// `out = source · weightsᵀ (+ bias)`; `weights` are `[outputs, inputs]`. With `moments`, the
/// output's mean and deviation per channel too.
///
/// # Panics
/// If a slice doesn't have the shape's length.
pub fn pointwise_forward(
    workers: &mut Workers,
    shape: PointwiseShape,
    source: &Source,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    moments: Option<&mut Moments>,
) {
    let PointwiseShape {
        images,
        pixels,
        inputs,
        outputs,
    } = shape;
    source.check(images, pixels, inputs);
    assert_eq!(weights.len(), inputs * outputs, "pointwise weights");
    assert_eq!(out.len(), shape.rows() * outputs, "pointwise output");
    assert!(bias.is_none_or(|b| b.len() == outputs), "pointwise bias");
    let isa = workers.isa();
    let lanes = isa.lanes();
    let packed = pack_parallel(workers, weights, (inputs, outputs), (1, inputs));
    let right = Right::packed(&packed, inputs, outputs, lanes);
    let row_tasks = shape.row_tasks();
    let column_tasks = column_tasks(row_tasks, outputs, lanes);
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(row_tasks * 2 * outputs, 0.0);
    let (target, totals) = (Shared::new(out), Shared::new(&mut sums));
    let factors = Factors {
        left: source,
        right: SendRight(right),
    };
    let gather = moments.is_some();
    workers.run(row_tasks * column_tasks, |task, scratch| {
        let (rt, ct) = (task / column_tasks, task % column_tasks);
        let columns = share(outputs, lanes, ct, column_tasks);
        let width = columns.len();
        let [active, stats, total] = carve(
            scratch,
            [shape.tile_rows() * inputs, scratch_len(width), 4 * width],
        );
        // The double-precision totals of this task's columns, before they go to their place.
        let mut local = DoubleScratch::new(total);
        let mut gathered = TileMoments::new(width, stats, local.slice());
        for rows in shape.tiles(shape.row_range(rt, row_tasks)) {
            let n = rows.len();
            // SAFETY: rows and columns of this task lie within the checked slices, and no other
            // task writes them.
            unsafe {
                let left = factors.tile(workers.isa(), shape, &rows, active);
                let start = target.pointer().add(rows.start * outputs + columns.start);
                let c = Out {
                    start,
                    row: outputs,
                    accumulate: false,
                };
                let e = Extents {
                    m: n,
                    n: width,
                    k: inputs,
                };
                product(
                    isa,
                    e,
                    left,
                    factors.right.0.at_column(columns.start, lanes),
                    c,
                );
                let size = Size { rows: n, width };
                if let Some(b) = bias {
                    let b = b[columns.clone()].as_ptr();
                    tile::add_row(
                        isa,
                        size,
                        Tile {
                            start,
                            row: outputs,
                        },
                        b,
                    );
                }
                if gather {
                    gathered.add(
                        isa,
                        n,
                        Tile {
                            start: start.cast_const(),
                            row: outputs,
                        },
                    );
                }
            }
        }
        gathered.close();
        local.scatter(&totals, rt * 2 * outputs, outputs, &columns);
    });
    if let Some(m) = moments {
        assert_eq!(m.mean.len(), outputs, "moments: channels");
        m.join(
            &sums,
            (0..row_tasks).map(|t| shape.row_range(t, row_tasks).len()),
        );
    }
    (workers.sums, workers.packed) = (sums, packed);
}

/// What a forward task multiplies.
struct Factors<'a> {
    left: &'a Source<'a>,
    right: SendRight,
}

/// The packed weights, which all tasks read.
pub(crate) struct SendRight(pub(crate) Right);
// SAFETY: tasks only read the packed weights, which outlive the phase.
unsafe impl Sync for SendRight {}

impl Factors<'_> {
    /// The rows' activations: in place where stored so, else computed into `space`.
    ///
    /// # Safety
    /// The rows must lie within the source, checked against `shape`.
    unsafe fn tile(
        &self,
        isa: crate::Isa,
        shape: PointwiseShape,
        rows: &Range<usize>,
        space: &mut [f32],
    ) -> Left {
        // SAFETY: handed on.
        unsafe { active_tile(isa, shape, self.left, rows, space) }
    }
}

/// The activations of `rows`: in place where stored so, else computed into `space`.
///
/// # Safety
/// The rows must lie within the source, checked against `shape`.
unsafe fn active_tile(
    isa: crate::Isa,
    shape: PointwiseShape,
    source: &Source,
    rows: &Range<usize>,
    space: &mut [f32],
) -> Left {
    let c = shape.inputs;
    let raw = source.raw[rows.start * c..rows.end * c].as_ptr();
    if source.is_plain() {
        return Left {
            start: raw,
            row: c,
            step: 1,
        };
    }
    assert!(space.len() >= rows.len() * c);
    let affine = affine_at(source, 0, c);
    let mut row = rows.start;
    while row < rows.end {
        let image = row / shape.pixels;
        let end = match source.gate {
            Some(_) => ((image + 1) * shape.pixels).min(rows.end),
            None => rows.end,
        };
        let gate = source
            .gate
            .map_or(std::ptr::null(), |g| g[image * c..(image + 1) * c].as_ptr());
        let at = (row - rows.start) * c;
        let size = Size {
            rows: end - row,
            width: c,
        };
        // SAFETY: `at` and the size stay within the rows, for which raw and space were checked.
        unsafe {
            let x = Tile {
                start: raw.add(at),
                row: c,
            };
            let out = Tile {
                start: space.as_mut_ptr().add(at),
                row: c,
            };
            tile::activate(isa, size, x, affine, source.act, gate, out);
        }
        row = end;
    }
    Left {
        start: space.as_ptr(),
        row: c,
        step: 1,
    }
}

/// The gradient at the raw output, `rows` by `columns`: in place where stored so, else computed.
///
/// # Safety
/// Rows and columns must lie within the upstream, checked against `outputs`.
pub(crate) unsafe fn upstream_tile(
    isa: crate::Isa,
    outputs: usize,
    upstream: &Upstream,
    rows: &Range<usize>,
    columns: &Range<usize>,
    space: &mut [f32],
) -> Tile<*const f32> {
    let at = rows.start * outputs + columns.start;
    let g = Tile {
        start: upstream.g[at..].as_ptr(),
        row: outputs,
    };
    let Some(n) = upstream.norm else { return g };
    let size = Size {
        rows: rows.len(),
        width: columns.len(),
    };
    assert!(space.len() >= size.rows * size.width);
    let coefficients = [n.a, n.b, n.d].map(|p| p[columns.clone()].as_ptr());
    let z = Tile {
        start: n.z[at..].as_ptr(),
        row: outputs,
    };
    let out = Tile {
        start: space.as_mut_ptr(),
        row: size.width,
    };
    // SAFETY: the caller vouches for rows and columns; space holds rows x columns.
    unsafe { tile::norm_gradient(isa, size, g, z, coefficients, out, false) };
    Tile {
        start: space.as_ptr(),
        row: size.width,
    }
}

/// Packs weights, `B(k, j)` at `weights[k * step + j * column]`, over all threads where large.
fn pack_parallel(
    workers: &mut Workers,
    weights: &[f32],
    (k, n): (usize, usize),
    strides: (usize, usize),
) -> Floats {
    let isa = workers.isa();
    let lanes = isa.lanes();
    let mut packed = std::mem::take(&mut workers.packed);
    let len = packed_len(k, n, lanes);
    let space = Shared::new(packed.at_least(len));
    let vectors = n.div_ceil(lanes);
    let tasks = (k * n / (16 * 1024)).clamp(1, TASKS.min(vectors));
    workers.run(tasks, |task, _| {
        let mine = share(vectors, 1, task, tasks);
        // SAFETY: tasks own disjoint vectors.
        let out = unsafe { space.part(mine.start * k * lanes..mine.end * k * lanes) };
        pack(isa, weights, (k, n), strides, mine, out);
    });
    packed
}

/// Double-precision totals of one task, kept in its scratch memory until they are complete.
pub(crate) struct DoubleScratch<'a>(&'a mut [f64]);

impl<'a> DoubleScratch<'a> {
    pub(crate) fn new(space: &'a mut [f32]) -> Self {
        // SAFETY: carved parts start at a cache line, so are aligned for doubles, whose every
        // bit pattern is valid; two floats hold one double.
        let (head, doubles, _) = unsafe { space.align_to_mut::<f64>() };
        assert!(head.is_empty());
        Self(doubles)
    }

    pub(crate) fn slice(&mut self) -> &mut [f64] {
        self.0
    }

    /// Copies both halves to `columns` of the two rows of `width` at `at`.
    pub(crate) fn scatter(
        self,
        totals: &Shared<f64>,
        at: usize,
        width: usize,
        columns: &Range<usize>,
    ) {
        let (first, second) = self.0.split_at(columns.len());
        for (half, values) in [first, second].into_iter().enumerate() {
            let start = at + half * width + columns.start;
            // SAFETY: only this task has these rows and columns.
            unsafe { totals.part(start..start + columns.len()) }.copy_from_slice(values);
        }
    }
}

/// Gradients of [`pointwise_forward`]: of weights into `weight_gradient`, of the bias, and of the
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
    upstream.check(shape.rows() * outputs, outputs);
    assert_eq!(weights.len(), inputs * outputs, "pointwise weights");
    assert_eq!(
        weight_gradient.len(),
        inputs * outputs,
        "pointwise weight gradient"
    );
    if let Some(s) = &sink {
        assert_eq!(s.out.len(), shape.rows() * inputs, "pointwise sink");
        assert!(
            s.finish.is_none() || source.gate.is_none(),
            "a gated source can't finish"
        );
    }
    if let Some(b) = bias_gradient {
        bias_backward(workers, shape, upstream, b);
    }
    let partials = shape
        .row_tasks()
        .min(shape.rows() / ROWS_PER_PARTIAL)
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

/// Sums of the upstream gradient over rows; small, so on one thread.
fn bias_backward(workers: &Workers, shape: PointwiseShape, upstream: &Upstream, out: &mut [f32]) {
    assert_eq!(out.len(), shape.outputs, "pointwise bias gradient");
    let target = Shared::new(out);
    workers.run(1, |_, scratch| {
        let [space, sums] = carve(scratch, [shape.tile_rows() * shape.outputs, shape.outputs]);
        sums.fill(0.0);
        for rows in shape.tiles(0..shape.rows()) {
            let columns = 0..shape.outputs;
            // SAFETY: rows and columns lie within the upstream, checked by the caller.
            unsafe {
                let isa = workers.isa();
                let g = upstream_tile(isa, shape.outputs, upstream, &rows, &columns, space);
                let size = Size {
                    rows: rows.len(),
                    width: shape.outputs,
                };
                tile::sum_rows(isa, size, g, sums.as_mut_ptr());
            }
        }
        // SAFETY: the only task.
        unsafe { target.part(0..shape.outputs) }.copy_from_slice(sums);
    });
}

/// The factors of both gradients.
struct Backward<'a> {
    shape: PointwiseShape,
    source: &'a Source<'a>,
    upstream: &'a Upstream<'a>,
    isa: crate::Isa,
}

/// [`Sink`] as tasks see it.
struct SinkParts<'a> {
    out: Shared<'a, f32>,
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
            out: Shared::new(out),
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
            let t = self.shape.tile_rows();
            let [active, gradient, stats] =
                carve(scratch, [t * inputs, t * outputs, scratch_len(inputs)]);
            // SAFETY: each task has its own parts.
            let (dw, total) = unsafe {
                let total = totals.part(task * 2 * inputs..(task + 1) * 2 * inputs);
                (parts.part(task * values..(task + 1) * values), total)
            };
            let mut finish = TileFinish::new(inputs, stats, total);
            let mut accumulate = false;
            for rows in self.shape.tiles(self.shape.row_range(task, tasks)) {
                // SAFETY: rows of this task lie within the checked slices; no other task writes
                // them.
                unsafe {
                    let x = active_tile(self.isa, self.shape, self.source, &rows, active);
                    let all = 0..outputs;
                    let g = upstream_tile(self.isa, outputs, self.upstream, &rows, &all, gradient);
                    self.weight_tile(rows.len(), g, outputs, x, dw, accumulate);
                    if let Some(s) = &sink {
                        self.input_tile(&rows, g, &(0..inputs), right.0, s, &mut finish);
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
        let row_tasks = self.shape.row_tasks();
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
                let rows = self.shape.row_range(at.0, row_tasks);
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
        let t = self.shape.tile_rows();
        let [active, gradient] = carve(scratch, [t * inputs, t * mine.len()]);
        if mine.is_empty() {
            return;
        }
        for (i, rows) in self.shape.tiles(0..self.shape.rows()).enumerate() {
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
        let sizes = [
            self.shape.tile_rows() * outputs,
            scratch_len(width),
            4 * width,
        ];
        let [gradient, stats, total] = carve(scratch, sizes);
        let mut local = DoubleScratch::new(total);
        let mut finish = TileFinish::new(width, stats, local.slice());
        for rows in self.shape.tiles(rows) {
            // SAFETY: rows and columns lie within the checked slices; no other task writes them.
            unsafe {
                let all = 0..outputs;
                let g = upstream_tile(self.isa, outputs, self.upstream, &rows, &all, gradient);
                self.input_tile(&rows, g, columns, right, sink, &mut finish);
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
        let left = Left {
            start: g.start,
            row: 1,
            step: g.row,
        };
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
                Extents {
                    m: width,
                    n: inputs,
                    k: rows,
                },
                left,
                right,
                out,
            )
        };
    }

    /// Input gradient of one tile, columns only, with the sink's finish.
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
    ) {
        let PointwiseShape {
            inputs, outputs, ..
        } = self.shape;
        let at = rows.start * inputs + columns.start;
        let e = Extents {
            m: rows.len(),
            n: columns.len(),
            k: outputs,
        };
        let left = Left {
            start: g.start,
            row: g.row,
            step: 1,
        };
        // SAFETY: as the caller vouches.
        unsafe {
            let start = sink.out.pointer().add(at);
            let c = Out {
                start,
                row: inputs,
                accumulate: sink.accumulate,
            };
            product(self.isa, e, left, right, c);
            if let Some(mean) = sink.mean {
                let z = Tile {
                    start: self.source.raw[at..].as_ptr(),
                    row: inputs,
                };
                let out = Tile { start, row: inputs };
                finish.add(self.isa, e.m, out, z, self.source, mean, columns.start);
            }
        }
    }
}

/// Adds the tasks' weight gradients in task order.
pub(crate) fn join_partials(workers: &Workers, parts: &[f32], out: &mut [f32]) {
    let values = out.len();
    let target = Shared::new(out);
    let tasks = (parts.len() / (32 * 1024)).clamp(1, TASKS);
    workers.run(tasks, |task, _| {
        let mine = share(values, 16, task, tasks);
        // SAFETY: tasks own disjoint ranges.
        let out = unsafe { target.part(mine.clone()) };
        out.copy_from_slice(&parts[mine.clone()]);
        for part in parts.chunks_exact(values).skip(1) {
            for (o, p) in out.iter_mut().zip(&part[mine.clone()]) {
                *o += p;
            }
        }
    });
}

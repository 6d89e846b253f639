//! What fused layers share: cutting rows into tiles and tasks, the forward pass over a grid of
//! rows and columns, the upstream gradient of a tile, packed weights and partial results.

use std::ops::Range;

use crate::isa::Isa;
use crate::product::{Out, Right, pack, packed_len};
use crate::source::{Moments, Upstream};
use crate::stats::{TileMoments, carve, scratch_len};
use crate::stored::{At, SharedValues, ValuesMut};
use crate::tile::{self, Size, Staged, Tile};
use crate::workers::{Floats, Shared, Workers, share};

/// Most tasks of one phase: enough to balance 16 threads, few enough to join quickly.
pub(crate) const TASKS: usize = 16;

/// Rows cut into tiles, and tiles into tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    /// Rows per tile.
    pub(crate) tile: usize,
}

impl Rows {
    /// Tasks for all rows.
    pub(crate) fn tasks(self) -> usize {
        self.count.div_ceil(self.tile).clamp(1, TASKS)
    }

    /// Rows of one of `tasks` tasks: whole tiles.
    pub(crate) fn of_task(self, task: usize, tasks: usize) -> Range<usize> {
        share(self.count, self.tile, task, tasks)
    }

    /// The tiles of some rows.
    pub(crate) fn tiles(self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, step) = (rows.end, self.tile);
        rows.step_by(step).map(move |r| r..(r + step).min(end))
    }
}

/// Tasks along `columns` where rows alone give fewer than [`TASKS`]; whole groups of vectors.
pub(crate) fn column_tasks(row_tasks: usize, columns: usize, lanes: usize) -> usize {
    (TASKS / row_tasks).min(columns / (3 * lanes)).max(1)
}

/// The forward pass of a layer: rows by columns of its output over tasks.
pub(crate) struct ForwardGrid<'a> {
    pub(crate) rows: Rows,
    /// Channels of the output.
    pub(crate) outputs: usize,
    pub(crate) bias: Option<&'a [f32]>,
    /// Floats of scratch memory that `multiply` takes.
    pub(crate) space: usize,
}

impl ForwardGrid<'_> {
    /// Fills `out` tile by tile: `multiply(rows, columns, space, out)` writes the product, then
    /// the bias is added, the tile stored and the moments of what is stored are gathered while
    /// the tile is in cache.
    ///
    /// # Safety
    /// `multiply` must write no more than its rows and columns, given as `out`.
    pub(crate) unsafe fn run(
        &self,
        workers: &mut Workers,
        out: ValuesMut,
        moments: Option<&mut Moments>,
        multiply: impl Fn(&Range<usize>, &Range<usize>, &mut [f32], Out) + Sync,
    ) {
        let outputs = self.outputs;
        assert_eq!(out.len(), self.rows.count * outputs, "output: length");
        assert!(self.bias.is_none_or(|b| b.len() == outputs), "bias: length");
        let isa = workers.isa();
        let row_tasks = self.rows.tasks();
        let column_tasks = column_tasks(row_tasks, outputs, isa.lanes());
        let mut sums = std::mem::take(&mut workers.sums);
        sums.resize(row_tasks * 2 * outputs, 0.0);
        let (target, totals) = (SharedValues::new(out), Shared::new(&mut sums));
        let gather = moments.is_some();
        workers.run(row_tasks * column_tasks, |task, scratch| {
            let (rt, ct) = (task / column_tasks, task % column_tasks);
            let columns = share(outputs, isa.lanes(), ct, column_tasks);
            let width = columns.len();
            let staging = target.staging(self.rows.tile * width);
            let sizes = [self.space, scratch_len(width), 4 * width, staging];
            let [space, stats, total, staging] = carve(scratch, sizes);
            let mut local = DoubleScratch::new(total);
            let mut gathered = TileMoments::new(width, stats, local.slice());
            for rows in self.rows.tiles(self.rows.of_task(rt, row_tasks)) {
                let size = Size::new(rows.len(), width);
                let start = target.at(rows.start * outputs + columns.start);
                let tile = Staged::new(Tile::at(start, outputs), size, staging);
                let product = Out {
                    start: tile.work.start,
                    row: tile.work.row,
                    accumulate: false,
                };
                // SAFETY: rows and columns of this task lie within `out`, and no other task
                // writes them.
                unsafe {
                    multiply(&rows, &columns, space, product);
                    if let Some(b) = self.bias {
                        tile::add_row(isa, size, tile.work, b[columns.clone()].as_ptr());
                    }
                    match gather {
                        true => gathered.store(isa, size.rows, tile),
                        false => tile.store(isa, size),
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
                (0..row_tasks).map(|t| self.rows.of_task(t, row_tasks).len()),
            );
        }
        workers.sums = sums;
    }
}

/// The packed weights, which all tasks read.
pub(crate) struct SendRight(pub(crate) Right);
// SAFETY: tasks only read the packed weights, which outlive the phase.
unsafe impl Sync for SendRight {}

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

/// The gradient at the raw output, `rows` by `columns`: in place where stored so, else computed
/// or widened.
///
/// # Safety
/// Rows and columns must lie within the upstream, checked against `outputs`.
pub(crate) unsafe fn upstream_tile(
    isa: Isa,
    outputs: usize,
    upstream: &Upstream,
    rows: &Range<usize>,
    columns: &Range<usize>,
    space: &mut [f32],
) -> Tile<*const f32> {
    let at = rows.start * outputs + columns.start;
    let g = Tile::at(upstream.g.part(at..upstream.g.len()), outputs);
    if let (None, At::F32(start)) = (upstream.norm, g.start) {
        return Tile::at(start, outputs);
    }
    let size = Size::new(rows.len(), columns.len());
    assert!(space.len() >= size.rows * size.width);
    let out = Tile::at(space.as_mut_ptr(), size.width);
    // SAFETY: the caller vouches for rows and columns; space holds rows x columns.
    unsafe {
        match upstream.norm {
            None => tile::copy(isa, size, g, out.into(), false),
            Some(n) => {
                let coefficients = [n.a, n.b, n.d].map(|p| p[columns.clone()].as_ptr());
                let z = Tile::at(n.z.part(at..n.z.len()), outputs);
                tile::norm_gradient(isa, size, g, z, coefficients, out, false);
            }
        }
    }
    Tile::at(space.as_ptr(), size.width)
}

/// `out` = column sums of the upstream gradient: the gradient of a bias.
pub(crate) fn bias_backward(workers: &Workers, rows: Rows, upstream: &Upstream, out: &mut [f32]) {
    let outputs = out.len();
    assert_eq!(
        upstream.g.len(),
        rows.count * outputs,
        "bias gradient: length"
    );
    out.fill(0.0);
    let target = Shared::new(out);
    // Biases stand where no batch norm follows, on small tensors: one task.
    workers.run(1, |_, scratch| {
        let [space] = carve(scratch, [rows.tile * outputs]);
        for rows in rows.tiles(0..rows.count) {
            // SAFETY: rows lie within the upstream; the only task writes the sums.
            unsafe {
                let isa = workers.isa();
                let g = upstream_tile(isa, outputs, upstream, &rows, &(0..outputs), space);
                tile::sum_rows(isa, Size::new(rows.len(), outputs), g, target.pointer());
            }
        }
    });
}

/// Packs weights, `B(k, j)` at `weights[k * step + j * column]`, over all threads where large.
pub(crate) fn pack_parallel(
    workers: &mut Workers,
    weights: &[f32],
    (k, n): (usize, usize),
    strides: (usize, usize),
) -> Floats {
    let isa = workers.isa();
    let lanes = isa.lanes();
    let mut packed = std::mem::take(&mut workers.packed);
    let space = Shared::new(packed.at_least(packed_len(k, n, lanes)));
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

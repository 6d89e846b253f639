//! Winograd's minimal filtering (arXiv 1509.09308) of windows of 3 and 5 pixels with steps of one:
//! images are cut into overlapping squares of 6 by 6 pixels, and a product of two polynomials'
//! values at 6 points stands for the convolution along each side. A square takes 36 products for
//! each pair of channels, whatever the window: 16 output pixels of a window of 3 (instead of 144
//! products) or 4 output pixels of a window of 5 (instead of 100).
//!
//! With `B` from pixels, `G` from weights and `A` to output pixels (`Aᵀ` its transpose), the output
//! is `Aᵀ (G w Gᵀ ∘ Bᵀ x B) A`; the gradient of the weights is `Gᵀ (A g Aᵀ ∘ Bᵀ x B) G`.

use std::ops::Range;

mod transform;

use super::DenseShape;
use crate::fused::{Rows, TASKS};
use crate::isa::Isa;
use crate::product::{Extents, Left, Out, Right, pack, packed_len, product};
use crate::stats::carve;
use crate::stored::At;
use crate::tile::Tile;
use crate::workers::{Shared, Workers, share};
use transform::{SIDE, Windows, output_gradients, outputs, pixels, weight_gradients, weights};

/// Products per square and pair of channels.
pub(super) const PLANES: usize = SIDE * SIDE;
/// Floats of squares and of their products that are worked on at once, to stay in a second-level
/// cache. Half or twice as many made no difference that could be timed.
const BLOCK: usize = 256 * 1024;
/// Floats of squares that are at the points at once for the gradient of the weights: sums go through
/// memory once for each so many.
const GROUP: usize = 2 * 1024 * 1024;
/// Squares of a tile, where more tasks would have fewer: the rows of a product of matrices.
const FEWEST: usize = 32;
/// Squares whose products are taken to cost what transforming the weights does (timed on networks
/// that end in 256 channels on 4 x 4 pixels: 128 is slower, 32 the same).
const WEIGHTS: usize = 64;
/// Most floats of weights at the points, which several passes over memory take.
const MOST_WEIGHTS: usize = 6 * 1024 * 1024;
/// Most floats of gradients of the weights at the points, where tasks have their own.
const PARTIALS: usize = 2 * 1024 * 1024;

/// How a convolution is cut into squares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd {
    shape: DenseShape,
}

/// Values of squares at each point: that of square `t` and channel `c` lies at
/// `start + point * plane + t * row + c`.
#[derive(Clone, Copy)]
struct Planes {
    start: *mut f32,
    /// An odd number of cache lines: with a power of two the planes would share few places of the
    /// first-level cache.
    plane: usize,
    row: usize,
}

impl Planes {
    fn new(space: &mut [f32], squares: usize, channels: usize) -> Self {
        let plane = odd_lines(squares * channels);
        assert!(space.len() >= PLANES * plane);
        Self {
            start: space.as_mut_ptr(),
            plane,
            row: channels,
        }
    }

    /// From square `t` on.
    fn from(self, t: usize) -> Self {
        Self {
            start: self.start.wrapping_add(t * self.row),
            ..self
        }
    }

    /// The values at point `p`.
    fn at(self, p: usize) -> *mut f32 {
        self.start.wrapping_add(p * self.plane)
    }
}

/// The least odd number of cache lines that hold `floats`, in floats.
fn odd_lines(floats: usize) -> usize {
    floats.div_ceil(16) / 2 * 32 + 16
}

impl Winograd {
    /// Where it takes less time than patches: steps of one pixel, channels that fill most of a
    /// vector, two thirds of the products at most. An image alone may be computed by patches where
    /// many are by squares.
    pub(super) fn of(shape: &DenseShape) -> Option<Self> {
        let (w, winograd) = (&shape.window, Self { shape: *shape });
        let fits = w.stride == 1 && matches!(w.kernel, 3 | 5);
        if !fits || shape.inputs.min(shape.outputs) < 16 {
            return None;
        }
        let products = (winograd.all_squares() + WEIGHTS) * PLANES;
        let fewer = 3 * products <= 2 * w.outputs() * w.kernel * w.kernel;
        // Images that aren't whole lines of squares can't be cut.
        let small = winograd.space(shape.outputs) <= 4 * BLOCK
            && PLANES * shape.inputs * shape.outputs <= MOST_WEIGHTS;
        (fewer && small).then_some(winograd)
    }

    /// Side of a square of output pixels.
    fn step(&self) -> usize {
        SIDE + 1 - self.shape.window.kernel
    }

    /// Squares of one line of an image, and lines.
    fn lines(&self) -> (usize, usize) {
        let (w, m) = (&self.shape.window, self.step());
        (w.out_w.div_ceil(m), w.out_h.div_ceil(m))
    }

    fn all_squares(&self) -> usize {
        let (line, lines) = self.lines();
        self.shape.window.images * lines * line
    }

    /// Output pixels cut into whole lines of squares of an image, or into whole images.
    pub(super) fn rows(&self) -> Rows {
        let (w, m) = (&self.shape.window, self.step());
        let (line, lines) = self.lines();
        let cached = BLOCK / (PLANES * (self.shape.inputs + self.shape.outputs));
        let wanted = cached.min((self.all_squares() / TASKS).max(FEWEST)).max(16);
        let tile = if w.out_h.is_multiple_of(m) && lines * line > wanted {
            let whole = |n: &usize| lines.is_multiple_of(*n) && n * line <= wanted;
            (1..lines).rev().find(whole).unwrap_or(1) * m * w.out_w
        } else {
            (wanted / (lines * line)).max(1) * w.out_h * w.out_w
        };
        Rows {
            count: w.outputs(),
            tile,
        }
    }

    /// Image and first output pixel of each square of the output pixels `rows`, which are cut as
    /// [`Winograd::rows`] cuts them.
    fn places(&self, rows: &Range<usize>) -> impl Iterator<Item = [usize; 3]> + use<> {
        let (w, m) = (self.shape.window, self.step());
        let lines = rows.start / w.out_w..rows.end / w.out_w;
        lines
            .map(move |l| (l / w.out_h, l % w.out_h))
            .filter(move |(_, o)| o.is_multiple_of(m))
            .flat_map(move |(image, o)| (0..w.out_w).step_by(m).map(move |q| [image, o, q]))
    }

    /// How many squares these are.
    fn squares(&self, rows: &Range<usize>) -> usize {
        let (line, lines) = self.lines();
        let height = rows.len() / self.shape.window.out_w;
        let (images, rest) = (
            height / self.shape.window.out_h,
            height % self.shape.window.out_h,
        );
        (images * lines + rest / self.step()) * line
    }

    /// Floats of scratch memory of a tile of `columns` channels.
    pub(super) fn space(&self, columns: usize) -> usize {
        let squares = self.squares(&(0..self.rows().tile));
        let both = [self.shape.inputs, columns].map(|c| odd_lines(squares * c));
        PLANES * both.iter().sum::<usize>()
    }

    /// Cuts scratch memory into the planes of the input and those of `columns` channels.
    fn planes(&self, rows: &Range<usize>, columns: usize, space: &mut [f32]) -> [Planes; 2] {
        let squares = self.squares(rows);
        debug_assert_eq!(squares, self.places(rows).count(), "rows are a tile");
        let inputs = PLANES * odd_lines(squares * self.shape.inputs);
        let (first, second) = space.split_at_mut(inputs);
        [
            Planes::new(first, squares, self.shape.inputs),
            Planes::new(second, squares, columns),
        ]
    }

    /// Floats from one point to the next of packed weights; see [`Planes`].
    fn packed_plane(&self, lanes: usize) -> usize {
        odd_lines(packed_len(self.shape.inputs, self.shape.outputs, lanes))
    }

    /// Packs the weights at the points; of the convolution that this one mirrors, the window turned
    /// by half, where `mirrored`.
    pub(super) fn pack(&self, workers: &mut Workers, from: &[f32], mirrored: bool) {
        let (isa, lanes) = (workers.isa(), workers.isa().lanes());
        let (k, n) = (self.shape.inputs, self.shape.outputs);
        let taps = self.shape.window.kernel * self.shape.window.kernel;
        assert_eq!(from.len(), taps * k * n, "dense weights");
        let plane = self.packed_plane(lanes);
        let mut packed = std::mem::take(&mut workers.packed);
        let space = Shared::new(packed.at_least(PLANES * plane));
        let vectors = n.div_ceil(lanes);
        let blocks = (TASKS / vectors).clamp(1, k.div_ceil(16));
        workers.run(vectors * blocks, |task, scratch| {
            let (v, inputs) = (task / blocks, share(k, 16, task % blocks, blocks));
            let columns = v * lanes..(v * lanes + lanes).min(n);
            let (block, to) = (inputs.len() * lanes, (v * k + inputs.start) * lanes);
            let windows = if mirrored {
                Windows {
                    start: from[inputs.start * taps * n + columns.start..].as_ptr(),
                    tap: n,
                    next: taps * n,
                    columns: columns.len(),
                    turned: true,
                }
            } else {
                let [laid_out] = carve(scratch, [taps * block]);
                for (tap, laid_out) in laid_out.chunks_exact_mut(block).enumerate() {
                    let from = &from[tap * k + inputs.start..];
                    pack(
                        isa,
                        from,
                        (inputs.len(), n),
                        (1, taps * k),
                        v..v + 1,
                        laid_out,
                    );
                }
                Windows {
                    start: laid_out.as_ptr(),
                    tap: block,
                    next: lanes,
                    columns: lanes,
                    turned: false,
                }
            };
            let to = space.pointer().wrapping_add(to);
            // SAFETY: the windows lie within the checked weights or the scratch memory; tasks own
            // disjoint channels of all points, and each point's lie within its plane of `packed`.
            unsafe { weights(isa, self, &windows, inputs.len(), to, plane) };
        });
        workers.packed = packed;
    }

    /// Output pixels cut into groups of tiles whose squares are at the points at once, for the
    /// gradient of the weights.
    pub(super) fn groups(&self) -> Rows {
        let rows = self.rows();
        let square = PLANES * self.gradient_rows().iter().sum::<usize>();
        let tiles = (GROUP / (square * self.squares(&(0..rows.tile)))).max(1);
        Rows {
            tile: (tiles * rows.tile).min(rows.count),
            ..rows
        }
    }

    /// Floats of a square at one point, of the input and of the output's gradient.
    fn gradient_rows(&self) -> [usize; 2] {
        // Products read the same few channels of many squares: those of steps of many cache lines
        // would share few places of the first-level cache.
        [self.shape.inputs, self.shape.outputs].map(|c| match c.is_multiple_of(128) {
            true => c + 16,
            false => c,
        })
    }

    /// Floats of the squares of the output pixels `group`.
    pub(super) fn group_space(&self, group: &Range<usize>) -> usize {
        let squares = self.squares(group);
        let planes = self.gradient_rows().map(|row| odd_lines(squares * row));
        PLANES * planes.iter().sum::<usize>()
    }

    /// Squares of the input and of the output's gradient in `space`, which is as long as
    /// [`Winograd::group_space`] says.
    fn group_planes(&self, group: &Range<usize>, space: *mut f32) -> [Planes; 2] {
        let squares = self.squares(group);
        let mut end = space;
        self.gradient_rows().map(|row| {
            let (start, plane) = (end, odd_lines(squares * row));
            end = start.wrapping_add(PLANES * plane);
            Planes { start, plane, row }
        })
    }

    /// Tasks that each sum the gradient of the weights at the points over some tiles, where that many
    /// sums take little memory.
    pub(super) fn parts(&self) -> usize {
        let fit = PARTIALS / (PLANES * self.shape.outputs * self.shape.inputs);
        fit.min(self.all_squares() / (2 * WEIGHTS))
            .clamp(1, self.rows().tasks())
    }

    /// The gradient of the weights from that at the points, `[point][output][input]`.
    pub(super) fn finish(&self, workers: &Workers, sums: &[f32], out: &mut [f32]) {
        let shape = &self.shape;
        assert_eq!(sums.len(), PLANES * shape.outputs * shape.inputs, "sums");
        assert_eq!(out.len(), shape.weights(), "dense weight gradient");
        let target = Shared::new(out);
        let tasks = (sums.len() / (32 * 1024)).clamp(1, TASKS);
        workers.run(tasks, |task, _| {
            let outputs = share(shape.outputs, 1, task, tasks);
            // SAFETY: tasks own disjoint channels.
            unsafe { weight_gradients(workers.isa(), shape, sums, &outputs, target.pointer()) };
        });
    }

    /// Output pixels `rows`, one of the tiles of [`Winograd::rows`], by channels `columns` of the
    /// convolution of `x` with `packed` weights.
    ///
    /// # Safety
    /// `x` holds the images up to the last row; `rows` is a tile; `packed` is what
    /// [`Winograd::pack`] left; `out` holds the rows and columns.
    pub(super) unsafe fn multiply(
        &self,
        isa: Isa,
        x: At,
        packed: &[f32],
        (rows, columns): (&Range<usize>, &Range<usize>),
        space: &mut [f32],
        out: Out,
    ) {
        let (squares, inputs, width) = (self.squares(rows), self.shape.inputs, columns.len());
        let [data, products] = self.planes(rows, width, space);
        let plane = self.packed_plane(isa.lanes());
        // SAFETY: planes hold the squares; the rest as the caller vouches.
        unsafe {
            pixels(isa, self, x, rows, data);
            for (p, packed) in packed[..PLANES * plane].chunks_exact(plane).enumerate() {
                let right = Right::packed(packed, inputs, self.shape.outputs, isa.lanes());
                let right = right.at_column(columns.start, isa.lanes());
                let out = Out {
                    start: products.at(p),
                    row: width,
                    accumulate: false,
                };
                let left = Left::at(data.at(p), data.row, 1);
                product(isa, Extents::new(squares, width, inputs), left, right, out);
            }
            outputs(isa, self, products, rows, width, out);
        }
    }

    /// Squares of the input and of the output's gradient `g` of the output pixels `rows`, which are
    /// one of the tiles of [`Winograd::rows`] and lie in `group`, at the points.
    ///
    /// # Safety
    /// `x` holds the images up to the last row; `g` holds the rows and all channels; `space` is as
    /// long as [`Winograd::group_space`] says.
    pub(super) unsafe fn gradient_squares(
        &self,
        isa: Isa,
        x: At,
        g: Tile<*const f32>,
        group: &Range<usize>,
        rows: &Range<usize>,
        space: *mut f32,
    ) {
        let before = self.squares(&(0..rows.start - group.start));
        debug_assert!(
            before + self.squares(rows) <= self.squares(group),
            "rows are of the group"
        );
        let [data, gradients] = self.group_planes(group, space).map(|p| p.from(before));
        // SAFETY: planes hold the squares; the rest as the caller vouches.
        unsafe {
            pixels(isa, self, x, rows, data);
            output_gradients(isa, self, g, rows, gradients);
        }
    }

    /// Adds to `sums` (or writes, unless `accumulate`) the gradient of the transformed weights at
    /// `point` over the output pixels `group`: `[point][output][input]`.
    ///
    /// # Safety
    /// `space` holds what [`Winograd::gradient_squares`] left, `sums` the points.
    pub(super) unsafe fn gradient(
        &self,
        isa: Isa,
        group: &Range<usize>,
        point: usize,
        space: *mut f32,
        (sums, accumulate): (*mut f32, bool),
    ) {
        let (inputs, outputs) = (self.shape.inputs, self.shape.outputs);
        let [data, gradients] = self.group_planes(group, space);
        let right = Right {
            start: data.at(point),
            column: isa.lanes(),
            step: data.row,
            padded: false,
        };
        let out = Out {
            start: sums.wrapping_add(point * outputs * inputs),
            row: inputs,
            accumulate,
        };
        let left = Left::at(gradients.at(point), 1, gradients.row);
        let e = Extents::new(outputs, inputs, self.squares(group));
        // SAFETY: handed on.
        unsafe { product(isa, e, left, right, out) };
    }
}

//! Dense convolution, by one of two methods: patches of a tile of output pixels are laid out as rows
//! of a matrix, a few rows of the window at a time so that they stay in the second-level cache; or
//! [`winograd`]'s fewer products, where they pay.

use std::ops::Range;

mod backward;
#[cfg(test)]
mod tests;
mod winograd;

use crate::fused::{ForwardGrid, Rows, pack_parallel};
use crate::isa::{Isa, dispatched};
use crate::product::{Extents, Left, Out, Right, pack, product};
use crate::simd::{Vector, channel_blocks};
use crate::source::Moments;
use crate::stored::{At, Stored, Values, ValuesMut};
use crate::window::Window;
use crate::workers::{Shared, Workers};
use winograd::Winograd;

pub use backward::dense_backward;

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

    /// The convolution from the output's gradient to the input's, where it is one.
    fn mirrored(&self) -> Option<DenseShape> {
        let w = &self.window;
        (w.stride == 1).then(|| DenseShape {
            window: Window {
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

    /// Packs `weights` of the convolution that this one mirrors, the window turned by half, as the
    /// right factor of patches.
    fn pack_mirrored(&self, workers: &mut Workers, weights: &[f32]) {
        let (isa, lanes) = (workers.isa(), workers.isa().lanes());
        let (from, to) = (self.inputs, self.outputs);
        let taps = self.window.kernel * self.window.kernel;
        let (tap, vectors) = (from * lanes, to.div_ceil(lanes));
        let mut packed = std::mem::take(&mut workers.packed);
        let space = Shared::new(packed.at_least(vectors * taps * tap));
        workers.run(vectors, |v, _| {
            // SAFETY: tasks own disjoint vectors of columns.
            let out = unsafe { space.part(v * taps * tap..(v + 1) * taps * tap) };
            for (t, out) in out.chunks_exact_mut(tap).enumerate() {
                let weights = &weights[(taps - 1 - t) * to..];
                pack(isa, weights, (from, to), (taps * to, 1), v..v + 1, out);
            }
        });
        workers.packed = packed;
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
    let isa = workers.isa();
    let convolution = Convolution::of(shape);
    convolution.pack(workers, weights);
    let packed = std::mem::take(&mut workers.packed);
    let grid = ForwardGrid {
        rows: convolution.rows(),
        outputs: shape.outputs,
        bias,
        space: convolution.space(),
    };
    // SAFETY: the convolution writes its rows and columns only; factors are as checked.
    unsafe {
        grid.run(workers, out, moments, |rows, columns, space, out| {
            convolution.multiply(isa, x, &packed, (rows, columns), space, out);
        });
    }
    workers.packed = packed;
}

/// A convolution and the method that computes it.
#[derive(Clone, Copy)]
struct Convolution {
    shape: DenseShape,
    /// Whether it computes the input's gradient of another, whose weights are packed.
    mirrored: bool,
    /// Instead of patches.
    winograd: Option<Winograd>,
}

impl Convolution {
    fn of(shape: &DenseShape) -> Self {
        Self {
            shape: *shape,
            mirrored: false,
            winograd: Winograd::of(shape),
        }
    }

    /// The convolution from the output's gradient to the input's, where it is one and takes less
    /// time than scattering products under the window: where Winograd's method takes less; or with
    /// few channels to sum over, none laid out more than scattered, and vectors of `lanes` mostly
    /// full.
    fn mirrored(shape: &DenseShape, lanes: usize) -> Option<Self> {
        let full = shape.inputs.next_multiple_of(lanes) * 4 <= shape.inputs * 5;
        let few = full && shape.outputs <= shape.inputs.min(FEW);
        let to = Self {
            mirrored: true,
            ..Self::of(&shape.mirrored()?)
        };
        (few || to.winograd.is_some()).then_some(to)
    }

    /// Output pixels in the tiles that [`Convolution::multiply`] takes.
    fn rows(&self) -> Rows {
        match self.winograd {
            Some(w) => w.rows(),
            None => self.shape.rows(),
        }
    }

    /// Floats of scratch memory of a tile.
    fn space(&self) -> usize {
        match self.winograd {
            Some(w) => w.space(self.shape.outputs),
            None => self.shape.patches_len(),
        }
    }

    /// Packs `weights` for the method.
    fn pack(&self, workers: &mut Workers, weights: &[f32]) {
        match (self.winograd, self.mirrored) {
            (Some(w), mirrored) => w.pack(workers, weights, mirrored),
            (None, true) => self.shape.pack_mirrored(workers, weights),
            (None, false) => {
                let extents = (self.shape.patch(), self.shape.outputs);
                workers.packed = pack_parallel(workers, weights, extents, (1, extents.0));
            }
        }
    }

    /// Output pixels `rows`, one of the tiles, by channels `columns`.
    ///
    /// # Safety
    /// `x` holds the images up to the last row, `rows` is a tile, `packed` is what
    /// [`Convolution::pack`] left, `out` holds the rows and columns.
    unsafe fn multiply(
        &self,
        isa: Isa,
        x: Values,
        packed: &[f32],
        (rows, columns): (&Range<usize>, &Range<usize>),
        space: &mut [f32],
        out: Out,
    ) {
        let shape = &self.shape;
        if let Some(w) = self.winograd {
            // SAFETY: handed on.
            return unsafe {
                w.multiply(isa, x.part(0..x.len()), packed, (rows, columns), space, out)
            };
        }
        let right = Right::packed(packed, shape.patch(), shape.outputs, isa.lanes());
        let right = right.at_column(columns.start, isa.lanes());
        for lines in shape.groups() {
            let depth = lines.len() * shape.line();
            layout(isa, shape, x, rows, &lines, space);
            let left = Left::at(space.as_ptr(), depth, 1);
            let start = right
                .start
                .wrapping_add(lines.start * shape.line() * right.step);
            let out = Out {
                accumulate: out.accumulate || lines.start > 0,
                ..out
            };
            let e = Extents::new(rows.len(), columns.len(), depth);
            // SAFETY: the patches are as long as laid out; the rest as the caller vouches.
            unsafe { product(isa, e, left, Right { start, ..right }, out) };
        }
    }
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
    let (w, images) = (&shape.window, place(&shape.window, rows.end - 1).0 + 1);
    assert!(x.len() >= images * w.h * w.w * shape.inputs);
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

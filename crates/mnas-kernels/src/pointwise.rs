//! Pointwise (1x1, stride 1) convolution, fused with the batch norm, activation and gate of what
//! it reads, the statistics of what it writes, and in the backward pass with batch norm's.

use std::ops::Range;

use crate::fused::{ForwardGrid, Rows, SendRight, pack_parallel};
use crate::isa::Isa;
use crate::product::{Extents, Left, Right, product};
use crate::source::{Moments, Source};
use crate::stats::affine_at;
use crate::stored::{At, ValuesMut};
use crate::tile::{self, Size, Tile};
use crate::workers::Workers;

mod backward;
#[cfg(test)]
mod tests;

pub use backward::pointwise_backward;

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

impl PointwiseShape {
    /// Rows, in tiles whose input, gradient and output stay in the second-level cache together.
    fn rows(self) -> Rows {
        let row_bytes = 4 * (2 * self.inputs + self.outputs);
        let tile = (192 * 1024 / row_bytes / 48 * 48).clamp(48, 480);
        Rows {
            count: self.images * self.pixels,
            tile,
        }
    }
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
    out: ValuesMut,
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
    let isa = workers.isa();
    let packed = pack_parallel(workers, weights, (inputs, outputs), (1, inputs));
    let right = SendRight(Right::packed(&packed, inputs, outputs, isa.lanes()));
    let right = &right;
    let rows = shape.rows();
    let grid = ForwardGrid {
        rows,
        outputs,
        bias,
        space: rows.tile * inputs,
    };
    // SAFETY: the product writes its rows and columns only; factors are as checked.
    unsafe {
        grid.run(workers, out, moments, |rows, columns, space, out| {
            let left = active_tile(isa, shape, source, rows, space);
            let right = right.0.at_column(columns.start, isa.lanes());
            product(
                isa,
                Extents::new(rows.len(), columns.len(), inputs),
                left,
                right,
                out,
            );
        });
    }
    workers.packed = packed;
}

/// The activations of `rows`: in place where stored so, else computed or widened into `space`.
///
/// # Safety
/// The rows must lie within the source, checked against `shape`.
unsafe fn active_tile(
    isa: Isa,
    shape: PointwiseShape,
    source: &Source,
    rows: &Range<usize>,
    space: &mut [f32],
) -> Left {
    let c = shape.inputs;
    let raw = source.raw.part(rows.start * c..rows.end * c);
    if let (true, At::F32(raw)) = (source.is_plain(), raw) {
        return Left::at(raw, c, 1);
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
        let size = Size::new(end - row, c);
        // SAFETY: `at` and the size stay within the rows, for which raw and space were checked.
        unsafe {
            let x = Tile::at(raw.skip(at), c);
            let out = Tile::at(space.as_mut_ptr().add(at), c);
            tile::activate(isa, size, x, affine, source.act, gate, out);
        }
        row = end;
    }
    Left::at(space.as_ptr(), c, 1)
}

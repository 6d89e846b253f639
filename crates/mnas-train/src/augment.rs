//! Random changes of training images, on bytes, as a function of seed, epoch and image only.

use mnas_net::{Shape, Stream};
use serde::{Deserialize, Serialize};

use crate::dataset::resize::crop_and_resize;
use crate::dataset::split::centre;

#[cfg(test)]
mod tests;

/// What lies outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadFill {
    /// Black.
    Zero,
    /// The image mirrored at its edge, the edge pixel not repeated.
    Reflect,
}

/// Random changes of a training image, applied in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// A box of 8 to 100 % of the stored image's area and an aspect ratio of 3/4 to 4/3, both
    /// uniform, scaled to the network's input; after 10 boxes that don't fit, the evaluation crop
    /// (as the reference code of MnasNet). Excludes `pad_crop`.
    pub random_resized_crop: bool,
    /// Shifts the evaluation crop by up to this many pixels each way; 0 for none.
    pub pad_crop: usize,
    /// What a shifted crop shows beyond the stored image.
    pub pad_fill: PadFill,
    /// Mirrors left and right half of the time.
    pub flip: bool,
    /// Side of a square set to the mean colour, its centre anywhere in the image; 0 for none.
    pub cutout: usize,
}

impl Augment {
    /// No change at all.
    pub const NONE: Self = Self {
        random_resized_crop: false,
        pad_crop: 0,
        pad_fill: PadFill::Zero,
        flip: false,
        cutout: 0,
    };

    /// Writes the changed image into `out` (of shape `to`); `stored` (of shape `from`) is the
    /// image as kept, at least as large. `mean` is the colour of cut-outs, a byte per channel.
    pub(crate) fn apply(
        &self,
        stored: &[u8],
        (from, to): (Shape, Shape),
        mean: &[u8],
        random: &mut Stream,
        out: &mut [u8],
    ) {
        let crop = self.random_resized_crop.then(|| random_box(from, random));
        if let Some(Some(crop)) = crop {
            out.copy_from_slice(&crop_and_resize(stored, from, crop, to));
        } else if self.pad_crop > 0 {
            let mut shift =
                || random.below(2 * self.pad_crop + 1) as isize - self.pad_crop as isize;
            let by = (shift(), shift());
            shifted(stored, (from, to), by, self.pad_fill, out);
        } else {
            centre(stored, from, to, out);
        }
        if self.flip && random.bits() & 1 == 1 {
            mirror(out, to);
        }
        if self.cutout > 0 {
            let at = (random.below(to.h), random.below(to.w));
            cut_out(out, to, at, self.cutout, mean);
        }
    }
}

/// A box `(top, left, height, width)` inside an image, or `None` where ten draws don't fit.
fn random_box(from: Shape, random: &mut Stream) -> Option<(usize, usize, usize, usize)> {
    for _ in 0..10 {
        let area = from.pixels() as f64 * (0.08 + 0.92 * random.uniform());
        let aspect = 0.75 + (4.0 / 3.0 - 0.75) * random.uniform();
        let width = ((area * aspect).sqrt().round() as usize).max(1);
        let height = ((area / aspect).sqrt().round() as usize).max(1);
        if width <= from.w && height <= from.h {
            let top = random.below(from.h - height + 1);
            let left = random.below(from.w - width + 1);
            return Some((top, left, height, width));
        }
    }
    None
}

/// Copies the centre crop moved by `by` (down, right).
fn shifted(
    stored: &[u8],
    (from, to): (Shape, Shape),
    by: (isize, isize),
    fill: PadFill,
    out: &mut [u8],
) {
    let c = from.c;
    let top = ((from.h - to.h) / 2) as isize + by.0;
    let left = ((from.w - to.w) / 2) as isize + by.1;
    for (y, row) in out.chunks_exact_mut(to.w * c).enumerate() {
        let sy = source_index(top + y as isize, from.h, fill);
        for (x, pixel) in row.chunks_exact_mut(c).enumerate() {
            let sx = source_index(left + x as isize, from.w, fill);
            match (sy, sx) {
                (Some(sy), Some(sx)) => {
                    let at = (sy * from.w + sx) * c;
                    pixel.copy_from_slice(&stored[at..at + c]);
                }
                _ => pixel.fill(0),
            }
        }
    }
}

/// The pixel of a line of `n` that position `i` shows; `None` for black.
fn source_index(i: isize, n: usize, fill: PadFill) -> Option<usize> {
    if (0..n as isize).contains(&i) {
        return Some(i as usize);
    }
    match fill {
        PadFill::Zero => None,
        PadFill::Reflect => {
            let period = (2 * (n as isize - 1)).max(1);
            let at = i.rem_euclid(period);
            Some(at.min(period - at) as usize % n)
        }
    }
}

fn mirror(image: &mut [u8], shape: Shape) {
    for row in image.chunks_exact_mut(shape.w * shape.c) {
        row.reverse();
        // That reversed the channels too.
        row.chunks_exact_mut(shape.c).for_each(<[u8]>::reverse);
    }
}

fn cut_out(image: &mut [u8], shape: Shape, (y, x): (usize, usize), side: usize, mean: &[u8]) {
    let span =
        |at: usize, end: usize| at.saturating_sub(side / 2)..(at + side.div_ceil(2)).min(end);
    for row in span(y, shape.h) {
        for column in span(x, shape.w) {
            let at = (row * shape.w + column) * shape.c;
            image[at..at + shape.c].copy_from_slice(mean);
        }
    }
}

//! JPEG as cameras and the web write it: sequential, 8 bits, Huffman codes, gray or YCbCr (T.81,
//! JFIF 1.02).
//!
//! Of whole pictures [`decode`] gives the bytes of libjpeg-turbo's default path, bit for bit where
//! that was compared: all but 4:4:0. It gives `None` for whatever is unusual or wrong: progressive
//! pictures, other colours or samplings, several scans, any damage. What to make of those is left to
//! the general decoder, so this one has no opinion on errors.

mod bits;
mod frame;
mod head;
mod huffman;
mod scan;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use mnas_kernels::Isa;
use mnas_kernels::jpeg::Arithmetic;

use super::source::Picture;
use frame::{Frame, Plane};
use huffman::Tables;

pub(crate) use head::Head;

/// Largest scratch that a thread keeps for its next picture, in bytes.
const KEPT_BYTES: usize = 16 << 20;
/// Reduced sizes, in eighths, worth another step of scaling.
const REDUCED: std::ops::RangeInclusive<usize> = 1..=6;

/// What decoding needs beside the picture, kept from one to the next.
#[derive(Default)]
struct Scratch {
    /// Entropy-coded bytes without stuffing.
    coded: bits::Coded,
    tables: Tables,
    planes: [Plane; 3],
    /// A row of each chroma at luma's width.
    chroma: [Vec<u8>; 2],
}

impl Scratch {
    /// Capacity held, but for at most eight tables of 9 KB.
    fn bytes(&self) -> usize {
        let planes: usize = self.planes.iter().map(Plane::bytes).sum();
        let chroma: usize = self.chroma.iter().map(Vec::capacity).sum();
        self.coded.capacity() + planes + chroma
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The smallest size, in eighths, at which a picture of `width x height` still covers `kept`.
fn eighths((width, height): (usize, usize), kept: (usize, usize)) -> usize {
    let covers = |n: &usize| width * n / 8 >= kept.0 && height * n / 8 >= kept.1;
    REDUCED.into_iter().find(covers).unwrap_or(8)
}

/// The picture as stored in the file, not turned upright. Where `kept` (width and height) is given,
/// it may come as few eighths of its size as still cover that: the transform skips the
/// frequencies that scaling would remove. And sides that a centred cut to those proportions removes
/// may be cut off already, as much at either side.
pub(crate) fn decode(head: &Head, kept: Option<(usize, usize)>) -> Option<Picture> {
    decode_with(Isa::detect(), head, kept)
}

fn decode_with(isa: Isa, head: &Head, kept: Option<(usize, usize)>) -> Option<Picture> {
    let size = kept.map_or(8, |kept| eighths((head.width, head.height), kept));
    let frame = Frame::new(head, size, kept)?;
    SCRATCH.with_borrow_mut(|scratch| {
        let picture = frame.decode(Arithmetic::new(isa), head, scratch);
        if scratch.bytes() > KEPT_BYTES {
            *scratch = Scratch::default();
        }
        picture
    })
}

//! From coded data to planes of samples, and from planes to a picture.

use std::ops::Range;

use mnas_kernels::jpeg::{Arithmetic, Block, Compiled, DCT_ROW, Upsample, inverse_dct_flat};

use super::Scratch;
use super::bits::{Bits, Coded};
use super::head::Head;
use super::huffman::{Kind, Tables};
use super::scan::{Coding, Found, Steps};
use crate::dataset::source::Picture;

/// Samples of a component.
#[derive(Default)]
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
}

impl Plane {
    /// Capacity held.
    pub(super) fn bytes(&self) -> usize {
        self.samples.capacity()
    }

    /// `width` samples of row `y`, from sample `x`.
    fn row(&self, y: usize, x: usize, width: usize) -> &[u8] {
        &self.samples[y * self.stride + x..][..width]
    }
}

/// How a component lies in the frame.
#[derive(Clone, Copy)]
struct Layout {
    /// Blocks per MCU, across and down.
    blocks: (usize, usize),
    /// Side of a transformed block in samples.
    size: usize,
}

/// How a frame is decoded.
pub(super) struct Frame {
    /// Width and height of the whole picture at the size that it is made, in pixels.
    whole: (usize, usize),
    /// Columns and rows cut off at each side.
    cut: (usize, usize),
    /// MCUs across and down that the cut leaves something of, with one more at each side for upsampling.
    seen: (Range<usize>, Range<usize>),
    /// MCUs across and down.
    mcus: (usize, usize),
    layouts: Vec<Layout>,
    /// What chroma needs to reach the size of luma.
    chroma: Upsample,
}

impl Frame {
    /// A frame at `size` eighths, without the sides that `kept` has no place for; `None` where it isn't
    /// the common case.
    pub(super) fn new(head: &Head, size: usize, kept: Option<(usize, usize)>) -> Option<Self> {
        if !head.sequential || !head.one_scan {
            return None;
        }
        let components = head.components();
        let chroma = match components {
            [luma] if luma.sampling == (1, 1) => Upsample::No,
            [luma, cb, cr] if head.is_ycc() && (cb.sampling, cr.sampling) == ((1, 1), (1, 1)) => {
                match luma.sampling {
                    (1, 1) => Upsample::No,
                    (2, 1) => Upsample::Across,
                    (1, 2) => Upsample::Down,
                    (2, 2) => Upsample::Both,
                    _ => return None,
                }
            }
            _ => return None,
        };
        let (across, down) = components[0].sampling;
        // At half size and below, chroma of 4:2:0 has the frequencies to need no upsampling.
        let doubled = chroma == Upsample::Both && size <= 4;
        let layouts = components.iter().enumerate().map(|(c, component)| Layout {
            blocks: component.sampling,
            size: if c > 0 && doubled { 2 * size } else { size },
        });
        // Rounded down: of a pixel that is there in part, the rest is the encoder's padding.
        let whole = [head.width, head.height].map(|n| (n * size / 8).max(1));
        let whole = (whole[0], whole[1]);
        let cut = kept.map_or((0, 0), |(w, h)| {
            (sides(whole.0, whole.1, w, h), sides(whole.1, whole.0, h, w))
        });
        let mcus = (
            head.width.div_ceil(8 * across),
            head.height.div_ceil(8 * down),
        );
        let seen = |cut: usize, whole: usize, mcu: usize, mcus: usize| {
            (cut / mcu).saturating_sub(1)..((whole - cut).div_ceil(mcu) + 1).min(mcus)
        };
        Some(Self {
            seen: (
                seen(cut.0, whole.0, across * size, mcus.0),
                seen(cut.1, whole.1, down * size, mcus.1),
            ),
            whole,
            cut,
            mcus,
            layouts: layouts.collect(),
            chroma: if doubled { Upsample::No } else { chroma },
        })
    }

    /// Decodes the frame that `head` stands before.
    pub(super) fn decode(
        &self,
        arithmetic: Arithmetic,
        head: &Head,
        scratch: &mut Scratch,
    ) -> Option<Picture> {
        scratch.coded.fill(head.data)?;
        self.check_length(head, &scratch.coded)?;
        for c in head.components() {
            for (kind, at) in [(Kind::Dc, c.huffman.0), (Kind::Ac, c.huffman.1)] {
                let definition = (*head.huffman[kind as usize].get(at)?)?;
                scratch.tables.set(kind, at, definition)?;
            }
        }
        for (plane, layout) in scratch.planes.iter_mut().zip(&self.layouts) {
            // The last block of a row is stored past its end.
            plane.stride = self.mcus.0 * layout.blocks.0 * layout.size + DCT_ROW;
            let rows = self.mcus.1 * layout.blocks.1 * layout.size;
            plane.samples.resize(plane.stride * rows, 0);
        }
        arithmetic.run(Scan {
            frame: self,
            arithmetic,
            restart: head.restart,
            coded: &scratch.coded,
            codings: codings(head, &scratch.tables)?,
            planes: &mut scratch.planes,
        })?;
        Some(self.picture(arithmetic, &scratch.planes, &mut scratch.chroma))
    }

    /// Whether the data can hold all blocks, at two bits each, before memory is taken for them.
    fn check_length(&self, head: &Head, coded: &Coded) -> Option<()> {
        let mcus = self.mcus.0 * self.mcus.1;
        let intervals = match head.restart {
            0 => 1,
            n => mcus.div_ceil(n),
        };
        let blocks: usize = self.layouts.iter().map(|l| l.blocks.0 * l.blocks.1).sum();
        (coded.intervals() == intervals && 8 * coded.len() >= 2 * mcus * blocks).then_some(())
    }

    fn picture(
        &self,
        arithmetic: Arithmetic,
        planes: &[Plane; 3],
        rows: &mut [Vec<u8>; 2],
    ) -> Picture {
        let (left, top) = self.cut;
        let (width, height) = (self.whole.0 - 2 * left, self.whole.1 - 2 * top);
        let channels = self.layouts.len();
        let mut pixels = vec![0; width * height * channels];
        for (y, out) in pixels.chunks_exact_mut(width * channels).enumerate() {
            let y = top + y;
            let luma = planes[0].row(y, left, width);
            if channels == 1 {
                out.copy_from_slice(luma);
                continue;
            }
            if self.chroma == Upsample::No {
                let [cb, cr] = [1, 2].map(|c| planes[c].row(y, left, width));
                arithmetic.ycc_to_rgb(luma, cb, cr, out);
                continue;
            }
            for (row, plane) in rows.iter_mut().zip(&planes[1..]) {
                self.upsampled(arithmetic, y, plane, row);
            }
            let [cb, cr] = [0, 1].map(|c| &rows[c][left..][..width]);
            arithmetic.ycc_to_rgb(luma, cb, cr, out);
        }
        Picture {
            width,
            height,
            channels,
            pixels,
        }
    }

    /// Row `y` of a chroma plane at the width of luma, or one sample more.
    fn upsampled(&self, arithmetic: Arithmetic, y: usize, plane: &Plane, out: &mut Vec<u8>) {
        let (width, height) = self.whole;
        let (across, down) = match self.chroma {
            Upsample::No => (1, 1),
            Upsample::Across => (2, 1),
            Upsample::Down => (1, 2),
            Upsample::Both => (2, 2),
        };
        let (width, last) = (width.div_ceil(across), height.div_ceil(down) - 1);
        let (near, lower) = (y / down, y % 2 == 1);
        let far = if lower {
            (near + 1).min(last)
        } else {
            near.saturating_sub(1)
        };
        let far = if down == 1 { near } else { far };
        out.resize(width * across, 0);
        let (near, far) = (plane.row(near, 0, width), plane.row(far, 0, width));
        arithmetic.upsample(self.chroma, lower, near, far, out);
    }
}

/// How much to cut off each side of `length`, where the other direction is `other`, so that what is
/// scaled to cover `kept` by `kept_other` and cut to it stays the same: centred, and with margin for
/// the filter that scales.
fn sides(length: usize, other: usize, kept: usize, kept_other: usize) -> usize {
    let (kept, kept_other) = (kept.max(1), kept_other.max(1));
    let needed = (other * kept).div_ceil(kept_other) + 2 * (other.div_ceil(kept_other) + 2);
    length.saturating_sub(needed) / 2
}

/// How each component is coded.
fn codings<'a>(head: &Head, tables: &'a Tables) -> Option<Vec<Coding<'a>>> {
    let coding = |c: &super::head::Component| {
        let table = (*head.quantisation.get(c.quantisation)?)?;
        Some(Coding {
            dc: tables.get(Kind::Dc, c.huffman.0)?,
            ac: tables.get(Kind::Ac, c.huffman.1)?,
            steps: Steps::new(table),
            previous: 0,
        })
    };
    head.components().iter().map(coding).collect()
}

/// The one scan of a frame.
struct Scan<'a> {
    frame: &'a Frame,
    arithmetic: Arithmetic,
    /// MCUs between restart markers, or 0.
    restart: usize,
    coded: &'a Coded,
    codings: Vec<Coding<'a>>,
    planes: &'a mut [Plane; 3],
}

impl Compiled for Scan<'_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run(mut self) -> Option<()> {
        let mut block = Block([0; 64]);
        let mut bits = self.coded.interval(0)?;
        let (mut interval, mut until_restart) = (0, self.restart);
        for my in 0..self.frame.mcus.1 {
            for mx in 0..self.frame.mcus.0 {
                if self.restart > 0 {
                    if until_restart == 0 {
                        if !bits.finished() {
                            return None;
                        }
                        interval += 1;
                        bits = self.coded.interval(interval)?;
                        self.codings.iter_mut().for_each(|c| c.previous = 0);
                        until_restart = self.restart;
                    }
                    until_restart -= 1;
                }
                self.mcu((mx, my), &mut bits, &mut block)?;
            }
            if bits.overrun() {
                return None;
            }
        }
        bits.finished().then_some(())
    }
}

impl Scan<'_> {
    /// Decodes an MCU into the planes. `block` is all zeros before and after.
    #[inline(always)]
    fn mcu(&mut self, (mx, my): (usize, usize), bits: &mut Bits, block: &mut Block) -> Option<()> {
        let seen = &self.frame.seen;
        let seen = seen.0.contains(&mx) && seen.1.contains(&my);
        let components = self.codings.iter_mut().zip(&self.frame.layouts);
        for ((coding, layout), plane) in components.zip(&mut *self.planes) {
            let ((across, down), size) = (layout.blocks, layout.size);
            for v in 0..down {
                let row = (my * down + v) * size * plane.stride;
                for h in 0..across {
                    let at = row + (mx * across + h) * size;
                    let out = &mut plane.samples[at..];
                    match coding.block(bits, block)? {
                        Found::Whole if !seen => block.0 = [0; 64],
                        Found::Flat(_) if !seen => {}
                        Found::Flat(dc) => inverse_dct_flat(size, dc, out, plane.stride),
                        Found::Whole => {
                            let stride = plane.stride;
                            self.arithmetic.inverse_dct(size, block, out, stride);
                            block.0 = [0; 64];
                        }
                    }
                }
            }
        }
        Some(())
    }
}

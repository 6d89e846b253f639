//! Blocks from bits (T.81, F.2).

use mnas_kernels::jpeg::{Block, place};

use super::bits::{Bits, LOOK, NEEDED};
use super::huffman::{END, Entry, Table};

/// Symbols looked up between two refills: as many as fit into the bits that a refill leaves, with
/// codes of up to [`LOOK`] bits and values of up to 15.
const UNROLLED: u32 = NEEDED / (LOOK + 15);

/// Row and column of each coefficient in the order of coding (T.81, figure A.6), as `8 r + c`.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// For each coefficient in the order of coding its quantisation step and its place in a block.
#[derive(Debug, Clone)]
pub(super) struct Steps([(i16, u8); 64]);

impl Steps {
    /// Of a quantisation table in zigzag order.
    pub(super) fn new(table: &[u8; 64]) -> Self {
        Self(std::array::from_fn(|k| {
            let at = usize::from(ZIGZAG[k]);
            (i16::from(table[k]), place(at / 8, at % 8) as u8)
        }))
    }
}

/// What [`Coding::block`] found.
pub(super) enum Found {
    /// Only a DC coefficient, which was not written.
    Flat(i16),
    /// More.
    Whole,
}

/// How a component is coded.
pub(super) struct Coding<'a> {
    pub(super) dc: &'a Table,
    pub(super) ac: &'a Table,
    pub(super) steps: Steps,
    /// DC of the block before.
    pub(super) previous: i32,
}

impl Coding<'_> {
    /// Decodes and dequantises a block into one of zeros. `None` for what no encoder writes.
    #[inline(always)]
    pub(super) fn block(&mut self, bits: &mut Bits, block: &mut Block) -> Option<Found> {
        // A copy stays in registers.
        let mut b = *bits;
        b.refill();
        let entry = self.dc.fast[b.peek(LOOK) as usize];
        let difference = if entry != Entry::NONE {
            entry.take(&mut b)
        } else {
            let (_, value, rest) = self.dc.slow(b)?;
            b = rest;
            value
        };
        self.previous = self.previous.wrapping_add(difference);
        let dc = (self.previous as i16).wrapping_mul(self.steps.0[0].0);
        let end = self.coefficients(&mut b, block)?;
        *bits = b;
        if end == END {
            return Some(Found::Flat(dc));
        }
        block.0[0] = dc;
        Some(Found::Whole)
    }

    /// Decodes the AC coefficients and returns where they ended: 63, or [`END`] past the last.
    #[inline(always)]
    fn coefficients(&self, b: &mut Bits, block: &mut Block) -> Option<u32> {
        let mut k = 0;
        let put = |block: &mut Block, k: u32, value: i16| {
            let (step, place) = self.steps.0[(k & 63) as usize];
            block.0[usize::from(place & 63)] = value.wrapping_mul(step);
        };
        loop {
            b.refill();
            for _ in 0..UNROLLED {
                let entry = self.ac.fast[b.peek(LOOK) as usize];
                let slow = entry == Entry::NONE;
                let value = if slow {
                    let (skip, value, rest) = self.ac.slow(*b)?;
                    *b = rest;
                    k += skip;
                    value as i16
                } else {
                    k += entry.skip();
                    entry.take(b) as i16
                };
                if k >= 63 {
                    if k == 63 {
                        put(block, k, value);
                    }
                    return (k == 63 || k >= END).then_some(k);
                }
                put(block, k, value);
                if slow {
                    break;
                }
            }
        }
    }
}

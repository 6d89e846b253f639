//! Arithmetic of JPEG decoding (ITU-T T.81): inverse transform, upsampling, colour, in integers.
//!
//! Each step gives the bytes that libjpeg-turbo's default path gives (`jidctint`, "fancy"
//! upsampling, `jdcolor`) at full size, on every instruction set; upsampling of 4:4:0 wasn't
//! compared. Of a reduced size only the low frequencies are transformed: a block of 8 x 8 becomes
//! `n x n` pixels, which is cheaper than scaling later.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
#[cfg(test)]
mod tests;
mod upsample;

use crate::isa::Isa;

pub use upsample::Upsample;

/// Dequantised coefficients of a block, stored where [`place`] says.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Block(pub [i16; 64]);

/// Where [`Block`] holds the coefficient of a row (vertical frequency) and column, both below 8.
///
/// Rows `r` and `r + 4` alternate: the transform multiplies and adds pairs of 16-bit numbers.
pub const fn place(row: usize, column: usize) -> usize {
    (row % 4) * 16 + column * 2 + row / 4
}

/// Fraction bits of [`BASIS`].
const BASIS_BITS: u32 = 13;
/// Fraction bits kept between the two passes, as `jidctint` does.
const PASS_BITS: u32 = 2;
/// Rounding and shift of the first pass.
const FIRST: (i32, u32) = (1 << (BASIS_BITS - PASS_BITS - 1), BASIS_BITS - PASS_BITS);
const SECOND_SHIFT: u32 = BASIS_BITS + PASS_BITS + 3;
/// Rounding and shift of the second pass, and the level shift by 128 (T.81, A.3.1).
const SECOND: (i32, u32) = (
    (1 << (SECOND_SHIFT - 1)) + (128 << SECOND_SHIFT),
    SECOND_SHIFT,
);

/// `BASIS[n][i][k]`: weight of frequency `k` in sample `i` of `n`, `sqrt(2) cos((2i + 1) k pi / 2n)`
/// (1 where `k` is 0) in 13 bits. Sample `n - 1 - i` has the same weights, odd ones negated.
/// Those of 8 are the sums of `jidctint`'s constants, which differ in the last digit.
const BASIS: [[[i16; 8]; 4]; 9] = [
    [[0; 8]; 4],
    [[8192, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8], [0; 8]],
    [[8192, 8192, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8], [0; 8]],
    [
        [8192, 10033, 5793, 0, 0, 0, 0, 0],
        [8192, 0, -11585, 0, 0, 0, 0, 0],
        [0; 8],
        [0; 8],
    ],
    [
        [8192, 10703, 8192, 4433, 0, 0, 0, 0],
        [8192, 4433, -8192, -10703, 0, 0, 0, 0],
        [0; 8],
        [0; 8],
    ],
    [
        [8192, 11018, 9373, 6810, 3580, 0, 0, 0],
        [8192, 6810, -3580, -11018, -9373, 0, 0, 0],
        [8192, 0, -11585, 0, 11585, 0, 0, 0],
        [0; 8],
    ],
    [
        [8192, 11190, 10033, 8192, 5793, 2998, 0, 0],
        [8192, 8192, 0, -8192, -11585, -8192, 0, 0],
        [8192, 2998, -10033, -8192, 5793, 11190, 0, 0],
        [0; 8],
    ],
    [
        [8192, 11295, 10438, 9058, 7223, 5027, 2578, 0],
        [8192, 9058, 2578, -5027, -10438, -11295, -7223, 0],
        [8192, 5027, -7223, -11295, -2578, 9058, 10438, 0],
        [8192, 0, -11585, 0, 11585, 0, -11585, 0],
    ],
    [
        [8192, 11363, 10703, 9633, 8192, 6437, 4433, 2260],
        [8192, 9633, 4433, -2259, -8192, -11362, -10704, -6436],
        [8192, 6437, -4433, -11362, -8192, 2261, 10704, 9633],
        [8192, 2260, -10703, -6436, 8192, 9633, -4433, -11363],
    ],
];

/// Bytes that [`Arithmetic::inverse_dct`] writes per row, of which the first `size` count.
pub const DCT_ROW: usize = 8;

/// The arithmetic on one instruction set.
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic {
    /// Whether AVX2, BMI1, BMI2 and LZCNT are there and to be used.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    avx2: bool,
}

/// Code to be compiled for the instruction set at hand, by [`Arithmetic::run`].
pub trait Compiled {
    /// What it returns.
    type Output;

    /// The code; to be marked `#[inline(always)]`, as is all that it calls and that is to profit.
    fn run(self) -> Self::Output;
}

impl Arithmetic {
    /// On `isa`.
    ///
    /// # Panics
    /// Where the processor lacks it.
    pub fn new(isa: Isa) -> Self {
        assert!(isa.available(), "this processor has no {}", isa.name());
        #[cfg(target_arch = "x86_64")]
        let avx2 = isa != Isa::Portable
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        #[cfg(not(target_arch = "x86_64"))]
        let avx2 = false;
        Self { avx2 }
    }

    /// Runs code compiled for AVX2 and BMI2 (shifts by any number of bits in one step), or as the
    /// rest of the program is.
    #[inline]
    pub fn run<C: Compiled>(self, code: C) -> C::Output {
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
            fn wide<C: Compiled>(code: C) -> C::Output {
                code.run()
            }
            // SAFETY: `new` has seen all four.
            return unsafe { wide(code) };
        }
        code.run()
    }

    /// Transforms a block to `size x size` pixels (`size` is 1 to 8) at the start of `out`, whose
    /// rows are `stride` apart.
    ///
    /// [`DCT_ROW`] bytes of each row are written, so blocks of a row must be written left to right.
    /// Intermediate values saturate at 16 bits, which pictures never reach.
    ///
    /// # Panics
    /// Where `size` is none of 1 to 8, or `out` shorter than `(size - 1) * stride + 8`.
    #[inline]
    pub fn inverse_dct(self, size: usize, block: &Block, out: &mut [u8], stride: usize) {
        assert!(block_fits(size, out.len(), stride));
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `new` has seen AVX2; `out` was checked.
            return unsafe { avx2::inverse_dct(size, block, out, stride) };
        }
        portable::inverse_dct(size, block, out, stride);
    }

    /// Full-range YCbCr of ITU-R BT.601 (JFIF 1.02) to RGB: `rgb[3 i..]` from element `i` of each.
    ///
    /// # Panics
    /// Where lengths differ, or `rgb` is not three times as long.
    pub fn ycc_to_rgb(self, y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
        assert!(cb.len() == y.len() && cr.len() == y.len() && rgb.len() == 3 * y.len());
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `new` has seen AVX2; lengths were checked.
            return unsafe { avx2::ycc_to_rgb(y, cb, cr, rgb) };
        }
        portable::ycc_to_rgb(y, cb, cr, rgb);
    }
}

/// Whether `size` rows of a block lie within `len` bytes, for any `stride`.
#[inline]
fn block_fits(size: usize, len: usize, stride: usize) -> bool {
    // A product past the largest number is past every slice.
    (1..=8).contains(&size) && len >= stride.saturating_mul(size - 1).saturating_add(DCT_ROW)
}

/// [`Arithmetic::inverse_dct`] of a block whose only coefficient is `dc`.
///
/// # Panics
/// As that.
#[inline]
pub fn inverse_dct_flat(size: usize, dc: i16, out: &mut [u8], stride: usize) {
    assert!(block_fits(size, out.len(), stride));
    let value = ((i32::from(dc) + 4) >> 3) + 128;
    let row = [value.clamp(0, 255) as u8; DCT_ROW];
    for y in 0..size {
        out[y * stride..][..DCT_ROW].copy_from_slice(&row);
    }
}

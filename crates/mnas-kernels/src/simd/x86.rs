//! AVX-512 and AVX2 vectors.

use std::arch::x86_64::*;

use super::Vector;

/// AVX-512 mask of the first `n` lanes, `n <= 16`.
#[inline(always)]
fn mask16(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

/// AVX2 mask of the first `n` lanes, `n <= 8`.
#[inline(always)]
unsafe fn mask8(n: usize) -> __m256i {
    static ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(n <= 8);
    // SAFETY: 8 - n lies in 0..=8, so eight integers from there lie inside the array.
    unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - n).cast()) }
}

impl Vector for __m512 {
    const LEN: usize = 16;
    const ROWS: [usize; 3] = [16, 12, 8];

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_set1_ps(v) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_storeu_ps(p, self) }
    }

    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_maskz_loadu_ps(mask16(n), p) }
    }

    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_mask_storeu_ps(p, mask16(n), self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }

    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_add_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_sub_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_mul_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_div_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_max_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_min_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_sqrt_ps(self) }
    }

    #[inline(always)]
    unsafe fn keep_gt(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), self) }
    }

    #[inline(always)]
    unsafe fn keep_ge(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b), self) }
    }

    #[inline(always)]
    unsafe fn transpose_8x8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: the caller has the instruction set and vouches for both blocks.
        unsafe { transpose_8x8(from, from_row, to, to_row) }
    }
}
impl Vector for __m256 {
    const LEN: usize = 8;
    const ROWS: [usize; 3] = [12, 6, 4];

    #[inline(always)]
    unsafe fn splat(v: f32) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_set1_ps(v) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_storeu_ps(p, self) }
    }

    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_maskload_ps(p, mask8(n)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_maskstore_ps(p, mask8(n), self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_fmadd_ps(self, b, c) }
    }

    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_add_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_sub_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_mul_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_div_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_max_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_min_ps(self, o) }
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_sqrt_ps(self) }
    }

    #[inline(always)]
    unsafe fn keep_gt(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_and_ps(self, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
    }

    #[inline(always)]
    unsafe fn keep_ge(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_and_ps(self, _mm256_cmp_ps::<_CMP_GE_OQ>(a, b)) }
    }

    #[inline(always)]
    unsafe fn transpose_8x8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: the caller has the instruction set and vouches for both blocks.
        unsafe { transpose_8x8(from, from_row, to, to_row) }
    }
}

/// [`Vector::transpose_8x8`]: pairs, then quadruples, then halves.
///
/// # Safety
/// AVX must be available, and both blocks valid.
#[inline(always)]
unsafe fn transpose_8x8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    // SAFETY: the caller has the instruction set and vouches for both blocks.
    unsafe {
        let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * from_row)));
        let pairs: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 {
                _mm256_unpacklo_ps(a, b)
            } else {
                _mm256_unpackhi_ps(a, b)
            }
        });
        // Quadruple q of half h: column q (and q + 4) of rows 4h to 4h + 3.
        let quads: [__m256; 8] = std::array::from_fn(|i| {
            let (h, q) = (i / 4, i % 4);
            let (a, b) = (pairs[4 * h + q / 2], pairs[4 * h + q / 2 + 2]);
            if q % 2 == 0 {
                _mm256_shuffle_ps::<0x44>(a, b)
            } else {
                _mm256_shuffle_ps::<0xEE>(a, b)
            }
        });
        for q in 0..4 {
            let (a, b) = (quads[q], quads[4 + q]);
            _mm256_storeu_ps(to.add(q * to_row), _mm256_permute2f128_ps::<0x20>(a, b));
            _mm256_storeu_ps(
                to.add((q + 4) * to_row),
                _mm256_permute2f128_ps::<0x31>(a, b),
            );
        }
    }
}

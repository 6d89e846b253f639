//! AVX-512 and AVX2 vectors.

use std::arch::x86_64::*;

use super::Vector;
use crate::stored::Bf16;

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

/// Sixteen bfloat16 as floats.
#[inline(always)]
unsafe fn widen16(v: __m256i) -> __m512 {
    // SAFETY: the caller has AVX-512 F.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v))) }
}

/// The upper halves of sixteen floats.
#[inline(always)]
unsafe fn narrow16(v: __m512) -> __m256i {
    // SAFETY: the caller has AVX-512 F.
    unsafe { _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(v))) }
}

/// Eight bfloat16 as floats.
#[inline(always)]
unsafe fn widen8(v: __m128i) -> __m256 {
    // SAFETY: the caller has AVX2.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v))) }
}

/// The upper halves of eight floats.
#[inline(always)]
unsafe fn narrow8(v: __m256) -> __m128i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let halves = _mm256_srli_epi32::<16>(_mm256_castps_si256(v));
        // Packs within each half of the register, so that quarters 0 and 2 hold the result.
        let packed = _mm256_packus_epi32(halves, halves);
        _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b10_00>(packed))
    }
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
    unsafe fn load_bf16(p: *const Bf16) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { widen16(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16_part(p: *const Bf16, n: usize) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { widen16(_mm256_maskz_loadu_epi16(mask16(n), p.cast())) }
    }

    #[inline(always)]
    unsafe fn round_bf16(self) -> Self {
        // SAFETY: the caller has the instruction set.
        unsafe {
            let bits = _mm512_castps_si512(self);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self, self);
            let kept = _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x40_0000));
            let upper = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
            _mm512_castsi512_ps(_mm512_and_si512(kept, upper))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut Bf16) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_storeu_si256(p.cast(), narrow16(self)) }
    }

    #[inline(always)]
    unsafe fn store_bf16_part(self, p: *mut Bf16, n: usize) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm256_mask_storeu_epi16(p.cast(), mask16(n), narrow16(self)) }
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
    unsafe fn load_bf16(p: *const Bf16) -> Self {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { widen8(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16_part(p: *const Bf16, n: usize) -> Self {
        let mut whole = [Bf16::default(); 8];
        for (i, value) in whole.iter_mut().enumerate().take(n) {
            // SAFETY: the caller vouches for n values at p.
            *value = unsafe { *p.add(i) };
        }
        // SAFETY: the caller has the instruction set; the array holds a vector.
        unsafe { Self::load_bf16(whole.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn round_bf16(self) -> Self {
        // SAFETY: the caller has the instruction set.
        unsafe {
            let bits = _mm256_castps_si256(self);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self, self);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
            let (up, quiet) = (_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet));
            let upper = _mm256_castsi256_ps(_mm256_set1_epi32(0xFFFF_0000_u32 as i32));
            _mm256_and_ps(_mm256_blendv_ps(up, quiet, nan), upper)
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut Bf16) {
        // SAFETY: the caller has the instruction set and vouches for the memory.
        unsafe { _mm_storeu_si128(p.cast(), narrow8(self)) }
    }

    #[inline(always)]
    unsafe fn store_bf16_part(self, p: *mut Bf16, n: usize) {
        let mut whole = [Bf16::default(); 8];
        // SAFETY: the caller has the instruction set; the array holds a vector.
        unsafe { self.store_bf16(whole.as_mut_ptr()) };
        for (i, value) in whole.iter().enumerate().take(n) {
            // SAFETY: the caller vouches for n values at p.
            unsafe { *p.add(i) = *value };
        }
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

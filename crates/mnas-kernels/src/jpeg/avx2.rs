//! AVX2: multiplies and adds of 16-bit pairs (`vpmaddwd`), eight columns at once.

use std::arch::x86_64::*;

use super::{BASIS, Block, FIRST, SECOND, portable};

/// Weights of frequencies `k` and `k + 4` in sample `i` of `N`, as pairs.
#[target_feature(enable = "avx2")]
#[inline]
fn weights<const N: usize>(i: usize, k: usize) -> __m256i {
    let [low, high] = [BASIS[N][i][k], BASIS[N][i][k + 4]].map(|v| u32::from(v as u16));
    _mm256_set1_epi32((low | high << 16) as i32)
}

/// One dimension: `N` samples of eight lanes from four vectors of pairs (frequencies `k`, `k + 4`).
#[target_feature(enable = "avx2")]
#[inline]
fn pass<const N: usize, const SHIFT: i32>(x: [__m256i; 4], round: i32) -> [__m256i; 8] {
    let mut out = [_mm256_setzero_si256(); 8];
    let mut i = 0;
    while i < N.div_ceil(2) {
        let part = |k: usize| _mm256_madd_epi16(x[k], weights::<N>(i, k));
        let even = _mm256_add_epi32(part(0), _mm256_set1_epi32(round));
        let even = _mm256_add_epi32(even, part(2));
        let odd = _mm256_add_epi32(part(1), part(3));
        out[i] = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(even, odd));
        out[N - 1 - i] = _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(even, odd));
        i += 1;
    }
    out
}

/// Rows of a half-done block to pairs of columns `k` and `k + 4`, each lane a row.
#[target_feature(enable = "avx2")]
#[inline]
fn turn(r: [__m256i; 8]) -> [__m256i; 4] {
    // Of two rows: columns 0, 4, 1, 5, 2, 6, 3, 7 of each, 16 bits.
    let two = |a: __m256i, b: __m256i| {
        let packed = _mm256_packs_epi32(a, b);
        let low = _mm256_castsi256_si128(packed);
        let high = _mm256_extracti128_si256::<1>(packed);
        [_mm_unpacklo_epi16(low, high), _mm_unpackhi_epi16(low, high)]
    };
    let [[t0, t1], [t2, t3]] = [two(r[0], r[1]), two(r[2], r[3])];
    let [[t4, t5], [t6, t7]] = [two(r[4], r[5]), two(r[6], r[7])];
    let wide = |a, b| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
    let (w0, w1, w2, w3) = (wide(t0, t4), wide(t1, t5), wide(t2, t6), wide(t3, t7));
    let (a, b) = (_mm256_unpacklo_epi32(w0, w1), _mm256_unpackhi_epi32(w0, w1));
    let (c, d) = (_mm256_unpacklo_epi32(w2, w3), _mm256_unpackhi_epi32(w2, w3));
    [
        _mm256_unpacklo_epi64(a, c),
        _mm256_unpackhi_epi64(a, c),
        _mm256_unpacklo_epi64(b, d),
        _mm256_unpackhi_epi64(b, d),
    ]
}

/// Columns of pixels, each lane a row, to four vectors of rows 0 1 4 5 and 2 3 6 7, 8 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn bytes(c: [__m256i; 8]) -> [__m256i; 2] {
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    ));
    let four = |i: usize| {
        let low = _mm256_packs_epi32(c[i], c[i + 1]);
        let high = _mm256_packs_epi32(c[i + 2], c[i + 3]);
        _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), order)
    };
    let (left, right) = (four(0), four(4));
    [
        _mm256_unpacklo_epi32(left, right),
        _mm256_unpackhi_epi32(left, right),
    ]
}

/// # Safety
/// `out` holds `(N - 1) * stride + 8` bytes.
#[target_feature(enable = "avx2")]
unsafe fn transform<const N: usize>(block: &Block, out: &mut [u8], stride: usize) {
    // SAFETY: a block is four vectors long.
    let x = [0, 1, 2, 3]
        .map(|k| unsafe { _mm256_load_si256(block.0.as_ptr().cast::<__m256i>().add(k)) });
    let half = pass::<N, { FIRST.1 as i32 }>(x, FIRST.0);
    let columns = pass::<N, { SECOND.1 as i32 }>(turn(half), SECOND.0);
    let [a, b] = bytes(columns);
    let upper = |v| _mm256_extracti128_si256::<1>(v);
    let lower = |v| _mm256_castsi256_si128(v);
    let pairs = [lower(a), lower(b), upper(a), upper(b)];
    for (i, pair) in pairs.into_iter().enumerate() {
        // SAFETY: the caller vouches for `N` rows of 8 bytes, and only those are written.
        unsafe {
            let at = out.as_mut_ptr();
            if 2 * i < N {
                _mm_storel_epi64(at.add(2 * i * stride).cast(), pair);
            }
            if 2 * i + 1 < N {
                let second = _mm_unpackhi_epi64(pair, pair);
                _mm_storel_epi64(at.add((2 * i + 1) * stride).cast(), second);
            }
        }
    }
}

/// # Safety
/// AVX2 is available and `out` holds `(size - 1) * stride + 8` bytes.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn inverse_dct(size: usize, block: &Block, out: &mut [u8], stride: usize) {
    // SAFETY: passed on.
    unsafe {
        match size {
            1 => transform::<1>(block, out, stride),
            2 => transform::<2>(block, out, stride),
            3 => transform::<3>(block, out, stride),
            4 => transform::<4>(block, out, stride),
            5 => transform::<5>(block, out, stride),
            6 => transform::<6>(block, out, stride),
            7 => transform::<7>(block, out, stride),
            _ => transform::<8>(block, out, stride),
        }
    }
}

/// Red, green and blue of 16 pixels.
///
/// What exceeds 16 bits is split: 91881 = 65536 + 26345, 116130 = 65536 + 2 x 25297 and
/// -46802 = -65536 + 18734, so the bits equal those of the plain formula.
#[target_feature(enable = "avx2")]
#[inline]
fn colours(y: __m256i, cb: __m256i, cr: __m256i) -> [__m128i; 3] {
    let half = _mm256_set1_epi16(128);
    let (cb, cr) = (_mm256_sub_epi16(cb, half), _mm256_sub_epi16(cr, half));
    let scaled = |v, factor: i16| {
        let factor = _mm256_set1_epi16(factor);
        let carry = _mm256_srli_epi16::<15>(_mm256_mullo_epi16(v, factor));
        _mm256_add_epi16(_mm256_mulhi_epi16(v, factor), carry)
    };
    let red = _mm256_add_epi16(_mm256_add_epi16(y, cr), scaled(cr, 26_345));
    let blue = _mm256_add_epi16(
        _mm256_add_epi16(y, cb),
        scaled(_mm256_add_epi16(cb, cb), 25_297),
    );
    let factors = _mm256_set1_epi32((18_734 << 16) | i32::from(-22_554i16 as u16));
    let green = |pairs| {
        let sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, factors), _mm256_set1_epi32(32_768));
        _mm256_srai_epi32::<16>(sum)
    };
    let part = _mm256_packs_epi32(
        green(_mm256_unpacklo_epi16(cb, cr)),
        green(_mm256_unpackhi_epi16(cb, cr)),
    );
    let green = _mm256_add_epi16(_mm256_sub_epi16(y, cr), part);
    [red, green, blue].map(|v| {
        let (low, high) = (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        _mm_packus_epi16(low, high)
    })
}

/// Where byte `j` of the `part`th 16 bytes of interleaved pixels comes from in channel `c`; -1 where
/// from another channel.
const fn source(part: usize, c: usize) -> [i8; 16] {
    let mut from = [-1; 16];
    let mut j = 0;
    while j < 16 {
        let at = part * 16 + j;
        if at % 3 == c {
            from[j] = (at / 3) as i8;
        }
        j += 1;
    }
    from
}

const SOURCES: [[[i8; 16]; 3]; 3] = [
    [source(0, 0), source(0, 1), source(0, 2)],
    [source(1, 0), source(1, 1), source(1, 2)],
    [source(2, 0), source(2, 1), source(2, 2)],
];

/// # Safety
/// AVX2 is available, all three inputs are of one length, and `rgb` is three times as long.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn ycc_to_rgb(y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    let whole = y.len() / 16 * 16;
    for i in (0..whole).step_by(16) {
        // SAFETY: 16 bytes from `i` lie inside each input, 48 from `3 i` inside the output, and a
        // row of SOURCES is 16 bytes long.
        unsafe {
            let load = |s: &[u8]| _mm256_cvtepu8_epi16(_mm_loadu_si128(s.as_ptr().add(i).cast()));
            let channels = colours(load(y), load(cb), load(cr));
            for (part, sources) in SOURCES.iter().enumerate() {
                let [r, g, b] = [0, 1, 2].map(|c| {
                    let order = _mm_loadu_si128(sources[c].as_ptr().cast());
                    _mm_shuffle_epi8(channels[c], order)
                });
                let pixels = _mm_or_si128(_mm_or_si128(r, g), b);
                _mm_storeu_si128(rgb.as_mut_ptr().add(3 * i + 16 * part).cast(), pixels);
            }
        }
    }
    portable::ycc_to_rgb(
        &y[whole..],
        &cb[whole..],
        &cr[whole..],
        &mut rgb[3 * whole..],
    );
}

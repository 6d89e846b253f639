//! What `vdpbf16ps`, the bfloat16 instruction of AVX512_BF16, is worth on this processor: products
//! of matrices with it beside the same with `vfmadd231ps`, in turn on one thread.
//!
//!     cargo run --release -p mnas-kernels --example bf16_products
//!
//! Both have the shape of the engine's own: 8 rows by 3 vectors of columns in registers, the right
//! factor packed. With bfloat16 a word of a factor is two neighbours along the summed dimension, so
//! one instruction does 32 multiply-accumulates instead of 16.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
fn main() {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        x86::compare();
    } else {
        println!("this processor has no AVX512_BF16");
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("this processor has no AVX512_BF16");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Instant;

    use mnas_kernels::Bf16;

    const LANES: usize = 16;
    /// Rows and vectors of columns held in registers.
    const ROWS: usize = 8;
    const VECTORS: usize = 3;
    /// The product is `M x N`, near 256 x 256 in whole groups of vectors.
    const M: usize = 256;
    const N: usize = 240;
    /// Multiply-accumulates per timing.
    const WORK: usize = 1 << 30;

    /// How many values along the summed dimension a 32-bit word of a factor holds: an f32, or two
    /// bfloat16.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Words {
        Single = 1,
        Pairs = 2,
    }

    impl Words {
        /// The word that begins with value `k` of `values`.
        fn word(self, values: impl Fn(usize) -> f32, k: usize) -> u32 {
            let half = |x: f32| Bf16::from_f32(x).to_f32().to_bits() >> 16;
            match self {
                Words::Single => values(k).to_bits(),
                Words::Pairs => half(values(k)) | half(values(k + 1)) << 16,
            }
        }
    }

    /// Left factor `[row][word]`, right factor `[vector][word][lane]`, their product.
    struct Product {
        words: usize,
        left: Vec<u32>,
        right: Vec<u32>,
        out: Vec<f32>,
    }

    impl Product {
        /// Of factors summed over `k` values.
        fn new(kind: Words, k: usize) -> Self {
            let depth = kind as usize;
            let words = k / depth;
            let wave = |i: usize, n: usize| (i % n) as f32 / n as f32 - 0.5;
            let left = |w: usize| {
                let row = w / words;
                kind.word(|k| wave(row * 7 + k * 13, 31), w % words * depth)
            };
            let right = |w: usize| {
                let (vector, at, lane) = (w / LANES / words, w / LANES % words, w % LANES);
                let column = vector * LANES + lane;
                kind.word(|k| wave(column * 11 + k * 5, 29), at * depth)
            };
            Self {
                words,
                left: (0..M * words).map(left).collect(),
                right: (0..N * words).map(right).collect(),
                out: vec![f32::NAN; M * N],
            }
        }

        /// GFLOP/s of `run`.
        fn time(&mut self, k: usize, run: unsafe fn(&mut Product)) -> f64 {
            let times = WORK / (M * N * k);
            let start = Instant::now();
            for _ in 0..times {
                // SAFETY: `compare` is called where the instruction sets were found.
                unsafe { run(black_box(self)) };
            }
            2.0 * (M * N * k * times) as f64 / start.elapsed().as_secs_f64() / 1e9
        }
    }

    /// Defines `fn $name`, which multiplies with `$step(sum, left, right)` as the instruction.
    macro_rules! product {
        ($name:ident, $features:literal, |$sum:ident, $left:ident, $right:ident| $step:expr) => {
            #[target_feature(enable = $features)]
            fn $name(p: &mut Product) {
                let words = p.words;
                assert!(p.left.len() == M * words && p.right.len() == N * words);
                assert!(p.out.len() == M * N && N % (VECTORS * LANES) == 0 && M % ROWS == 0);
                for v in (0..N / LANES).step_by(VECTORS) {
                    for i in (0..M).step_by(ROWS) {
                        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
                        for w in 0..words {
                            let vectors: [__m512i; VECTORS] = std::array::from_fn(|j| {
                                let at = ((v + j) * words + w) * LANES;
                                // SAFETY: the right factor holds N / LANES vectors of each word.
                                unsafe { _mm512_loadu_si512(p.right.as_ptr().add(at).cast()) }
                            });
                            for (r, sums) in sums.iter_mut().enumerate() {
                                // SAFETY: the left factor holds M rows of words.
                                let word = unsafe { *p.left.as_ptr().add((i + r) * words + w) };
                                let $left = _mm512_set1_epi32(word.cast_signed());
                                for (sum, $right) in sums.iter_mut().zip(vectors) {
                                    let $sum = *sum;
                                    *sum = $step;
                                }
                            }
                        }
                        for (r, row) in sums.iter().enumerate() {
                            for (j, sum) in row.iter().enumerate() {
                                let at = (i + r) * N + (v + j) * LANES;
                                // SAFETY: the product is M x N.
                                unsafe { _mm512_storeu_ps(p.out.as_mut_ptr().add(at), *sum) };
                            }
                        }
                    }
                }
            }
        };
    }

    product!(single, "avx512f", |sum, left, right| {
        _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right), sum)
    });
    product!(pairs, "avx512f,avx512bf16", |sum, left, right| {
        let pairs = |words: __m512i| {
            // SAFETY: both types are 64 bytes, and any bits are bfloat16.
            unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
        };
        _mm512_dpbf16_ps(sum, pairs(left), pairs(right))
    });

    /// Prints both rates for several depths, each the best of five rounds in turn.
    pub(super) fn compare() {
        for k in [64, 288, 576, 1152, 2304] {
            let mut f32s = Product::new(Words::Single, k);
            let mut bf16s = Product::new(Words::Pairs, k);
            let (mut f32_best, mut bf16_best) = (0.0f64, 0.0f64);
            for _ in 0..5 {
                f32_best = f32_best.max(f32s.time(k, single));
                bf16_best = bf16_best.max(bf16s.time(k, pairs));
            }
            // Factors below 1/2, each rounded by up to 2^-9 of itself.
            let tolerance = k as f32 * 0.25 * 2f32.powi(-8) + 1e-4;
            for (a, b) in f32s.out.iter().zip(&bf16s.out) {
                assert!((a - b).abs() <= tolerance, "{a} and {b}");
            }
            println!(
                "{M} x {N} x {k}: f32 {f32_best:.0} GFLOP/s, bfloat16 {bf16_best:.0}, ratio {:.2}",
                bf16_best / f32_best
            );
        }
    }
}

//! The matrix-product kernel under pointwise, dense and linear layers: `C (+)= A · B`.
//!
//! `B` is read as vectors of columns, either packed ([`Packed`]) or in place; `A` is read one
//! value at a time with free strides, so the same kernel serves `x·Wᵀ`, `g·W` and `gᵀ·x`.

use crate::isa::{Isa, dispatched};
use crate::simd::Vector;

/// Left factor: `A(i, k)` lies at `start + i * row + k * step`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) start: *const f32,
    pub(crate) row: usize,
    pub(crate) step: usize,
}

impl Left {
    pub(crate) fn at(start: *const f32, row: usize, step: usize) -> Self {
        Self { start, row, step }
    }
}

/// Right factor: `B(k, j)` lies at `start + (j / L) * column + k * step + j % L`, `L` lanes.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) start: *const f32,
    /// Distance between vectors of columns.
    pub(crate) column: usize,
    /// Distance between rows.
    pub(crate) step: usize,
    /// Whether the last vector is padded to a whole one, as packing does.
    pub(crate) padded: bool,
}

/// Product: `C(i, j)` lies at `start + i * row + j`.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) start: *mut f32,
    pub(crate) row: usize,
    /// Whether the product is added to what is there.
    pub(crate) accumulate: bool,
}

/// Extents: `C` is `m x n`, summed over `k`, none of them 0.
#[derive(Clone, Copy)]
pub(crate) struct Extents {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl Extents {
    pub(crate) fn new(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k }
    }
}

/// Length of `k x n` packed for vectors of `lanes`.
pub(crate) fn packed_len(k: usize, n: usize, lanes: usize) -> usize {
    n.div_ceil(lanes) * k * lanes
}

impl Right {
    /// A right factor packed by [`pack`].
    pub(crate) fn packed(data: &[f32], k: usize, n: usize, lanes: usize) -> Self {
        assert!(data.len() >= packed_len(k, n, lanes));
        Self {
            start: data.as_ptr(),
            column: k * lanes,
            step: lanes,
            padded: true,
        }
    }

    /// The part from column `j` (a multiple of `lanes`) on.
    pub(crate) fn at_column(self, j: usize, lanes: usize) -> Self {
        debug_assert!(j.is_multiple_of(lanes));
        Self {
            start: self.start.wrapping_add(j / lanes * self.column),
            ..self
        }
    }
}

/// Packs vectors of columns `vectors` of `B` (`B(k, j)` at `b[k * step + j * column]`) into `out`,
/// the whole of whose first vector is at index 0: `[vector][k][lane]`, missing lanes 0. One of
/// `step` and `column` is 1.
pub(crate) fn pack(
    isa: Isa,
    b: &[f32],
    (k, n): (usize, usize),
    (step, column): (usize, usize),
    vectors: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let lanes = isa.lanes();
    for (v, panel) in vectors.zip(out.chunks_exact_mut(k * lanes)) {
        let j = v * lanes;
        let width = lanes.min(n - j);
        if column == 1 {
            for (kk, line) in panel.chunks_exact_mut(lanes).enumerate() {
                line[..width].copy_from_slice(&b[kk * step + j..][..width]);
                line[width..].fill(0.0);
            }
        } else {
            assert_eq!(step, 1, "packing: one stride is 1");
            pack_transposed(isa, &b[j * column..], (k, width), column, panel);
        }
    }
}

/// One vector of columns whose `k` values lie contiguous, `column` apart.
fn pack_transposed(
    isa: Isa,
    b: &[f32],
    (k, width): (usize, usize),
    column: usize,
    panel: &mut [f32],
) {
    let lanes = isa.lanes();
    assert!(b.len() >= (width - 1) * column + k && panel.len() == k * lanes);
    if width < lanes {
        panel.fill(0.0);
    }
    let (whole_k, whole_j) = (k / 8 * 8, width / 8 * 8);
    let (from, to) = (b.as_ptr(), panel.as_mut_ptr());
    for j in (0..whole_j).step_by(8) {
        // SAFETY: blocks of 8 columns from j by whole_k values lie within b and the panel.
        unsafe { transpose(isa, from.add(j * column), column, to.add(j), lanes, whole_k) };
    }
    for j in 0..width {
        let done = if j < whole_j { whole_k } else { 0 };
        for kk in done..k {
            panel[kk * lanes + j] = b[j * column + kk];
        }
    }
}

dispatched!(unsafe fn transpose = transpose_v(
    from: *const f32, from_row: usize, to: *mut f32, to_row: usize, k: usize,
));

/// Eight rows of `k` values (a multiple of 8) to `k` rows of eight.
///
/// # Safety
/// Both must be valid for these extents.
#[inline(always)]
unsafe fn transpose_v<V: Vector>(
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
    k: usize,
) {
    for kk in (0..k).step_by(8) {
        // SAFETY: the caller vouches for the extents.
        unsafe { V::transpose_8x8(from.add(kk), from_row, to.add(kk * to_row), to_row) };
    }
}

dispatched!(pub(crate) unsafe fn product = product_v(e: Extents, a: Left, b: Right, c: Out));

/// `C (+)= A · B`.
///
/// # Safety
/// The pointers must be valid for the extents and strides, and `C` overlap neither factor.
#[inline(always)]
unsafe fn product_v<V: Vector>(e: Extents, a: Left, b: Right, c: Out) {
    debug_assert!(e.m > 0 && e.n > 0 && e.k > 0, "an empty product");
    let vectors = e.n.div_ceil(V::LEN);
    let whole = e.n / V::LEN;
    let mut v = 0;
    while v < vectors {
        let left = vectors - v;
        let take = if left == 4 { 2 } else { left.min(3) };
        let n = (e.n - v * V::LEN).min(take * V::LEN);
        let group = Extents { n, ..e };
        // SAFETY: the group's columns lie within B and C.
        unsafe {
            let b = Right {
                start: b.start.add(v * b.column),
                ..b
            };
            let c = Out {
                start: c.start.add(v * V::LEN),
                ..c
            };
            let partial = !b.padded && v + take > whole;
            match (take, partial) {
                (1, false) => rows::<V, 1, false>(group, a, b, c),
                (2, false) => rows::<V, 2, false>(group, a, b, c),
                (_, false) => rows::<V, 3, false>(group, a, b, c),
                (1, true) => rows::<V, 1, true>(group, a, b, c),
                (2, true) => rows::<V, 2, true>(group, a, b, c),
                (_, true) => rows::<V, 3, true>(group, a, b, c),
            }
        }
        v += take;
    }
}

/// All rows of one group of `N` vectors of columns.
///
/// # Safety
/// As [`product_v`].
#[inline(always)]
unsafe fn rows<V: Vector, const N: usize, const PART: bool>(e: Extents, a: Left, b: Right, c: Out) {
    let most = V::ROWS[N - 1];
    let mut i = 0;
    while i < e.m {
        let left = e.m - i;
        // SAFETY: rows i.. lie within A and C.
        unsafe {
            let a = Left {
                start: a.start.add(i * a.row),
                ..a
            };
            let c = Out {
                start: c.start.add(i * c.row),
                ..c
            };
            let take = if left >= most { most } else { left };
            i += match take {
                16.. if N == 1 => block::<V, 16, N, PART>(e, a, b, c),
                12.. if N <= 2 => block::<V, 12, N, PART>(e, a, b, c),
                8.. => block::<V, 8, N, PART>(e, a, b, c),
                6.. => block::<V, 6, N, PART>(e, a, b, c),
                4.. => block::<V, 4, N, PART>(e, a, b, c),
                2.. => block::<V, 2, N, PART>(e, a, b, c),
                _ => block::<V, 1, N, PART>(e, a, b, c),
            };
        }
    }
}

/// `M` rows by `N` vectors held in registers; returns `M`.
///
/// # Safety
/// As [`product_v`].
#[inline(always)]
unsafe fn block<V: Vector, const M: usize, const N: usize, const PART: bool>(
    e: Extents,
    a: Left,
    b: Right,
    c: Out,
) -> usize {
    // SAFETY: the caller vouches for M rows and N vectors of columns.
    unsafe {
        let last = e.n - (N - 1) * V::LEN;
        let columns = |bp: *const f32| -> [V; N] {
            std::array::from_fn(|j| {
                let p = bp.add(j * b.column);
                if PART && j == N - 1 {
                    V::load_part(p, last)
                } else {
                    V::load(p)
                }
            })
        };
        let (mut ap, mut bp) = (a.start, b.start);
        // The first products initialise the sums: cleared first, they would go through memory.
        let bv = columns(bp);
        let mut acc: [[V; N]; M] = std::array::from_fn(|i| {
            let av = V::splat(*ap.add(i * a.row));
            bv.map(|v| av.mul(v))
        });
        for _ in 1..e.k {
            ap = ap.add(a.step);
            bp = bp.add(b.step);
            let bv = columns(bp);
            for (i, row) in acc.iter_mut().enumerate() {
                let av = V::splat(*ap.add(i * a.row));
                for (sum, v) in row.iter_mut().zip(bv) {
                    *sum = av.mul_add(v, *sum);
                }
            }
        }
        for (i, row) in acc.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                let p = c.start.add(i * c.row + j * V::LEN);
                let n = if j == N - 1 { last } else { V::LEN };
                let old = match (c.accumulate, n == V::LEN) {
                    (false, _) => V::zero(),
                    (true, true) => V::load(p),
                    (true, false) => V::load_part(p, n),
                };
                let sum = old.add(*sum);
                if n == V::LEN {
                    sum.store(p)
                } else {
                    sum.store_part(p, n)
                }
            }
        }
    }
    M
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::{close, isas, values};
    use proptest::prelude::*;

    fn check(isa: Isa, (m, n, k): (usize, usize, usize), packed: bool, accumulate: bool) {
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let mut c = values(m * n, 3);
        let expected: Vec<f64> = (0..m * n)
            .map(|p| {
                let dot = |kk: usize| f64::from(a[p / n * k + kk]) * f64::from(b[kk * n + p % n]);
                (0..k).map(dot).sum::<f64>() + if accumulate { f64::from(c[p]) } else { 0.0 }
            })
            .collect();
        let lanes = isa.lanes();
        let mut space = vec![f32::NAN; packed_len(k, n, lanes)];
        pack(isa, &b, (k, n), (n, 1), 0..n.div_ceil(lanes), &mut space);
        let mut transposed = vec![0.0; k * n];
        (0..k * n).for_each(|i| transposed[i % n * k + i / n] = b[i]);
        let mut again = vec![f32::NAN; space.len()];
        pack(
            isa,
            &transposed,
            (k, n),
            (1, k),
            0..n.div_ceil(lanes),
            &mut again,
        );
        assert_eq!(space, again);
        let raw = Right {
            start: b.as_ptr(),
            column: lanes,
            step: n,
            padded: false,
        };
        let right = if packed {
            Right::packed(&space, k, n, lanes)
        } else {
            raw
        };
        let left = Left::at(a.as_ptr(), k, 1);
        let out = Out {
            start: c.as_mut_ptr(),
            row: n,
            accumulate,
        };
        // SAFETY: a is m x k, b is k x n, c is m x n.
        unsafe { product(isa, Extents { m, n, k }, left, right, out) };
        close(&c, &expected, 1e-5 * (1.0 + k as f64));
    }

    proptest! {
        #[test]
        fn matches_naive(m in 1usize..40, n in 1usize..70, k in 1usize..40, packed: bool, accumulate: bool) {
            for isa in isas() {
                check(isa, (m, n, k), packed, accumulate);
            }
        }
    }
}

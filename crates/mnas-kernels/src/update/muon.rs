//! Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): steps of matrices along the momentum
//! with its singular values brought near 1.

use std::ops::Range;

use crate::fused::{TASKS, pack_parallel};
use crate::isa::Isa;
use crate::product::{Extents, Left, Out, Right, product};
use crate::workers::{Shared, Workers, share};

/// `a`, `b` and `c` of a Newton-Schulz step `X (a + b XᵀX + c (XᵀX)²)`, from the reference code: they
/// don't converge to 1, but three steps bring singular values from 0.02 on between 0.68 and 1.21, and
/// make smaller ones up to 41 times as large.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Newton-Schulz steps; as many as the reference code for CIFAR-10 takes (airbench94_muon).
const STEPS: usize = 3;

/// A matrix's part of an optimiser step.
#[derive(Debug)]
pub struct Muon<'a> {
    /// Weights, `rows` by as many columns as there are.
    pub weights: &'a mut [f32],
    /// Rows.
    pub rows: usize,
    /// Gradient of the loss.
    pub gradient: &'a [f32],
    /// Momentum.
    pub momentum: &'a mut [f32],
    /// Share of the momentum kept.
    pub keep: f32,
    /// Moving average of the weights; empty where there is none.
    pub average: &'a mut [f32],
    /// `average += share·(w - average)`, after the step.
    pub share: f32,
}

/// `m = keep·m + g`; `w = sqrt(rows)·w / |w| - rate·O`, `O` being `g + keep·m` with its singular values
/// brought near 1. The norm of `w` must not matter to the network, as that of a kernel before a batch
/// norm doesn't.
///
/// # Panics
/// If lengths differ, or aren't whole rows.
pub fn muon(workers: &mut Workers, rate: f32, u: Muon) {
    let n = u.weights.len();
    assert!(
        u.rows > 0 && n > 0 && n.is_multiple_of(u.rows),
        "muon: rows"
    );
    assert_eq!(
        (u.gradient.len(), u.momentum.len()),
        (n, n),
        "muon: lengths"
    );
    assert!(
        u.average.is_empty() || u.average.len() == n,
        "muon: average"
    );
    let mut between = std::mem::take(&mut workers.between);
    let (x, y) = between.at_least(2 * n).split_at_mut(n);
    let (space, momentum) = (Shared::new(&mut *x), Shared::new(u.momentum));
    let squares = sum(workers, n, |mine| {
        // SAFETY: tasks own disjoint ranges.
        let (x, m) = unsafe { (space.part(mine.clone()), momentum.part(mine.clone())) };
        let mut squares = 0.0;
        for ((x, m), g) in x.iter_mut().zip(m).zip(&u.gradient[mine]) {
            *m = u.keep * *m + g;
            *x = g + u.keep * *m;
            squares += f64::from(*x) * f64::from(*x);
        }
        squares
    });
    // A gradient of zeros stays one, and one that isn't finite makes all weights NaN.
    let scale = (1.0 / squares.sqrt().max(f64::MIN_POSITIVE)).min(f64::from(f32::MAX)) as f32;
    x.iter_mut().for_each(|x| *x *= scale);
    let direction = orthogonal(workers, u.rows, x, y);

    let norm = sum(workers, n, |mine| {
        let squares = u.weights[mine]
            .iter()
            .map(|w| f64::from(*w) * f64::from(*w));
        squares.sum()
    });
    let scale = (u.rows as f64 / norm.max(f64::MIN_POSITIVE)).sqrt();
    let scale = scale.min(f64::from(f32::MAX)) as f32;
    for (w, d) in u.weights.iter_mut().zip(direction) {
        *w = scale * *w - rate * *d;
    }
    if !u.average.is_empty() {
        super::average(u.weights, u.average, u.share);
    }
    workers.between = between;
}

/// The sum of what `f` gives for the parts of `0..n`, added in order.
fn sum(workers: &mut Workers, n: usize, f: impl Fn(Range<usize>) -> f64 + Sync) -> f64 {
    let tasks = (n / (32 * 1024)).clamp(1, TASKS);
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(tasks, 0.0);
    let parts = Shared::new(&mut sums[..]);
    workers.run(tasks, |task, _| {
        // SAFETY: each task has its own sum.
        let part = unsafe { parts.part(task..task + 1) };
        part[0] = f(share(n, 16, task, tasks));
    });
    let total = sums[..tasks].iter().sum();
    workers.sums = sums;
    total
}

/// `x`, of `rows` rows and norm 1, with its singular values brought near 1; in one of the two slices.
fn orthogonal<'a>(
    workers: &mut Workers,
    rows: usize,
    mut x: &'a mut [f32],
    mut y: &'a mut [f32],
) -> &'a [f32] {
    let isa = workers.isa();
    let columns = x.len() / rows;
    // The product of `x` with its transpose on the side where it is smaller.
    let side = rows.min(columns);
    let mut partial = std::mem::take(&mut workers.partial);
    let (gram, polynomial) = partial.at_least(2 * side * side).split_at_mut(side * side);
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..STEPS {
        let e = |k| Extents::new(side, side, k);
        if rows <= columns {
            let packed = pack_parallel(workers, x, (columns, rows), (1, columns));
            let right = Right::packed(&packed, columns, rows, isa.lanes());
            let left = Left::at(x.as_ptr(), columns, 1);
            // SAFETY: both factors are `x`, of rows by columns.
            unsafe { multiply(workers, e(columns), left, right, gram) };
            workers.packed = packed;
        } else {
            let left = Left::at(x.as_ptr(), 1, columns);
            // SAFETY: as above.
            unsafe { multiply(workers, e(rows), left, plain(isa, x, columns), gram) };
        }
        let left = Left::at(gram.as_ptr(), side, 1);
        // SAFETY: both factors are of side by side.
        unsafe { multiply(workers, e(side), left, plain(isa, gram, side), polynomial) };
        for (i, (p, g)) in polynomial.iter_mut().zip(&*gram).enumerate() {
            let identity = if i / side == i % side { a } else { 0.0 };
            *p = identity + b * g + c * *p;
        }
        let e = Extents::new(rows, columns, side);
        if rows <= columns {
            let left = Left::at(polynomial.as_ptr(), side, 1);
            // SAFETY: `polynomial` is of rows by rows, `x` of rows by columns.
            unsafe { multiply(workers, e, left, plain(isa, x, columns), y) };
        } else {
            let left = Left::at(x.as_ptr(), columns, 1);
            // SAFETY: `x` is of rows by columns, `polynomial` of columns by columns.
            unsafe { multiply(workers, e, left, plain(isa, polynomial, side), y) };
        }
        (x, y) = (y, x);
    }
    workers.partial = partial;
    x
}

/// A matrix of rows of `columns` as a right factor.
fn plain(isa: Isa, from: &[f32], columns: usize) -> Right {
    Right {
        start: from.as_ptr(),
        column: isa.lanes(),
        step: columns,
        padded: false,
    }
}

/// Factors that tasks read.
struct Factors(Left, Right);
// SAFETY: tasks only read the factors, which outlive the phase.
unsafe impl Sync for Factors {}

/// `out` = the product of both factors.
///
/// # Safety
/// The factors must have the extents.
unsafe fn multiply(workers: &Workers, e: Extents, left: Left, right: Right, out: &mut [f32]) {
    assert_eq!(out.len(), e.m * e.n, "muon: product");
    let (isa, factors, target) = (workers.isa(), Factors(left, right), Shared::new(out));
    let tasks = e.m.div_ceil(24).clamp(1, TASKS);
    workers.run(tasks, |task, _| {
        let Factors(left, right) = &factors;
        let rows = share(e.m, 1, task, tasks);
        let left = Left {
            start: left.start.wrapping_add(rows.start * left.row),
            ..*left
        };
        let out = Out {
            start: target.pointer().wrapping_add(rows.start * e.n),
            row: e.n,
            accumulate: false,
        };
        // SAFETY: the caller vouches for the factors; tasks own disjoint rows.
        unsafe { product(isa, Extents { m: rows.len(), ..e }, left, *right, out) };
    });
}

//! Optimiser steps, fused with weight decay and the moving average of weights.

use crate::isa::dispatched;
use crate::simd::Vector;
use crate::workers::{self, Shared, Workers};

mod muon;
#[cfg(test)]
mod tests;

pub use muon::{Muon, muon};

/// Floats per task.
const CHUNK: usize = 16 * 1024;

/// How a gradient becomes a change of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `m = momentum·m + g`; `w -= rate·m`, or with Nesterov's momentum
    /// `w -= rate·(g + momentum·m)`. Slot: `m`.
    Sgd {
        /// Share of the last update kept.
        momentum: f32,
        /// Nesterov's variant.
        nesterov: bool,
    },
    /// `s = decay·s + (1-decay)·g²`; `m = momentum·m + rate·g/sqrt(s + epsilon)`; `w -= m`.
    /// Slots: `m`, `s`.
    RmsProp {
        /// Share of the mean square kept.
        decay: f32,
        /// Share of the last update kept.
        momentum: f32,
        /// Added under the root.
        epsilon: f32,
    },
}

/// One tensor's part of an optimiser step.
#[derive(Debug)]
pub struct Update<'a> {
    /// Weights.
    pub weights: &'a mut [f32],
    /// Gradient of the loss.
    pub gradient: &'a [f32],
    /// The rule's `m`.
    pub momentum: &'a mut [f32],
    /// The rule's `s`; empty where it has none.
    pub square: &'a mut [f32],
    /// Moving average of the weights; empty where there is none.
    pub average: &'a mut [f32],
    /// `d·w` is added to the gradient.
    pub weight_decay: f32,
    /// `average += share·(w - average)`, after the step.
    pub share: f32,
}

/// Applies one step to one tensor.
///
/// # Panics
/// If lengths differ.
pub fn update(team: &Workers, rule: Rule, rate: f32, u: Update) {
    let n = u.weights.len();
    assert_eq!(
        (u.gradient.len(), u.momentum.len()),
        (n, n),
        "update: lengths"
    );
    let square = u.square.len();
    assert!(
        square == n || (square == 0 && matches!(rule, Rule::Sgd { .. })),
        "update: square"
    );
    assert!(
        u.average.is_empty() || u.average.len() == n,
        "update: average"
    );
    let (with_square, with_average) = (square > 0, !u.average.is_empty());
    let (weights, momentum) = (Shared::new(u.weights), Shared::new(u.momentum));
    let (squares, averages) = (Shared::new(u.square), Shared::new(u.average));
    let tasks = n.div_ceil(CHUNK).max(1);
    team.run(tasks, |task, _| {
        let mine = workers::share(n, 16, task, tasks);
        // SAFETY: tasks own disjoint ranges, which lie within all slices that are not empty.
        unsafe {
            let at = Pointers {
                len: mine.len(),
                weights: weights.part(mine.clone()).as_mut_ptr(),
                gradient: u.gradient[mine.clone()].as_ptr(),
                momentum: momentum.part(mine.clone()).as_mut_ptr(),
                square: match with_square {
                    true => squares.part(mine.clone()).as_mut_ptr(),
                    false => std::ptr::null_mut(),
                },
                average: match with_average {
                    true => averages.part(mine).as_mut_ptr(),
                    false => std::ptr::null_mut(),
                },
            };
            step(team.isa(), &at, rule, rate, u.weight_decay, u.share);
        }
    });
}

/// `average += share·(value - average)`: tensors that the optimiser doesn't touch.
///
/// # Panics
/// If lengths differ.
pub fn average(values: &[f32], average: &mut [f32], share: f32) {
    assert_eq!(values.len(), average.len(), "average: lengths");
    for (a, v) in average.iter_mut().zip(values) {
        *a += share * (v - *a);
    }
}

struct Pointers {
    len: usize,
    weights: *mut f32,
    gradient: *const f32,
    momentum: *mut f32,
    square: *mut f32,
    average: *mut f32,
}

dispatched!(unsafe fn step = step_v(at: &Pointers, rule: Rule, rate: f32, decay: f32, share: f32));

/// # Safety
/// Every pointer that is not null must hold `len` floats.
#[inline(always)]
unsafe fn step_v<V: Vector>(at: &Pointers, rule: Rule, rate: f32, decay: f32, share: f32) {
    let whole = at.len / V::LEN * V::LEN;
    // SAFETY: whole vectors lie within len, and the rest is less than a vector.
    unsafe {
        for i in (0..whole).step_by(V::LEN) {
            block::<V, true>(at, i, V::LEN, rule, rate, decay, share);
        }
        if whole < at.len {
            block::<V, false>(at, whole, at.len - whole, rule, rate, decay, share);
        }
    }
}

/// # Safety
/// `i + n` floats at each pointer; `n` is a vector where `FULL`.
#[inline(always)]
unsafe fn block<V: Vector, const FULL: bool>(
    at: &Pointers,
    i: usize,
    n: usize,
    rule: Rule,
    rate: f32,
    decay: f32,
    share: f32,
) {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        let w = V::get::<FULL>(at.weights.add(i), n);
        let g = V::splat(decay).mul_add(w, V::get::<FULL>(at.gradient.add(i), n));
        let m = V::get::<FULL>(at.momentum.add(i), n);
        let rate = V::splat(rate);
        let (m, change) = match rule {
            Rule::Sgd { momentum, nesterov } => {
                let momentum = V::splat(momentum);
                let m = momentum.mul_add(m, g);
                (
                    m,
                    rate.mul(if nesterov { momentum.mul_add(m, g) } else { m }),
                )
            }
            Rule::RmsProp {
                decay,
                momentum,
                epsilon,
            } => {
                let s = V::get::<FULL>(at.square.add(i), n);
                let s = V::splat(1.0 - decay).mul_add(g.mul(g).sub(s), s);
                s.put::<FULL>(at.square.add(i), n);
                let update = rate.mul(g).div(s.add(V::splat(epsilon)).sqrt());
                let m = V::splat(momentum).mul_add(m, update);
                (m, m)
            }
        };
        m.put::<FULL>(at.momentum.add(i), n);
        let w = w.sub(change);
        w.put::<FULL>(at.weights.add(i), n);
        if !at.average.is_null() {
            let a = V::get::<FULL>(at.average.add(i), n);
            let a = V::splat(share).mul_add(w.sub(a), a);
            a.put::<FULL>(at.average.add(i), n);
        }
    }
}

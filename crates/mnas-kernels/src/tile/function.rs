//! Activation functions on vectors.

use crate::simd::Vector;

/// The activation as the compiler sees it: a constant.
pub(super) trait Function {
    unsafe fn apply<V: Vector>(y: V) -> V;
    /// `g · f'(y)`.
    unsafe fn slope<V: Vector>(g: V, y: V) -> V;
}

pub(super) struct Linear;
pub(super) struct Relu;
pub(super) struct Relu6;
pub(super) struct HSwish;

impl Function for Linear {
    #[inline(always)]
    unsafe fn apply<V: Vector>(y: V) -> V {
        y
    }
    #[inline(always)]
    unsafe fn slope<V: Vector>(g: V, _: V) -> V {
        g
    }
}

impl Function for Relu {
    #[inline(always)]
    unsafe fn apply<V: Vector>(y: V) -> V {
        // SAFETY: the caller has V's instruction set.
        unsafe { V::zero().max(y) }
    }
    #[inline(always)]
    unsafe fn slope<V: Vector>(g: V, y: V) -> V {
        // SAFETY: as above.
        unsafe { g.keep_gt(y, V::zero()) }
    }
}

impl Function for Relu6 {
    #[inline(always)]
    unsafe fn apply<V: Vector>(y: V) -> V {
        // SAFETY: the caller has V's instruction set.
        unsafe { V::splat(6.0).min(V::zero().max(y)) }
    }
    #[inline(always)]
    unsafe fn slope<V: Vector>(g: V, y: V) -> V {
        // SAFETY: as above.
        unsafe { g.keep_gt(y, V::zero()).keep_gt(V::splat(6.0), y) }
    }
}

impl Function for HSwish {
    #[inline(always)]
    unsafe fn apply<V: Vector>(y: V) -> V {
        // SAFETY: the caller has V's instruction set.
        unsafe {
            let t = V::splat(6.0).min(V::zero().max(y.add(V::splat(3.0))));
            y.mul(t).mul(V::splat(1.0 / 6.0))
        }
    }
    #[inline(always)]
    unsafe fn slope<V: Vector>(g: V, y: V) -> V {
        // SAFETY: as above.
        unsafe {
            let (low, high) = (V::splat(-3.0), V::splat(3.0));
            let inner = g.mul(y.mul_add(V::splat(1.0 / 3.0), V::splat(0.5)));
            let inner = inner.keep_gt(y, low).keep_gt(high, y);
            inner.add(g.keep_ge(y, high))
        }
    }
}

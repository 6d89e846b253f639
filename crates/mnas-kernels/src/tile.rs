//! Element-wise work on a tile of rows by channels that lies in cache: the ends of fused layers.

use crate::isa::dispatched;
use crate::simd::{Vector, channel_blocks};
use crate::source::Act;

/// Rows that the column sums walk at once: their accumulators stay in registers meanwhile.
const ROWS: usize = 8;

/// A tile: `rows` by `width`, rows `row` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Tile<P> {
    pub(crate) start: P,
    pub(crate) row: usize,
}

impl<P> Tile<P> {
    pub(crate) fn at(start: P, row: usize) -> Self {
        Self { start, row }
    }
}

/// Extents of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

impl Size {
    pub(crate) fn new(rows: usize, width: usize) -> Self {
        Self { rows, width }
    }
}

/// Per-channel batch norm; both null where there is none.
#[derive(Clone, Copy)]
pub(crate) struct AffineAt {
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
}

dispatched!(pub(crate) unsafe fn activate = activate_v(
    s: Size, x: Tile<*const f32>, affine: AffineAt, act: Act, gate: *const f32, out: Tile<*mut f32>,
));
dispatched!(pub(crate) unsafe fn norm_gradient = norm_gradient_v(
    s: Size, g: Tile<*const f32>, z: Tile<*const f32>, coefficients: [*const f32; 3],
    out: Tile<*mut f32>, accumulate: bool,
));
dispatched!(pub(crate) unsafe fn moments = moments_v(
    s: Size, x: Tile<*const f32>, pivot: *const f32, sums: *mut f32, squares: *mut f32,
));
dispatched!(pub(crate) unsafe fn finish = finish_v(
    s: Size, g: Tile<*mut f32>, z: Tile<*const f32>, affine: AffineAt, act: Act,
    mean: *const f32, sums: *mut f32, products: *mut f32,
));
dispatched!(pub(crate) unsafe fn add_row = add_row_v(s: Size, x: Tile<*mut f32>, row: *const f32));
dispatched!(pub(crate) unsafe fn sum_rows = sum_rows_v(s: Size, x: Tile<*const f32>, sums: *mut f32));
dispatched!(pub(crate) unsafe fn dot_rows = dot_rows_v(
    s: Size, g: Tile<*const f32>, x: Tile<*const f32>, affine: AffineAt, act: Act, sums: *mut f32,
));
dispatched!(pub(crate) unsafe fn mul_row = mul_row_v(s: Size, x: Tile<*mut f32>, row: *const f32));

/// The activation as the compiler sees it: a constant.
pub(crate) trait Function {
    unsafe fn apply<V: Vector>(y: V) -> V;
    /// `g · f'(y)`.
    unsafe fn slope<V: Vector>(g: V, y: V) -> V;
}

pub(crate) struct Linear;
pub(crate) struct Relu;
pub(crate) struct Relu6;
pub(crate) struct HSwish;

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

/// Calls `$f::<V, F>(..)` with the function type of `$act`.
macro_rules! with_act {
    ($act:expr, $f:ident::<$V:ident>($($arg:expr),* $(,)?)) => {
        match $act {
            Act::Linear => $f::<$V, Linear>($($arg),*),
            Act::Relu => $f::<$V, Relu>($($arg),*),
            Act::Relu6 => $f::<$V, Relu6>($($arg),*),
            Act::HSwish => $f::<$V, HSwish>($($arg),*),
        }
    };
}

/// `out = act(affine(x)) * gate`.
///
/// # Safety
/// All tiles valid for the size; `gate` null or `width` floats.
#[inline(always)]
unsafe fn activate_v<V: Vector>(
    s: Size,
    x: Tile<*const f32>,
    affine: AffineAt,
    act: Act,
    gate: *const f32,
    out: Tile<*mut f32>,
) {
    // SAFETY: handed on.
    unsafe { with_act!(act, activate_f::<V>(s, x, affine, gate, out)) }
}

/// # Safety
/// As [`activate_v`].
#[inline(always)]
unsafe fn activate_f<V: Vector, F: Function>(
    s: Size,
    x: Tile<*const f32>,
    affine: AffineAt,
    gate: *const f32,
    out: Tile<*mut f32>,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let (x, out) = (x.start.add(r * x.row), out.start.add(r * out.row));
            if affine.scale.is_null() || !gate.is_null() {
                channel_blocks!(V, s.width, |j, n, FULL| {
                    let mut y = V::get::<FULL>(x.add(j), n);
                    if !affine.scale.is_null() {
                        let scale = V::get::<FULL>(affine.scale.add(j), n);
                        y = scale.mul_add(y, V::get::<FULL>(affine.shift.add(j), n));
                    }
                    let mut y = F::apply(y);
                    if !gate.is_null() {
                        y = y.mul(V::get::<FULL>(gate.add(j), n));
                    }
                    y.put::<FULL>(out.add(j), n);
                });
            } else {
                channel_blocks!(V, s.width, |j, n, FULL| {
                    let scale = V::get::<FULL>(affine.scale.add(j), n);
                    let shift = V::get::<FULL>(affine.shift.add(j), n);
                    let y = scale.mul_add(V::get::<FULL>(x.add(j), n), shift);
                    F::apply(y).put::<FULL>(out.add(j), n);
                });
            }
        }
    }
}

/// `out (+)= a*g + b*z + d`, per channel.
///
/// # Safety
/// All tiles valid for the size; each coefficient `width` floats.
#[inline(always)]
unsafe fn norm_gradient_v<V: Vector>(
    s: Size,
    g: Tile<*const f32>,
    z: Tile<*const f32>,
    [a, b, d]: [*const f32; 3],
    out: Tile<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let (g, z) = (g.start.add(r * g.row), z.start.add(r * z.row));
            let out = out.start.add(r * out.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let y = V::get::<FULL>(b.add(j), n)
                    .mul_add(V::get::<FULL>(z.add(j), n), V::get::<FULL>(d.add(j), n));
                let mut y = V::get::<FULL>(a.add(j), n).mul_add(V::get::<FULL>(g.add(j), n), y);
                if accumulate {
                    y = y.add(V::get::<FULL>(out.add(j), n));
                }
                y.put::<FULL>(out.add(j), n);
            });
        }
    }
}

/// `sums += Σ (x - pivot)`, `squares += Σ (x - pivot)²` over rows.
///
/// # Safety
/// The tile valid for the size; `pivot`, `sums`, `squares` of `width` floats.
#[inline(always)]
unsafe fn moments_v<V: Vector>(
    s: Size,
    x: Tile<*const f32>,
    pivot: *const f32,
    sums: *mut f32,
    squares: *mut f32,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let start = x.start.add(r * x.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let p = V::get::<FULL>(pivot.add(j), n);
                let mut sum = V::get::<FULL>(sums.add(j), n);
                let mut square = V::get::<FULL>(squares.add(j), n);
                for i in 0..rows {
                    let d = V::get::<FULL>(start.add(i * x.row + j), n).sub(p);
                    sum = sum.add(d);
                    square = d.mul_add(d, square);
                }
                sum.put::<FULL>(sums.add(j), n);
                square.put::<FULL>(squares.add(j), n);
            });
        }
    }
}

/// `g *= act'(affine(z))`; `sums += Σ g`, `products += Σ g·(z - mean)` over rows.
///
/// # Safety
/// All tiles valid for the size; per-channel pointers of `width` floats.
#[inline(always)]
unsafe fn finish_v<V: Vector>(
    s: Size,
    g: Tile<*mut f32>,
    z: Tile<*const f32>,
    affine: AffineAt,
    act: Act,
    mean: *const f32,
    sums: *mut f32,
    products: *mut f32,
) {
    // SAFETY: handed on.
    unsafe { with_act!(act, finish_f::<V>(s, g, z, affine, mean, sums, products)) }
}

/// # Safety
/// As [`finish_v`].
#[inline(always)]
unsafe fn finish_f<V: Vector, F: Function>(
    s: Size,
    g: Tile<*mut f32>,
    z: Tile<*const f32>,
    affine: AffineAt,
    mean: *const f32,
    sums: *mut f32,
    products: *mut f32,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let (g0, z0) = (g.start.add(r * g.row), z.start.add(r * z.row));
            channel_blocks!(V, s.width, |j, n, FULL| {
                let scale = V::get::<FULL>(affine.scale.add(j), n);
                let shift = V::get::<FULL>(affine.shift.add(j), n);
                let mean = V::get::<FULL>(mean.add(j), n);
                let mut sum = V::get::<FULL>(sums.add(j), n);
                let mut product = V::get::<FULL>(products.add(j), n);
                for i in 0..rows {
                    let p = g0.add(i * g.row + j);
                    let z = V::get::<FULL>(z0.add(i * z.row + j), n);
                    let g = F::slope(V::get::<FULL>(p, n), scale.mul_add(z, shift));
                    g.put::<FULL>(p, n);
                    sum = sum.add(g);
                    product = g.mul_add(z.sub(mean), product);
                }
                sum.put::<FULL>(sums.add(j), n);
                product.put::<FULL>(products.add(j), n);
            });
        }
    }
}

/// `x += row`, each row.
///
/// # Safety
/// The tile valid for the size; `row` of `width` floats.
#[inline(always)]
unsafe fn add_row_v<V: Vector>(s: Size, x: Tile<*mut f32>, row: *const f32) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let x = x.start.add(r * x.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let y = V::get::<FULL>(x.add(j), n).add(V::get::<FULL>(row.add(j), n));
                y.put::<FULL>(x.add(j), n);
            });
        }
    }
}

/// `sums += Σ x` over rows.
///
/// # Safety
/// The tile valid for the size; `sums` of `width` floats.
#[inline(always)]
unsafe fn sum_rows_v<V: Vector>(s: Size, x: Tile<*const f32>, sums: *mut f32) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let start = x.start.add(r * x.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let mut sum = V::get::<FULL>(sums.add(j), n);
                for i in 0..rows {
                    sum = sum.add(V::get::<FULL>(start.add(i * x.row + j), n));
                }
                sum.put::<FULL>(sums.add(j), n);
            });
        }
    }
}

/// `sums += Σ g·act(affine(x))` over rows.
///
/// # Safety
/// All tiles valid for the size; per-channel pointers of `width` floats, the affine's or null.
#[inline(always)]
unsafe fn dot_rows_v<V: Vector>(
    s: Size,
    g: Tile<*const f32>,
    x: Tile<*const f32>,
    affine: AffineAt,
    act: Act,
    sums: *mut f32,
) {
    // SAFETY: handed on.
    unsafe { with_act!(act, dot_rows_f::<V>(s, g, x, affine, sums)) }
}

/// # Safety
/// As [`dot_rows_v`].
#[inline(always)]
unsafe fn dot_rows_f<V: Vector, F: Function>(
    s: Size,
    g: Tile<*const f32>,
    x: Tile<*const f32>,
    affine: AffineAt,
    sums: *mut f32,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let (g0, x0) = (g.start.add(r * g.row), x.start.add(r * x.row));
            channel_blocks!(V, s.width, |j, n, FULL| {
                let (mut scale, mut shift) = (V::splat(1.0), V::zero());
                if !affine.scale.is_null() {
                    scale = V::get::<FULL>(affine.scale.add(j), n);
                    shift = V::get::<FULL>(affine.shift.add(j), n);
                }
                let mut sum = V::get::<FULL>(sums.add(j), n);
                for i in 0..rows {
                    let y =
                        F::apply(scale.mul_add(V::get::<FULL>(x0.add(i * x.row + j), n), shift));
                    sum = y.mul_add(V::get::<FULL>(g0.add(i * g.row + j), n), sum);
                }
                sum.put::<FULL>(sums.add(j), n);
            });
        }
    }
}

/// `x *= row`, each row.
///
/// # Safety
/// The tile valid for the size; `row` of `width` floats.
#[inline(always)]
unsafe fn mul_row_v<V: Vector>(s: Size, x: Tile<*mut f32>, row: *const f32) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let x = x.start.add(r * x.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let y = V::get::<FULL>(x.add(j), n).mul(V::get::<FULL>(row.add(j), n));
                y.put::<FULL>(x.add(j), n);
            });
        }
    }
}

//! Element-wise work on a tile of rows by channels that lies in cache: the ends of fused layers.

mod function;
mod staged;

use crate::isa::dispatched;
use crate::simd::{Vector, channel_blocks};
use crate::source::Act;
use crate::stored::{At, AtMut, Stored};
use function::{Function, HSwish, Linear, Relu, Relu6};

pub(crate) use staged::Staged;

/// Rows that the column sums walk at once: their accumulators stay in registers meanwhile.
const ROWS: usize = 8;

/// A tile: `rows` by `width`, rows `row` values apart.
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

impl From<Tile<*const f32>> for Tile<At> {
    fn from(t: Tile<*const f32>) -> Self {
        Tile::at(At::F32(t.start), t.row)
    }
}

impl From<Tile<*mut f32>> for Tile<AtMut> {
    fn from(t: Tile<*mut f32>) -> Self {
        Tile::at(AtMut::F32(t.start), t.row)
    }
}

impl Tile<AtMut> {
    pub(crate) fn cast_const(self) -> Tile<At> {
        Tile::at(self.start.cast_const(), self.row)
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

dispatched!(pub(crate) unsafe fn copy = copy_v(
    s: Size, x: Tile<At>, out: Tile<AtMut>, accumulate: bool,
));
dispatched!(pub(crate) unsafe fn activate = activate_v(
    s: Size, x: Tile<At>, affine: AffineAt, act: Act, gate: *const f32, out: Tile<*mut f32>,
));
dispatched!(pub(crate) unsafe fn norm_gradient = norm_gradient_v(
    s: Size, g: Tile<At>, z: Tile<At>, coefficients: [*const f32; 3],
    out: Tile<*mut f32>, accumulate: bool,
));
dispatched!(pub(crate) unsafe fn moments = moments_v(
    s: Size, x: Tile<At>, pivot: *const f32, sums: *mut f32, squares: *mut f32,
));
dispatched!(pub(crate) unsafe fn store_with_moments = store_with_moments_v(
    s: Size, x: Staged, pivot: *const f32, sums: *mut f32, squares: *mut f32,
));
dispatched!(pub(crate) unsafe fn finish = finish_v(
    s: Size, g: Staged, z: Tile<At>, affine: AffineAt, act: Act,
    mean: *const f32, sums: *mut f32, products: *mut f32,
));
dispatched!(pub(crate) unsafe fn add_row = add_row_v(s: Size, x: Tile<*mut f32>, row: *const f32));
dispatched!(pub(crate) unsafe fn sum_rows = sum_rows_v(s: Size, x: Tile<*const f32>, sums: *mut f32));
dispatched!(pub(crate) unsafe fn dot_rows = dot_rows_v(
    s: Size, g: Tile<At>, x: Tile<At>, affine: AffineAt, act: Act, sums: *mut f32,
));
dispatched!(pub(crate) unsafe fn mul_row = mul_row_v(s: Size, x: Tile<AtMut>, row: *const f32));

/// Calls `$f::<V, F, ..>(..)` with the function type of `$act`.
macro_rules! with_act {
    ($act:expr, $f:ident::<$V:ident, _ $(, $rest:tt)*>($($arg:expr),* $(,)?)) => {
        match $act {
            Act::Linear => $f::<$V, Linear $(, $rest)*>($($arg),*),
            Act::Relu => $f::<$V, Relu $(, $rest)*>($($arg),*),
            Act::Relu6 => $f::<$V, Relu6 $(, $rest)*>($($arg),*),
            Act::HSwish => $f::<$V, HSwish $(, $rest)*>($($arg),*),
        }
    };
}

/// Evaluates `$body` with tile `$x` of the type that it stores: its place's type is `$At`.
macro_rules! with_stored {
    ($At:ident, |$x:ident| $body:expr) => {
        match $x.start {
            $At::F32(start) => {
                let $x = Tile::at(start, $x.row);
                $body
            }
            $At::Bf16(start) => {
                let $x = Tile::at(start, $x.row);
                $body
            }
        }
    };
}

/// `out (+)= x`.
///
/// # Safety
/// Both tiles valid for the size.
#[inline(always)]
unsafe fn copy_v<V: Vector>(s: Size, x: Tile<At>, out: Tile<AtMut>, accumulate: bool) {
    // SAFETY: handed on.
    unsafe {
        with_stored!(At, |x| with_stored!(AtMut, |out| copy_f::<V, _, _>(
            s, x, out, accumulate
        )))
    }
}

/// # Safety
/// As [`copy_v`].
#[inline(always)]
unsafe fn copy_f<V: Vector, X: Stored, T: Stored>(
    s: Size,
    x: Tile<*const X>,
    out: Tile<*mut T>,
    accumulate: bool,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let (x, out) = (x.start.add(r * x.row), out.start.add(r * out.row));
            channel_blocks!(V, s.width, |j, n, FULL| {
                let mut y: V = X::get::<V, FULL>(x.add(j), n);
                if accumulate {
                    y = y.add(T::get::<V, FULL>(out.add(j), n));
                }
                T::put::<V, FULL>(T::round(y), out.add(j), n);
            });
        }
    }
}

/// `out = act(affine(x)) * gate`.
///
/// # Safety
/// All tiles valid for the size; `gate` null or `width` floats.
#[inline(always)]
unsafe fn activate_v<V: Vector>(
    s: Size,
    x: Tile<At>,
    affine: AffineAt,
    act: Act,
    gate: *const f32,
    out: Tile<*mut f32>,
) {
    // SAFETY: handed on.
    unsafe {
        with_stored!(At, |x| with_act!(
            act,
            activate_f::<V, _, _>(s, x, affine, gate, out)
        ))
    }
}

/// # Safety
/// As [`activate_v`].
#[inline(always)]
unsafe fn activate_f<V: Vector, F: Function, X: Stored>(
    s: Size,
    x: Tile<*const X>,
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
                    let mut y: V = X::get::<V, FULL>(x.add(j), n);
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
                    let y = scale.mul_add(X::get::<V, FULL>(x.add(j), n), shift);
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
    g: Tile<At>,
    z: Tile<At>,
    coefficients: [*const f32; 3],
    out: Tile<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: handed on.
    unsafe {
        with_stored!(At, |g| with_stored!(At, |z| norm_gradient_f::<V, _, _>(
            s,
            g,
            z,
            coefficients,
            out,
            accumulate
        )))
    }
}

/// # Safety
/// As [`norm_gradient_v`].
#[inline(always)]
unsafe fn norm_gradient_f<V: Vector, G: Stored, Z: Stored>(
    s: Size,
    g: Tile<*const G>,
    z: Tile<*const Z>,
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
                    .mul_add(Z::get::<V, FULL>(z.add(j), n), V::get::<FULL>(d.add(j), n));
                let g = G::get::<V, FULL>(g.add(j), n);
                let mut y = V::get::<FULL>(a.add(j), n).mul_add(g, y);
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
    x: Tile<At>,
    pivot: *const f32,
    sums: *mut f32,
    squares: *mut f32,
) {
    let nowhere: Tile<*mut f32> = Tile::at(std::ptr::null_mut(), 0);
    // SAFETY: handed on; nothing is stored.
    unsafe {
        with_stored!(At, |x| moments_f::<V, _, _, false>(
            s, x, nowhere, pivot, sums, squares
        ))
    }
}

/// Stores the tile; [`moments_v`] of what is stored.
///
/// # Safety
/// As [`moments_v`].
#[inline(always)]
unsafe fn store_with_moments_v<V: Vector>(
    s: Size,
    x: Staged,
    pivot: *const f32,
    sums: *mut f32,
    squares: *mut f32,
) {
    let work = Tile::at(x.work.start.cast_const(), x.work.row);
    // SAFETY: handed on.
    unsafe {
        match x.out.start {
            AtMut::F32(_) => moments_v::<V>(s, work.into(), pivot, sums, squares),
            AtMut::Bf16(start) => {
                let out = Tile::at(start, x.out.row);
                moments_f::<V, _, _, true>(s, work, out, pivot, sums, squares);
            }
        }
    }
}

/// # Safety
/// As [`moments_v`]; `out` is valid for the size where `STORE`.
#[inline(always)]
unsafe fn moments_f<V: Vector, X: Stored, T: Stored, const STORE: bool>(
    s: Size,
    x: Tile<*const X>,
    out: Tile<*mut T>,
    pivot: *const f32,
    sums: *mut f32,
    squares: *mut f32,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let start = x.start.add(r * x.row);
            let out0 = out.start.wrapping_add(r * out.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let p = V::get::<FULL>(pivot.add(j), n);
                let mut sum = V::get::<FULL>(sums.add(j), n);
                let mut square = V::get::<FULL>(squares.add(j), n);
                for i in 0..rows {
                    let mut v: V = X::get::<V, FULL>(start.add(i * x.row + j), n);
                    if STORE {
                        v = T::round(v);
                        T::put::<V, FULL>(v, out0.add(i * out.row + j), n);
                    }
                    let d = v.sub(p);
                    sum = sum.add(d);
                    square = d.mul_add(d, square);
                }
                sum.put::<FULL>(sums.add(j), n);
                square.put::<FULL>(squares.add(j), n);
            });
        }
    }
}

/// `g *= act'(affine(z))`, which is stored; `sums += Σ g`, `products += Σ g·(z - mean)` over rows,
/// of what is stored.
///
/// # Safety
/// All tiles valid for the size; per-channel pointers of `width` floats.
#[inline(always)]
unsafe fn finish_v<V: Vector>(
    s: Size,
    g: Staged,
    z: Tile<At>,
    affine: AffineAt,
    act: Act,
    mean: *const f32,
    sums: *mut f32,
    products: *mut f32,
) {
    let (work, out) = (g.work, g.out);
    // SAFETY: handed on.
    unsafe {
        with_stored!(At, |z| with_stored!(AtMut, |out| with_act!(
            act,
            finish_f::<V, _, _, _>(s, work, z, affine, mean, out, sums, products)
        )))
    }
}

/// # Safety
/// As [`finish_v`].
#[inline(always)]
unsafe fn finish_f<V: Vector, F: Function, Z: Stored, T: Stored>(
    s: Size,
    g: Tile<*mut f32>,
    z: Tile<*const Z>,
    affine: AffineAt,
    mean: *const f32,
    out: Tile<*mut T>,
    sums: *mut f32,
    products: *mut f32,
) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in (0..s.rows).step_by(ROWS) {
            let rows = ROWS.min(s.rows - r);
            let (g0, z0) = (g.start.add(r * g.row), z.start.add(r * z.row));
            let out0 = out.start.add(r * out.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let scale = V::get::<FULL>(affine.scale.add(j), n);
                let shift = V::get::<FULL>(affine.shift.add(j), n);
                let mean = V::get::<FULL>(mean.add(j), n);
                let mut sum = V::get::<FULL>(sums.add(j), n);
                let mut product = V::get::<FULL>(products.add(j), n);
                for i in 0..rows {
                    let z: V = Z::get::<V, FULL>(z0.add(i * z.row + j), n);
                    let g = V::get::<FULL>(g0.add(i * g.row + j), n);
                    let g = T::round(F::slope(g, scale.mul_add(z, shift)));
                    T::put::<V, FULL>(g, out0.add(i * out.row + j), n);
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
    g: Tile<At>,
    x: Tile<At>,
    affine: AffineAt,
    act: Act,
    sums: *mut f32,
) {
    // SAFETY: handed on.
    unsafe {
        with_stored!(At, |g| with_stored!(At, |x| with_act!(
            act,
            dot_rows_f::<V, _, _, _>(s, g, x, affine, sums)
        )))
    }
}

/// # Safety
/// As [`dot_rows_v`].
#[inline(always)]
unsafe fn dot_rows_f<V: Vector, F: Function, G: Stored, X: Stored>(
    s: Size,
    g: Tile<*const G>,
    x: Tile<*const X>,
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
                    let x = X::get::<V, FULL>(x0.add(i * x.row + j), n);
                    let y = F::apply(scale.mul_add(x, shift));
                    sum = y.mul_add(G::get::<V, FULL>(g0.add(i * g.row + j), n), sum);
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
unsafe fn mul_row_v<V: Vector>(s: Size, x: Tile<AtMut>, row: *const f32) {
    // SAFETY: handed on.
    unsafe { with_stored!(AtMut, |x| mul_row_f::<V, _>(s, x, row)) }
}

/// # Safety
/// As [`mul_row_v`].
#[inline(always)]
unsafe fn mul_row_f<V: Vector, X: Stored>(s: Size, x: Tile<*mut X>, row: *const f32) {
    // SAFETY: the caller vouches for the tiles; blocks stay within the width.
    unsafe {
        for r in 0..s.rows {
            let x = x.start.add(r * x.row);
            channel_blocks!(V, s.width, |j, n, FULL| {
                let y: V = X::get::<V, FULL>(x.add(j), n).mul(V::get::<FULL>(row.add(j), n));
                X::put::<V, FULL>(X::round(y), x.add(j), n);
            });
        }
    }
}

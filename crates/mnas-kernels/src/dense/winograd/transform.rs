//! Squares of pixels, of outputs and of weights to their values at the points, and back.

use std::ops::Range;

use super::{Planes, Winograd};
use crate::dense::DenseShape;
use crate::isa::dispatched;
use crate::product::Out;
use crate::simd::{Vector, channel_blocks};
use crate::stored::{At, Stored};
use crate::tile::Tile;

/// Side of a square of input pixels.
pub(super) const SIDE: usize = 6;
/// The points are 0, ±`POINTS[0]`, ±`POINTS[1]` and infinity. Their squares are exact in binary, and
/// of the pairs tried no other was clearly more accurate ({√½, √2} and {5/8, 3/2} are about as good);
/// {1, 2} has more than twice the error (`docs/decisions/0008-fewer-products.md`).
const POINTS: [f32; 2] = [0.75, 1.5];
const SQUARED: [f32; 2] = [POINTS[0] * POINTS[0], POINTS[1] * POINTS[1]];
/// What the values of a window's polynomial are multiplied by: `1 / Π (p - q)` over the other points.
const FACTORS: [f32; SIDE] = {
    let [a, b] = SQUARED;
    let (near, far) = (0.5 / (a * (a - b)), 0.5 / (b * (b - a)));
    [1.0 / (a * b), near, near, far, far, 1.0]
};

dispatched!(pub(super) unsafe fn pixels = pixels_v(winograd: &Winograd, x: At, rows: &Range<usize>, to: Planes));
dispatched!(pub(super) unsafe fn outputs = outputs_v(
    winograd: &Winograd, from: Planes, rows: &Range<usize>, width: usize, out: Out,
));
dispatched!(pub(super) unsafe fn output_gradients = output_gradients_v(
    winograd: &Winograd, g: Tile<*const f32>, rows: &Range<usize>, to: Planes,
));
dispatched!(pub(super) unsafe fn weights = weights_v(
    winograd: &Winograd, from: &Windows, inputs: usize, to: *mut f32, plane: usize,
));
dispatched!(pub(super) unsafe fn weight_gradients = weight_gradients_v(
    shape: &DenseShape, sums: &[f32], outputs: &Range<usize>, to: *mut f32,
));

/// Calls `$f::<V, N>(..)` with the size `N` that belongs to the window's side.
macro_rules! sized {
    ($kernel:expr, 3 => $three:literal, 5 => $five:literal, $f:ident::<$V:ident, _>($($arg:expr),*)) => {
        match $kernel {
            3 => $f::<$V, $three>($($arg),*),
            _ => $f::<$V, $five>($($arg),*),
        }
    };
}

/// `even + p odd` and `even - p odd`.
///
/// # Safety
/// `V`'s instruction set must be available.
#[inline(always)]
unsafe fn pair<V: Vector>(p: f32, even: V, odd: V) -> [V; 2] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        [
            V::splat(p).mul_add(odd, even),
            V::splat(-p).mul_add(odd, even),
        ]
    }
}

/// Values at the points that pixels stand for: `Bᵀ d`.
///
/// # Safety
/// `V`'s instruction set must be available.
#[inline(always)]
unsafe fn from_pixels<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
    let [a, b] = SQUARED;
    // SAFETY: the caller has the instruction set.
    unsafe {
        let (a_minus, b_minus) = (V::splat(-a), V::splat(-b));
        let (sum, product) = (V::splat(-(a + b)), V::splat(a * b));
        let near = pair(
            POINTS[0],
            b_minus.mul_add(d[2], d[4]),
            b_minus.mul_add(d[1], d[3]),
        );
        let far = pair(
            POINTS[1],
            a_minus.mul_add(d[2], d[4]),
            a_minus.mul_add(d[1], d[3]),
        );
        let zero = product.mul_add(d[0], sum.mul_add(d[2], d[4]));
        let infinity = product.mul_add(d[1], sum.mul_add(d[3], d[5]));
        [zero, near[0], near[1], far[0], far[1], infinity]
    }
}

/// Values of the polynomial with coefficients `c` at the points; at infinity, its last one.
///
/// # Safety
/// `V`'s instruction set must be available.
#[inline(always)]
unsafe fn evaluate<V: Vector, const N: usize>(c: [V; N]) -> [V; SIDE] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let mut values = [c[0]; SIDE];
        for i in 0..POINTS.len() {
            let square = V::splat(SQUARED[i]);
            // Horner's rule over even and over odd powers.
            let mut halves = [V::zero(); 2];
            for j in (0..N).rev() {
                halves[j % 2] = match j + 2 < N {
                    true => square.mul_add(halves[j % 2], c[j]),
                    false => c[j],
                };
            }
            let both = pair(POINTS[i], halves[0], halves[1]);
            (values[1 + 2 * i], values[2 + 2 * i]) = (both[0], both[1]);
        }
        values[SIDE - 1] = c[N - 1];
        values
    }
}

/// The transpose of [`evaluate`]: `Σ v(p) pʲ` for each `j` below `N`.
///
/// # Safety
/// `V`'s instruction set must be available.
#[inline(always)]
unsafe fn interpolate<V: Vector, const N: usize>(v: [V; SIDE]) -> [V; N] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let sums = [v[1].add(v[2]), v[3].add(v[4])];
        let differences = [v[1].sub(v[2]), v[3].sub(v[4])];
        let mut out = [v[0].add(sums[0]).add(sums[1]); N];
        let mut powers = POINTS;
        for (j, out) in out.iter_mut().enumerate().skip(1) {
            let [near, far] = if j % 2 == 0 { sums } else { differences };
            *out = V::splat(powers[1]).mul_add(far, V::splat(powers[0]).mul(near));
            powers = [powers[0] * POINTS[0], powers[1] * POINTS[1]];
        }
        out[N - 1] = out[N - 1].add(v[SIDE - 1]);
        out
    }
}

/// `T x Tᵀ` of a square, `$along` being `T` from `$m` to `$n` values: `$load` gives the value of row
/// `$i` and column `$k`, `$put` takes the result `$v` of row `$y` and column `$x`. (No function, as
/// closures aren't compiled for the instruction set unless they are inlined.)
macro_rules! both_sides {
    ($V:ty, $along:path, $m:expr => $n:expr, |$i:ident, $k:ident| $load:expr,
     |$y:ident, $x:ident, $v:ident| $put:expr $(,)?) => {{
        let mut columns = [[<$V>::zero(); $n]; $m];
        for $k in 0..$m {
            let mut column = [<$V>::zero(); $m];
            for $i in 0..$m {
                column[$i] = $load;
            }
            columns[$k] = $along(column);
        }
        for $y in 0..$n {
            let mut row = [<$V>::zero(); $m];
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = column[$y];
            }
            for ($x, $v) in $along(row).into_iter().enumerate() {
                $put;
            }
        }
    }};
}

/// Squares of pixels, zero outside of the image, at the points.
///
/// # Safety
/// `x` must hold the images, `to` the squares of `rows`.
#[inline(always)]
unsafe fn pixels_v<V: Vector>(winograd: &Winograd, x: At, rows: &Range<usize>, to: Planes) {
    // SAFETY: handed on.
    unsafe {
        match x {
            At::F32(x) => pixels_f::<V, _>(winograd, x, rows, to),
            At::Bf16(x) => pixels_f::<V, _>(winograd, x, rows, to),
        }
    }
}

/// # Safety
/// As [`pixels_v`].
#[inline(always)]
unsafe fn pixels_f<V: Vector, X: Stored>(
    winograd: &Winograd,
    x: *const X,
    rows: &Range<usize>,
    to: Planes,
) {
    let (w, c) = (&winograd.shape.window, winograd.shape.inputs);
    // Rows or columns of a square that lie in the image.
    let meet = |at: usize, before: usize, extent: usize| {
        let end = (extent + before).saturating_sub(at).min(SIDE);
        before.saturating_sub(at).min(end)..end
    };
    for (t, [image, o, q]) in winograd.places(rows).enumerate() {
        let (ys, xs) = (meet(o, w.before[0], w.h), meet(q, w.before[1], w.w));
        let pixel = (image * w.h + o) * w.w + q;
        let padding = w.before[0] * w.w + w.before[1];
        let first = x.wrapping_add(pixel * c).wrapping_sub(padding * c);
        let from = Square::<X, SIDE>::new(first, (w.w * c, c), ys, xs);
        let to_t = to.start.wrapping_add(t * to.row);
        // SAFETY: pixels within the ranges lie in the image; blocks stay within the channels.
        unsafe {
            channel_blocks!(V, c, |j, n, FULL| {
                both_sides!(
                    V,
                    from_pixels,
                    SIDE => SIDE,
                    |i, k| from.get::<V, FULL>(i, k, j, n),
                    |y, x, v| v.put::<FULL>(to_t.add((y * SIDE + x) * to.plane + j), n),
                );
            });
        }
    }
}

/// What lies outside of an image.
static ZEROS: [f32; 16] = [0.0; 16];

/// Where the pixels of a square begin: those outside of the image lie at zeros, whatever the
/// channel.
struct Square<X, const N: usize> {
    start: [[*const X; N]; N],
    /// Takes a channel to its place: all ones, or none at zeros.
    mask: [[usize; N]; N],
}

impl<X: Stored, const N: usize> Square<X, N> {
    /// Of the square whose first pixel would lie at `first`, rows and columns as far apart as
    /// given; `ys` and `xs` lie in the image.
    #[inline(always)]
    fn new(
        first: *const X,
        (row, column): (usize, usize),
        ys: Range<usize>,
        xs: Range<usize>,
    ) -> Self {
        let mut square = Self {
            start: [[ZEROS.as_ptr().cast(); N]; N],
            mask: [[0; N]; N],
        };
        for i in ys {
            for k in xs.clone() {
                square.start[i][k] = first.wrapping_add(i * row + k * column);
                square.mask[i][k] = usize::MAX;
            }
        }
        square
    }

    /// Channels `j..` of the pixel in row `i` and column `k`.
    ///
    /// # Safety
    /// As [`Vector::get`], where the pixel lies in the image.
    #[inline(always)]
    unsafe fn get<V: Vector, const FULL: bool>(&self, i: usize, k: usize, j: usize, n: usize) -> V {
        const { assert!(V::LEN <= ZEROS.len()) };
        // SAFETY: handed on; there are as many zeros as a vector has lanes.
        unsafe { X::get::<V, FULL>(self.start[i][k].add(j & self.mask[i][k]), n) }
    }
}

/// Sums at the points as output pixels, those outside of the image left out.
///
/// # Safety
/// `from` must hold the squares of `rows` by `width` channels, `out` the output pixels.
#[inline(always)]
unsafe fn outputs_v<V: Vector>(
    winograd: &Winograd,
    from: Planes,
    rows: &Range<usize>,
    width: usize,
    out: Out,
) {
    // SAFETY: handed on.
    unsafe {
        sized!(winograd.shape.window.kernel, 3 => 4, 5 => 2, outputs_n::<V, _>(winograd, from, rows, width, out));
    }
}

/// # Safety
/// As [`outputs_v`], with `N` the step.
#[inline(always)]
unsafe fn outputs_n<V: Vector, const N: usize>(
    winograd: &Winograd,
    from: Planes,
    rows: &Range<usize>,
    width: usize,
    out: Out,
) {
    let w = &winograd.shape.window;
    for (t, [image, o, q]) in winograd.places(rows).enumerate() {
        let from_t = from.start.wrapping_add(t * from.row).cast_const();
        let first = (image * w.out_h + o) * w.out_w + q - rows.start;
        let (ys, xs) = (w.out_h - o, w.out_w - q);
        // SAFETY: blocks stay within the width, pixels within the image.
        unsafe {
            channel_blocks!(V, width, |j, n, FULL| {
                both_sides!(
                    V,
                    interpolate::<V, N>,
                    SIDE => N,
                    |i, k| V::get::<FULL>(from_t.add((i * SIDE + k) * from.plane + j), n),
                    |y, x, v| if y < ys && x < xs {
                        let to = out.start.add((first + y * w.out_w + x) * out.row + j);
                        match out.accumulate {
                            true => v.add(V::get::<FULL>(to, n)).put::<FULL>(to, n),
                            false => v.put::<FULL>(to, n),
                        }
                    },
                );
            });
        }
    }
}

/// Squares of the output's gradient, zero outside of the image, at the points.
///
/// # Safety
/// `g` must hold the rows by all output channels, `to` the squares of `rows`.
#[inline(always)]
unsafe fn output_gradients_v<V: Vector>(
    winograd: &Winograd,
    g: Tile<*const f32>,
    rows: &Range<usize>,
    to: Planes,
) {
    // SAFETY: handed on.
    unsafe {
        sized!(winograd.shape.window.kernel, 3 => 4, 5 => 2, output_gradients_n::<V, _>(winograd, g, rows, to));
    }
}

/// # Safety
/// As [`output_gradients_v`], with `N` the step.
#[inline(always)]
unsafe fn output_gradients_n<V: Vector, const N: usize>(
    winograd: &Winograd,
    g: Tile<*const f32>,
    rows: &Range<usize>,
    to: Planes,
) {
    let w = &winograd.shape.window;
    for (t, [image, o, q]) in winograd.places(rows).enumerate() {
        let to_t = to.start.wrapping_add(t * to.row);
        let pixel = (image * w.out_h + o) * w.out_w + q - rows.start;
        let (ys, xs) = (0..N.min(w.out_h - o), 0..N.min(w.out_w - q));
        let first = g.start.wrapping_add(pixel * g.row);
        let from = Square::<f32, N>::new(first, (w.out_w * g.row, g.row), ys, xs);
        // SAFETY: blocks stay within the width, pixels within the image.
        unsafe {
            channel_blocks!(V, winograd.shape.outputs, |j, n, FULL| {
                both_sides!(
                    V,
                    evaluate,
                    N => SIDE,
                    |i, k| from.get::<V, FULL>(i, k, j, n),
                    |y, x, v| v.put::<FULL>(to_t.add((y * SIDE + x) * to.plane + j), n),
                );
            });
        }
    }
}

/// A vector of columns of the weights: the window of an input channel has its taps `tap` apart, that of
/// the next input channel lies `next` further.
pub(super) struct Windows {
    pub(super) start: *const f32,
    pub(super) tap: usize,
    pub(super) next: usize,
    /// Columns at each tap, a vector at most.
    pub(super) columns: usize,
    /// Whether the window is turned by half.
    pub(super) turned: bool,
}

/// Weights of a vector of columns at the points, `[point][input][lane]`, points `plane` apart.
///
/// # Safety
/// `from` must hold the windows of `inputs` channels, of the size that `winograd` has; `to` the vectors.
#[inline(always)]
unsafe fn weights_v<V: Vector>(
    winograd: &Winograd,
    from: &Windows,
    inputs: usize,
    to: *mut f32,
    plane: usize,
) {
    // SAFETY: handed on.
    unsafe {
        sized!(winograd.shape.window.kernel, 3 => 3, 5 => 5, weights_n::<V, _>(from, inputs, to, plane));
    }
}

/// # Safety
/// As [`weights_v`], with `N` the window's side.
#[inline(always)]
unsafe fn weights_n<V: Vector, const N: usize>(
    from: &Windows,
    inputs: usize,
    to: *mut f32,
    plane: usize,
) {
    let whole = from.columns == V::LEN;
    for input in 0..inputs {
        // SAFETY: the caller vouches for the windows and the vectors.
        unsafe {
            let (window, to) = (from.start.add(input * from.next), to.add(input * V::LEN));
            both_sides!(
                V,
                evaluate,
                N => SIDE,
                |i, k| {
                    let tap = i * N + k;
                    let tap = if from.turned { N * N - 1 - tap } else { tap };
                    match whole {
                        true => V::load(window.add(tap * from.tap)),
                        false => V::load_part(window.add(tap * from.tap), from.columns),
                    }
                },
                |y, x, v| {
                    let v = v.mul(V::splat(FACTORS[y] * FACTORS[x]));
                    v.store(to.add((y * SIDE + x) * plane));
                },
            );
        }
    }
}

/// Gradient of the weights of the output channels `outputs` from that at the points,
/// `[point][output][input]`.
///
/// # Safety
/// Both must be valid for the shape, whose window is one of [`Winograd::of`].
#[inline(always)]
unsafe fn weight_gradients_v<V: Vector>(
    shape: &DenseShape,
    sums: &[f32],
    outputs: &Range<usize>,
    to: *mut f32,
) {
    // SAFETY: handed on.
    unsafe {
        sized!(shape.window.kernel, 3 => 3, 5 => 5, weight_gradients_n::<V, _>(shape, sums, outputs, to));
    }
}

/// # Safety
/// As [`weight_gradients_v`], with `N` the window's side.
#[inline(always)]
unsafe fn weight_gradients_n<V: Vector, const N: usize>(
    shape: &DenseShape,
    sums: &[f32],
    outputs: &Range<usize>,
    to: *mut f32,
) {
    let plane = shape.outputs * shape.inputs;
    for o in outputs.clone() {
        // SAFETY: points lie within the sums; blocks stay within the channels.
        unsafe {
            let to = to.add(o * shape.patch());
            channel_blocks!(V, shape.inputs, |j, n, FULL| {
                both_sides!(
                    V,
                    interpolate::<V, N>,
                    SIDE => N,
                    |i, k| {
                        let at = (i * SIDE + k) * plane + o * shape.inputs + j;
                        let sum = V::get::<FULL>(sums.as_ptr().add(at), n);
                        sum.mul(V::splat(FACTORS[i] * FACTORS[k]))
                    },
                    |y, x, v| v.put::<FULL>(to.add((y * N + x) * shape.inputs + j), n),
                );
            });
        }
    }
}

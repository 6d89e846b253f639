//! Conversions against arithmetic, and every kernel on bfloat16 against itself on f32: what is
//! stored is rounded, and nothing else differs by a bit.

use proptest::prelude::*;

use super::*;
use crate::dense::{DenseShape, dense_backward, dense_forward};
use crate::depthwise::tests::window;
use crate::depthwise::{depthwise_backward, depthwise_forward};
use crate::join::{
    MapShape, add, add_gradient, gate_backward, global_average, global_average_backward,
    materialize,
};
use crate::norm::{finish, moments, norm_gradient};
use crate::pointwise::{PointwiseShape, pointwise_backward, pointwise_forward};
use crate::source::{Finish, Moments, Sink};
use crate::test_data::{
    ACTS, Coming, Given, Kept, check_moments, close_sums, double, isas, teams, values,
};
use crate::tile::{self, Size, Tile};

/// The nearest bfloat16 of a finite value by distance, not by bits.
fn nearest(x: f32) -> u16 {
    let below = (x.to_bits() >> 16) as u16;
    let above = below + 1;
    let value = |b: u16| match b & 0x7FFF {
        // Infinity lies where the next value would.
        0x7F80 => 2f64.powi(128),
        b => f64::from(f32::from_bits(u32::from(b) << 16)),
    };
    let x = f64::from(x.abs());
    let (down, up) = (x - value(below), value(above) - x);
    if down < up || (down == up && below.is_multiple_of(2)) {
        below
    } else {
        above
    }
}

/// Zeros, subnormals, ties, the largest values, infinities, NaNs, and bits at random.
fn odd_values() -> Vec<f32> {
    let chosen = [
        0,
        1,
        0x7FFF,
        0x8000,
        0x8001,
        0x1_7FFF,
        0x1_8000,
        0x1_8001,
        0x7F_FFFF,
        0x80_0000,
        0x3F80_7FFF,
        0x3F80_8000,
        0x3F80_8001,
        0x3F81_8000,
        0x3FFF_FFFF,
        0x7F7F_7FFF,
        0x7F7F_8000,
        0x7F7F_FFFF,
        0x7F80_0000,
        0x7F80_0001,
        0x7F80_FFFF,
        0x7FBF_FFFF,
        0x7FC0_0000,
        0x7FFF_FFFF,
    ];
    let random = values(3000, 7).into_iter().zip(values(3000, 8));
    let random = random.map(|(a, b)| a.to_bits() << 16 ^ b.to_bits());
    let all = chosen.into_iter().chain(random);
    all.flat_map(|b| [f32::from_bits(b), f32::from_bits(b | 1 << 31)])
        .collect()
}

#[test]
fn rounding() {
    for x in odd_values() {
        let got = Bf16::from_f32(x);
        if x.is_nan() {
            assert!(got.to_f32().is_nan(), "{:x}", x.to_bits());
        } else if x.is_infinite() {
            assert_eq!(got.to_f32(), x);
        } else {
            assert_eq!(got.0, nearest(x), "{:x}", x.to_bits());
        }
    }
    for b in 0..=u16::MAX {
        let x = Bf16(b).to_f32();
        assert!(x.is_nan() || Bf16::from_f32(x).0 == b, "{b:x}");
    }
}

/// Vectors convert as numbers do, bit by bit, at any length, and touch nothing else.
#[test]
fn vectors_convert_as_numbers_do() {
    let x = odd_values();
    let every: Vec<Bf16> = (0..=u16::MAX).map(Bf16).collect();
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for isa in isas() {
        for n in (1..70).chain([x.len() - 3]) {
            for at in [0, 1, 3] {
                let x = &x[at..at + n];
                let mut narrow = vec![Bf16(0xABCD); n + 1];
                let size = Size::new(1, n);
                // SAFETY: both hold n values.
                unsafe {
                    let from = Tile::at(At::F32(x.as_ptr()), n);
                    let to = Tile::at(AtMut::Bf16(narrow.as_mut_ptr()), n);
                    tile::copy(isa, size, from, to, false);
                }
                let expected: Vec<Bf16> = x.iter().map(|x| Bf16::from_f32(*x)).collect();
                assert_eq!(narrow[..n], expected, "{isa:?} {n}");
                assert_eq!(narrow[n], Bf16(0xABCD));

                let from = &every[at * 15_000..][..n];
                let mut wide = vec![7.0; n + 1];
                // SAFETY: both hold n values.
                unsafe {
                    let from = Tile::at(At::Bf16(from.as_ptr()), n);
                    let to = Tile::at(AtMut::F32(wide.as_mut_ptr()), n);
                    tile::copy(isa, size, from, to, false);
                }
                let expected: Vec<f32> = from.iter().map(|b| b.to_f32()).collect();
                assert_eq!(bits(&wide[..n]), bits(&expected), "{isa:?} {n}");
                assert_eq!(wide[n], 7.0);
            }
        }
        let mut wide = vec![0.0; every.len()];
        // SAFETY: both hold every value.
        unsafe {
            let from = Tile::at(At::Bf16(every.as_ptr()), every.len());
            let to = Tile::at(AtMut::F32(wide.as_mut_ptr()), every.len());
            tile::copy(isa, Size::new(1, every.len()), from, to, false);
        }
        let expected: Vec<f32> = every.iter().map(|b| b.to_f32()).collect();
        assert_eq!(bits(&wide), bits(&expected), "{isa:?}");
    }
}

#[test]
fn memory_of_floats() {
    let mut floats = [0.0; 3];
    Bf16::within_mut(&mut floats)[5] = Bf16::from_f32(1.5);
    assert_eq!(Bf16::within(&floats)[4..], [Bf16(0), Bf16::from_f32(1.5)]);
}

/// Which tensors of one call are bfloat16.
#[derive(Debug, Clone, Copy)]
struct Halves {
    source: bool,
    g: bool,
    z: bool,
    out: bool,
}

impl Halves {
    const NONE: Self = Self {
        source: false,
        g: false,
        z: false,
        out: false,
    };

    fn all() -> impl Strategy<Value = Self> {
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(source, g, z, out)| Self { source, g, z, out })
    }
}

/// What a layer wrote: output with its moments, gradients of weights, gradient at the input with
/// the sums of its finish.
struct Written {
    y: Kept,
    moments: Moments,
    dw: Vec<f32>,
    dx: Kept,
    sums: Vec<f64>,
}

/// What `layer` writes with the tensors stored as `halves` says.
fn written(
    given: &Given,
    (coming, halves): (&Coming, Halves),
    [outputs, y_len, dw_len]: [usize; 3],
    (accumulate, finishes): (bool, bool),
    layer: impl FnOnce(&Given, &Coming, ValuesMut, &mut Moments, &mut [f32], Sink),
) -> Written {
    let (given, coming) = (
        given.rounded(halves.source),
        coming.rounded([halves.g, halves.z]),
    );
    let before = Kept::new(&values(given.meant().len(), 31), true).read();
    let mut w = Written {
        y: Kept::new(&vec![f32::NAN; y_len], halves.out),
        moments: Moments::new(outputs),
        dw: vec![f32::NAN; dw_len],
        dx: Kept::new(&before, halves.out),
        sums: vec![f64::NAN; 2 * given.mean.len()],
    };
    let finish = finishes.then_some(Finish {
        mean: &given.mean,
        sums: &mut w.sums,
    });
    let sink = Sink {
        out: w.dx.values_mut(),
        accumulate,
        finish,
    };
    layer(
        &given,
        &coming,
        w.y.values_mut(),
        &mut w.moments,
        &mut w.dw,
        sink,
    );
    w
}

/// Checks what was written with some tensors as bfloat16 against what was with none.
fn check(got: &Written, plain: &Written, given: &Given, halves: Halves, finishes: bool) {
    let rounded = |k: &Kept| Kept::new(&k.read(), halves.out).read();
    assert_eq!(got.y.read(), rounded(&plain.y), "output");
    assert_eq!(got.dx.read(), rounded(&plain.dx), "input gradient");
    assert_eq!(got.dw, plain.dw, "weight gradient");
    check_moments(&got.moments, &double(&got.y.read()));
    if finishes {
        let dx = double(&got.dx.read());
        let tolerance = 1e-5 * (1.0 + dx.iter().map(|g| g.abs()).sum::<f64>());
        close_sums(&got.sums, &given.rounded(true).sums(&dx), tolerance);
    }
}

fn check_pointwise(
    shape: PointwiseShape,
    act: usize,
    [normed, gated, accumulate]: [bool; 3],
    halves: Halves,
) {
    let PointwiseShape {
        images,
        pixels,
        inputs,
        outputs,
    } = shape;
    let rows = images * pixels;
    let given = Given::new((images, pixels, inputs), ACTS[act], normed, gated);
    let coming = Coming::new(rows, outputs, normed);
    let (w, b) = (values(inputs * outputs, 1), values(outputs, 2));
    let finishes = normed && !gated;
    for mut workers in teams() {
        let mut run = |halves| {
            let sizes = [outputs, rows * outputs, w.len()];
            let kind = (accumulate, finishes);
            written(
                &given,
                (&coming, halves),
                sizes,
                kind,
                |given, coming, y, m, dw, sink| {
                    let (x, g, bias) = (given.source(), coming.upstream(), Some(&*b));
                    let mut db = vec![0.0; outputs];
                    let (db, sink) = (Some(&mut *db), Some(sink));
                    pointwise_forward(&mut workers, shape, &x, &w, bias, y, Some(m));
                    pointwise_backward(&mut workers, shape, &x, &w, &g, dw, db, sink);
                },
            )
        };
        check(&run(halves), &run(Halves::NONE), &given, halves, finishes);
    }
}

fn check_depthwise(
    w: crate::Window,
    c: usize,
    act: usize,
    [normed, bias, accumulate]: [bool; 3],
    halves: Halves,
) {
    let given = Given::new((w.images, w.h * w.w, c), ACTS[act], normed, false);
    let coming = Coming::new(w.outputs(), c, normed);
    let (weights, b) = (values(w.kernel * w.kernel * c, 1), values(c, 2));
    for mut workers in teams() {
        let mut run = |halves| {
            let sizes = [c, w.outputs() * c, weights.len()];
            let kind = (accumulate, normed);
            written(
                &given,
                (&coming, halves),
                sizes,
                kind,
                |given, coming, y, m, dw, sink| {
                    let (x, g, bias) = (given.source(), coming.upstream(), bias.then_some(&*b));
                    let (k, sink) = (&weights, Some(sink));
                    depthwise_forward(&mut workers, &w, c, &x, k, bias, y, Some(m));
                    depthwise_backward(&mut workers, &w, c, &x, k, &g, dw, None, sink);
                },
            )
        };
        check(&run(halves), &run(Halves::NONE), &given, halves, normed);
    }
}

fn check_dense(
    w: crate::Window,
    [inputs, outputs]: [usize; 2],
    [normed, accumulate]: [bool; 2],
    halves: Halves,
) {
    let shape = DenseShape {
        window: w,
        inputs,
        outputs,
    };
    let given = Given::new((w.images, w.h * w.w, inputs), ACTS[0], false, false);
    let coming = Coming::new(w.outputs(), outputs, normed);
    let weights = values(shape.weights(), 1);
    for mut workers in teams() {
        let mut run = |halves| {
            let sizes = [outputs, w.outputs() * outputs, weights.len()];
            let kind = (accumulate, false);
            written(
                &given,
                (&coming, halves),
                sizes,
                kind,
                |given, coming, y, m, dw, sink| {
                    let (x, g) = (given.source().raw, coming.upstream());
                    let to = Some((sink.out, accumulate));
                    dense_forward(&mut workers, &shape, x, &weights, None, y, Some(m));
                    dense_backward(&mut workers, &shape, x, &weights, &g, dw, None, to);
                },
            )
        };
        check(&run(halves), &run(Halves::NONE), &given, halves, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pointwise(
        images in 1usize..4, pixels in 1usize..50, inputs in 1usize..70, outputs in 1usize..70,
        act in 0usize..4, kind: [bool; 3], halves in Halves::all(),
    ) {
        let shape = PointwiseShape { images, pixels, inputs, outputs };
        check_pointwise(shape, act, kind, halves);
    }

    #[test]
    fn depthwise(
        images in 1usize..4, h in 1usize..14, w in 1usize..14, half in 0usize..5,
        stride in 1usize..4, c in 1usize..40, act in 0usize..4, kind: [bool; 3],
        halves in Halves::all(),
    ) {
        check_depthwise(window(images, (h, w), 2 * half + 1, stride), c, act, kind, halves);
    }

    #[test]
    fn dense(
        images in 1usize..3, h in 1usize..10, w in 1usize..10, half in 0usize..4,
        stride in 1usize..4, inputs in 1usize..20, outputs in 1usize..40, kind: [bool; 2],
        halves in Halves::all(),
    ) {
        let w = window(images, (h, w), 2 * half + 1, stride);
        check_dense(w, [inputs, outputs], kind, halves);
    }
}

/// Both ways through the pointwise backward pass, rows of the depthwise one that wait over several
/// steps and images, many tiles of the dense one and both windows of Winograd's method.
#[test]
fn large_shapes() {
    let halves = Halves {
        source: true,
        g: true,
        z: true,
        out: true,
    };
    let shapes = [
        (5, 241, 24, 40),
        (7, 131, 96, 24),
        (2, 9, 200, 330),
        (3, 49, 130, 17),
    ];
    for (images, pixels, inputs, outputs) in shapes {
        let shape = PointwiseShape {
            images,
            pixels,
            inputs,
            outputs,
        };
        for accumulate in [false, true] {
            check_pointwise(shape, 1, [true, false, accumulate], halves);
        }
    }
    for stride in [1, 2] {
        for kernel in [3, 5] {
            let kind = [true, false, stride == 1];
            check_depthwise(window(3, (33, 24), kernel, stride), 48, 1, kind, halves);
            check_depthwise(window(17, (4, 3), kernel, stride), 24, 3, kind, halves);
        }
    }
    check_dense(window(1, (6, 5), 5, 1), [300, 100], [true, false], halves);
    check_dense(window(3, (40, 41), 3, 2), [3, 16], [true, true], halves);
    check_dense(window(5, (16, 14), 3, 1), [20, 24], [true, true], halves);
    check_dense(window(5, (14, 16), 5, 1), [24, 20], [true, false], halves);
}

const MAPS: [(usize, usize, usize); 4] = [(1, 1, 1), (3, 49, 40), (2, 1000, 17), (5, 4, 480)];

/// Layers without weights.
#[test]
fn joins() {
    for (images, pixels, channels) in MAPS {
        let shape = MapShape {
            images,
            pixels,
            channels,
        };
        let n = shape.values();
        let a = Given::new((images, pixels, channels), ACTS[3], true, true);
        let b = Given::new((images, pixels, channels), ACTS[0], false, false);
        let ungated = Given::new((images, pixels, channels), ACTS[1], true, false);
        let gate = values(images * channels, 1);
        for mut workers in teams() {
            let mut run = |bf16| {
                let [a, b, ungated] = [&a, &b, &ungated].map(|g| g.rounded(bf16));
                let nothing = || Kept::new(&vec![f32::NAN; n], bf16);
                let mut out = vec![];
                for s in [&a, &b] {
                    let mut y = nothing();
                    materialize(&workers, shape, &s.source(), y.values_mut());
                    out.push(y.read());
                }
                for (a, b) in [(&a, &b), (&b, &a)] {
                    let mut y = nothing();
                    add(&workers, shape, &a.source(), &b.source(), y.values_mut());
                    out.push(y.read());
                }
                let mut mean = vec![f32::NAN; gate.len()];
                global_average(&workers, shape, &a.source(), &mut mean);
                for accumulate in [false, true] {
                    let mut dx = Kept::new(&Kept::new(&values(n, 3), true).read(), bf16);
                    let sink = Sink {
                        out: dx.values_mut(),
                        accumulate,
                        finish: None,
                    };
                    let source = ungated.source();
                    global_average_backward(&mut workers, shape, &source, &gate, sink);
                    out.push(dx.read());
                    let g = Kept::new(&Kept::new(&values(n, 4), true).read(), bf16);
                    let mut dx = Kept::new(&Kept::new(&values(n, 3), true).read(), bf16);
                    add_gradient(&workers, g.values(), dx.values_mut(), accumulate);
                    out.push(dx.read());
                }
                let mut g = Kept::new(&Kept::new(&values(n, 5), true).read(), bf16);
                let mut dgate = vec![f32::NAN; gate.len()];
                let source = ungated.source();
                gate_backward(&workers, shape, &source, &gate, g.values_mut(), &mut dgate);
                out.push(g.read());
                (out, mean, dgate)
            };
            let (plain, half) = (run(false), run(true));
            for (i, (plain, half)) in plain.0.iter().zip(&half.0).enumerate() {
                assert_eq!(Kept::new(plain, true).read(), *half, "{i}");
            }
            assert_eq!((plain.1, plain.2), (half.1, half.2));
        }
    }
}

/// Passes of batch norm that stand alone, and a finish after the average over all pixels.
#[test]
fn norms() {
    for (images, pixels, channels) in MAPS {
        let rows = images * pixels;
        let shape = MapShape {
            images,
            pixels,
            channels,
        };
        let given = Given::new((images, pixels, channels), ACTS[1], true, false).rounded(true);
        let x = Kept::new(&values(rows * channels, 1), true);
        for mut workers in teams() {
            let mut m = Moments::new(channels);
            moments(&mut workers, x.values(), &mut m);
            check_moments(&m, &double(&x.read()));

            let mut run = |bf16| {
                let given = given.rounded(bf16);
                let mut out = vec![];
                for average in [false, true] {
                    let mut g = Kept::new(&x.read(), bf16);
                    let mut sums = vec![f64::NAN; 2 * channels];
                    let end = Finish {
                        mean: &given.mean,
                        sums: &mut sums,
                    };
                    if average {
                        let sink = Sink {
                            out: g.values_mut(),
                            accumulate: true,
                            finish: Some(end),
                        };
                        let dy = values(images * channels, 6);
                        global_average_backward(&mut workers, shape, &given.source(), &dy, sink);
                    } else {
                        finish(&mut workers, channels, &given.source(), g.values_mut(), end);
                    }
                    let g64 = double(&g.read());
                    let tolerance = 1e-5 * (1.0 + g64.iter().map(|g| g.abs()).sum::<f64>());
                    close_sums(&sums, &given.sums(&g64), tolerance);
                    out.push(g.read());
                }
                for normed in [false, true] {
                    for accumulate in [false, true] {
                        let coming = Coming::new(rows, channels, normed).rounded([bf16; 2]);
                        let mut dz = Kept::new(&x.read(), bf16);
                        let (up, to) = (coming.upstream(), dz.values_mut());
                        norm_gradient(&workers, channels, &up, to, accumulate);
                        out.push(dz.read());
                    }
                }
                out
            };
            for (i, (plain, half)) in run(false).iter().zip(run(true)).enumerate() {
                assert_eq!(Kept::new(plain, true).read(), half, "{i}");
            }
        }
    }
}

use proptest::prelude::*;

use super::backward::ALONE;
use super::*;
use crate::depthwise::tests::{taps, window};
use crate::test_data::{Coming, check_moments, close, double, isas, teams, values};

fn check(w: Window, ci: usize, co: usize, normed: bool, bias: bool, accumulate: bool) {
    let shape = DenseShape {
        window: w,
        inputs: ci,
        outputs: co,
    };
    let k2 = w.kernel * w.kernel;
    let coming = Coming::new(w.outputs(), co, normed);
    let x = values(w.inputs() * ci, 3);
    let (weights, b) = (values(shape.weights(), 1), values(co, 2));
    let (x64, g, w64) = (double(&x), coming.meant(), double(&weights));
    let start = |j: usize| if bias { f64::from(b[j % co]) } else { 0.0 };
    let mut y: Vec<f64> = (0..w.outputs() * co).map(start).collect();
    let (mut dw, mut dx) = (vec![0.0; w64.len()], vec![0.0; x.len()]);
    taps(&w, |p, t, i| {
        for o in 0..co {
            for c in 0..ci {
                let at = (o * k2 + t) * ci + c;
                y[p * co + o] += x64[i * ci + c] * w64[at];
                dw[at] += g[p * co + o] * x64[i * ci + c];
                dx[i * ci + c] += g[p * co + o] * w64[at];
            }
        }
    });
    let db: Vec<f64> = (0..co)
        .map(|j| g.iter().skip(j).step_by(co).sum())
        .collect();
    let before = values(x.len(), 9);
    if accumulate {
        dx.iter_mut()
            .zip(&before)
            .for_each(|(d, b)| *d += f64::from(*b));
    }
    for mut workers in teams() {
        let mut out = vec![f32::NAN; y.len()];
        let mut moments = Moments::new(co);
        let with_bias = bias.then_some(&*b);
        let m = Some(&mut moments);
        let (x, y_out) = (Values::F32(&x), ValuesMut::F32(&mut out));
        dense_forward(&mut workers, &shape, x, &weights, with_bias, y_out, m);
        close(&out, &y, 1e-5 * (k2 * ci) as f64);
        check_moments(&moments, &y);
        let (mut wg, mut bg) = (vec![f32::NAN; dw.len()], vec![f32::NAN; co]);
        let mut xg = if accumulate {
            before.clone()
        } else {
            vec![f32::NAN; x.len()]
        };
        let (upstream, bg_some) = (coming.upstream(), bias.then_some(&mut *bg));
        let to = Some((ValuesMut::F32(&mut xg), accumulate));
        dense_backward(
            &mut workers,
            &shape,
            x,
            &weights,
            &upstream,
            &mut wg,
            bg_some,
            to,
        );
        // Winograd's sums cancel.
        let slack = if Winograd::of(&shape).is_some() {
            4.0
        } else {
            1.0
        };
        let tolerance = slack * 1e-4 * (w.outputs() as f64).sqrt();
        close(&wg, &dw, tolerance);
        close(&xg, &dx, 1e-5 * (k2 * co) as f64);
        if bias {
            close(&bg, &db, tolerance);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn matches_double_precision(
        images in 1usize..3, h in 1usize..10, w in 1usize..10, half in 0usize..4,
        stride in 1usize..4, ci in 1usize..20, co in 1usize..40, normed: bool, bias: bool,
        accumulate: bool,
    ) {
        check(window(images, (h, w), 2 * half + 1, stride), ci, co, normed, bias, accumulate);
    }
}

/// Windows laid out row by row, weight gradients by channels, and many tiles.
#[test]
fn wide_and_tall() {
    check(window(1, (6, 5), 5, 1), 300, 100, true, true, false);
    check(window(3, (40, 41), 3, 2), 3, 16, true, false, false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Windows that Winograd's method takes, padded above and left or not, where it pays and where it doesn't.
    #[test]
    fn windows_without_strides_match_double_precision(
        images in 1usize..6, h in 5usize..26, w in 5usize..26, wide: bool, before in [0usize..3, 0usize..3],
        ci in 12usize..40, co in 12usize..40, normed: bool, accumulate: bool,
    ) {
        let kernel = if wide { 5 } else { 3 };
        let mut window = window(images, (h, w), kernel, 1);
        window.before = before.map(|b| b.min(kernel - 1));
        let extent = |n: usize, before: usize| n + before + 1 - kernel;
        (window.out_h, window.out_w) = (extent(h, before[0]), extent(w, before[1]));
        check(window, ci, co, normed, false, accumulate);
    }
}

/// Whole lines of squares of large images, several images at once, squares that end outside of the
/// image, channels that fill vectors and that don't, tasks that share the output's channels. The last
/// sums the weights' gradient in groups of tiles of which one begins within an image.
#[test]
fn squares_of_pixels() {
    for (images, size, kernel, ci, co, accumulate) in [
        (2, (40, 36), 3, 16, 33, true),
        (3, (29, 30), 3, 17, 16, false),
        (9, (13, 14), 5, 48, 20, true),
        (2, (36, 38), 5, 19, 48, false),
        (40, (7, 8), 3, 65, 64, false),
        (1, (132, 128), 3, 16, 16, true),
        (4, (14, 14), 3, 20, 100, true),
        (1, (80, 80), 3, 128, 16, false),
    ] {
        let shape = DenseShape {
            window: window(images, size, kernel, 1),
            inputs: ci,
            outputs: co,
        };
        let mirrored = shape.mirrored().and_then(|m| Winograd::of(&m));
        assert!(
            Winograd::of(&shape).is_some() && mirrored.is_some(),
            "{shape:?}"
        );
        check(shape.window, ci, co, kernel == 3, accumulate, accumulate);
        let groups = Winograd::of(&shape).unwrap().groups();
        assert!(ci != 128 || groups.tile < groups.count, "{groups:?}");
    }
}

/// The weights' gradient summed by points over several groups of tiles and summed by rows, tiles of
/// several images, a bias.
#[test]
fn squares_have_the_same_bits_for_any_number_of_threads() {
    for (images, size, kernel, ci, co) in [(96, (9, 8), 3, 32, 100), (6, (32, 30), 5, 24, 20)] {
        let shape = DenseShape {
            window: window(images, size, kernel, 1),
            inputs: ci,
            outputs: co,
        };
        let winograd = Winograd::of(&shape).unwrap();
        assert!(winograd.groups().tile < winograd.groups().count);
        assert_eq!(winograd.parts() >= ALONE, co == 20, "{shape:?}");
        let x = values(shape.window.inputs() * ci, 3);
        let (weights, bias) = (values(shape.weights(), 1), values(co, 2));
        let coming = Coming::new(shape.window.outputs(), co, true);
        let run = |isa, threads| {
            let mut y = vec![f32::NAN; shape.window.outputs() * co];
            let (mut dw, mut dx) = (vec![f32::NAN; weights.len()], vec![f32::NAN; x.len()]);
            let mut moments = Moments::new(co);
            let mut workers = Workers::new(threads, isa).unwrap();
            Workers::enter(&mut workers, |workers| {
                let (x, out) = (Values::F32(&x), ValuesMut::F32(&mut y));
                dense_forward(
                    workers,
                    &shape,
                    x,
                    &weights,
                    Some(&bias),
                    out,
                    Some(&mut moments),
                );
                let to = Some((ValuesMut::F32(&mut dx), false));
                dense_backward(
                    workers,
                    &shape,
                    x,
                    &weights,
                    &coming.upstream(),
                    &mut dw,
                    None,
                    to,
                );
            });
            (y, moments, dw, dx)
        };
        for isa in isas() {
            let one = run(isa, 1);
            for threads in [2, 5] {
                assert!(run(isa, threads) == one, "{threads} threads");
            }
        }
    }
}

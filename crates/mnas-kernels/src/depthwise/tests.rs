use proptest::prelude::*;

use super::*;
use crate::test_data::{
    ACTS, Coming, Given, check_moments, check_sink, close, double, teams, values,
};

/// TensorFlow "same" padding: output length and zeros before.
pub(crate) fn same(n: usize, k: usize, s: usize) -> (usize, usize) {
    let out = n.div_ceil(s);
    (out, ((out - 1) * s + k).saturating_sub(n) / 2)
}

pub(crate) fn window(
    images: usize,
    (h, w): (usize, usize),
    kernel: usize,
    stride: usize,
) -> Window {
    let ((out_h, top), (out_w, left)) = (same(h, kernel, stride), same(w, kernel, stride));
    Window {
        images,
        h,
        w,
        kernel,
        stride,
        before: [top, left],
        out_h,
        out_w,
    }
}

/// Calls `f(output pixel, tap, input pixel)` for all taps that meet the input.
pub(crate) fn taps(w: &Window, mut f: impl FnMut(usize, usize, usize)) {
    for p in 0..w.outputs() {
        let pixels = w.out_h * w.out_w;
        let (image, o, q) = (p / pixels, p % pixels / w.out_w, p % w.out_w);
        for t in 0..w.kernel * w.kernel {
            let (i, j) = (o * w.stride + t / w.kernel, q * w.stride + t % w.kernel);
            let inside = i >= w.before[0] && j >= w.before[1];
            if inside && i - w.before[0] < w.h && j - w.before[1] < w.w {
                f(
                    p,
                    t,
                    (image * w.h + i - w.before[0]) * w.w + j - w.before[1],
                );
            }
        }
    }
}

fn check(w: Window, c: usize, act: usize, normed: bool, bias: bool, accumulate: bool) {
    let given = Given::new((w.images, w.h * w.w, c), ACTS[act], normed, false);
    let coming = Coming::new(w.outputs(), c, normed);
    let k2 = w.kernel * w.kernel;
    let (weights, b) = (values(k2 * c, 1), values(c, 2));
    let (x, g, w64) = (given.meant(), coming.meant(), double(&weights));
    let start = |j: usize| if bias { f64::from(b[j % c]) } else { 0.0 };
    let mut y: Vec<f64> = (0..w.outputs() * c).map(start).collect();
    let (mut dw, mut dx) = (vec![0.0; k2 * c], vec![0.0; x.len()]);
    taps(&w, |p, t, i| {
        for j in 0..c {
            y[p * c + j] += x[i * c + j] * w64[t * c + j];
            dw[t * c + j] += g[p * c + j] * x[i * c + j];
            dx[i * c + j] += g[p * c + j] * w64[t * c + j];
        }
    });
    let db: Vec<f64> = (0..c).map(|j| g.iter().skip(j).step_by(c).sum()).collect();
    for mut workers in teams() {
        let (source, upstream) = (given.source(), coming.upstream());
        let mut out = vec![f32::NAN; y.len()];
        let mut moments = Moments::new(c);
        let with_bias = bias.then_some(&*b);
        let m = Some(&mut moments);
        depthwise_forward(
            &mut workers,
            &w,
            c,
            &source,
            &weights,
            with_bias,
            ValuesMut::F32(&mut out),
            m,
        );
        close(&out, &y, 2e-5 * (k2 as f64));
        check_moments(&moments, &y);
        let (mut wg, mut bg) = (vec![f32::NAN; dw.len()], vec![f32::NAN; c]);
        check_sink(
            &given,
            &dx,
            (accumulate, normed),
            2e-5 * (k2 as f64),
            |sink| {
                let bg = bias.then_some(&mut *bg);
                let workers = &mut workers;
                depthwise_backward(
                    workers, &w, c, &source, &weights, &upstream, &mut wg, bg, sink,
                );
            },
        );
        let tolerance = 1e-4 * (w.outputs() as f64).sqrt();
        close(&wg, &dw, tolerance);
        if bias {
            close(&bg, &db, tolerance);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn matches_double_precision(
        images in 1usize..4, h in 1usize..14, w in 1usize..14, half in 0usize..5,
        stride in 1usize..4, c in 1usize..40, act in 0usize..4, normed: bool, bias: bool,
        accumulate: bool,
    ) {
        check(window(images, (h, w), 2 * half + 1, stride), c, act, normed, bias, accumulate);
    }
}

#[test]
fn usual_shapes() {
    for kernel in [3, 5, 7] {
        for stride in [1, 2] {
            check(
                window(2, (33, 24), kernel, stride),
                48,
                1,
                true,
                false,
                false,
            );
            check(window(17, (4, 3), kernel, stride), 24, 2, true, false, true);
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::depthwise::tests::{taps, window};
use crate::test_data::{close, teams, values};

fn check(kind: Pool, w: Window, c: usize, accumulate: bool) {
    let (x, g) = (values(w.inputs() * c, 1), values(w.outputs() * c, 2));
    let mut under = vec![vec![]; w.outputs()];
    taps(&w, |p, _, i| under[p].push(i));
    let mut y = vec![0.0f64; g.len()];
    let mut dx = vec![if accumulate { 0.5f64 } else { 0.0 }; x.len()];
    for (p, pixels) in under.iter().enumerate() {
        for j in 0..c {
            let value = |i: &usize| f64::from(x[i * c + j]);
            let g = f64::from(g[p * c + j]);
            if kind == Pool::Average {
                y[p * c + j] = pixels.iter().map(value).sum::<f64>() / pixels.len() as f64;
                pixels
                    .iter()
                    .for_each(|i| dx[i * c + j] += g / pixels.len() as f64);
            } else {
                let best = pixels
                    .iter()
                    .max_by(|a, b| value(a).total_cmp(&value(b)))
                    .unwrap();
                y[p * c + j] = value(best);
                dx[best * c + j] += g;
            }
        }
    }
    for workers in teams() {
        let mut out = vec![f32::NAN; y.len()];
        pool_forward(&workers, kind, &w, c, &x, &mut out);
        close(&out, &y, 1e-6);
        let mut got = vec![if accumulate { 0.5 } else { f32::NAN }; x.len()];
        pool_backward(&workers, kind, &w, c, (&x, &out), &g, &mut got, accumulate);
        close(&got, &dx, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn matches_double_precision(
        images in 1usize..3, h in 1usize..9, w in 1usize..9, half in 0usize..3,
        stride in 1usize..4, c in 1usize..20, accumulate: bool,
    ) {
        let w = window(images, (h, w), 2 * half + 1, stride);
        check(Pool::Average, w, c, accumulate);
        check(Pool::Maximum, w, c, accumulate);
    }
}

#[test]
fn equal_maxima_and_nan() {
    let w = window(1, (1, 3), 3, 1);
    for workers in teams() {
        let (x, mut y, mut dx) = ([2.0, 2.0, 1.0], [0.0; 3], [0.0; 3]);
        pool_forward(&workers, Pool::Maximum, &w, 1, &x, &mut y);
        pool_backward(
            &workers,
            Pool::Maximum,
            &w,
            1,
            (&x, &y),
            &[1.0; 3],
            &mut dx,
            false,
        );
        assert_eq!((y, dx), ([2.0; 3], [2.0, 1.0, 0.0]));
        pool_forward(
            &workers,
            Pool::Maximum,
            &w,
            1,
            &[0.0, f32::NAN, 0.0],
            &mut y,
        );
        assert!(y.iter().all(|v| v.is_nan()), "{y:?}");
    }
}

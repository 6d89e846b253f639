use super::*;
use crate::test_data::values;

fn loss(x: &[f64], labels: &[u16], smoothing: f64) -> f64 {
    let k = x.len() / labels.len();
    let one = |(row, y): (&[f64], &u16)| {
        let log_sum = row.iter().map(|v| v.exp()).sum::<f64>().ln();
        let target = |j: usize| {
            smoothing / k as f64
                + if j == usize::from(*y) {
                    1.0 - smoothing
                } else {
                    0.0
                }
        };
        (0..k).map(|j| target(j) * (log_sum - row[j])).sum::<f64>()
    };
    x.chunks_exact(k).zip(labels).map(one).sum::<f64>() / labels.len() as f64
}

#[test]
fn value_and_gradient() {
    for smoothing in [0.0f32, 0.1, 1.0] {
        for k in [1, 2, 7] {
            let x: Vec<f32> = values(3 * k, 1).iter().map(|v| 4.0 * v).collect();
            let labels = [0, (k - 1) as u16, (k / 2) as u16];
            let mut g = vec![f32::NAN; x.len()];
            let (got, _) = cross_entropy(&x, &labels, smoothing, &mut g);
            let x64: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let s = f64::from(smoothing);
            assert!((f64::from(got) - loss(&x64, &labels, s)).abs() < 1e-5);
            for i in 0..x.len() {
                let at = |h: f64| {
                    let mut x = x64.clone();
                    x[i] += h;
                    loss(&x, &labels, s)
                };
                let d = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((f64::from(g[i]) - d).abs() < 1e-6, "at {i}: {} {d}", g[i]);
            }
        }
    }
}

#[test]
fn hits_large_logits_and_nan() {
    let mut g = [0.0; 4];
    let (loss, correct) = cross_entropy(&[900.0, -900.0, 1.0, 1.0], &[0, 1], 0.0, &mut g);
    // The second image's logits are equal: the first class is its answer.
    assert_eq!((loss, correct), (std::f32::consts::LN_2 / 2.0, 1));
    let (loss, correct) = cross_entropy(&[f32::NAN, 0.0], &[0], 0.0, &mut g[..2]);
    assert!(loss.is_nan() && correct == 0);
}

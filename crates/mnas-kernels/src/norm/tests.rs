use super::*;
use crate::source::Act;
use crate::test_data::{Coming, Given, check_moments, check_sink, close, double, teams, values};

/// Statistics stay exact far from zero, where squares of raw values would cancel.
#[test]
fn moments_far_from_zero() {
    for c in [1, 17, 40] {
        let x: Vec<f32> = values(c * 3000, 1).iter().map(|v| 1000.0 + v).collect();
        for mut workers in teams() {
            let mut m = Moments::new(c);
            moments(&mut workers, Values::F32(&x), &mut m);
            check_moments(&m, &double(&x));
        }
    }
}

#[test]
fn running_statistics_and_factors() {
    let mut n = BatchNorm::new(1);
    n.moments = Moments {
        count: 4,
        mean: vec![2.0],
        deviation: vec![12.0],
    };
    n.train(&[3.0], &[0.5], 1.0);
    // Variance 3, so 3 / sqrt(3 + 1) = 1.5.
    assert_eq!(
        (n.affine().scale, n.affine().shift),
        (&[1.5][..], &[-2.5][..])
    );
    let (mut mean, mut variance) = ([1.0], [2.0]);
    n.move_running(0.75, &mut mean, &mut variance);
    assert_eq!((mean, variance), ([1.25], [2.5]));
    n.evaluate(&[3.0], &[0.5], 1.0, &[1.0], &[8.0]);
    assert_eq!(
        (n.affine().scale, n.affine().shift),
        (&[1.0][..], &[-0.5][..])
    );
}

/// `Σ weight·BN(z)` and its gradient by central differences in double precision.
#[test]
fn backward_matches_differences() {
    let (rows, c) = (37, 5);
    let (z, weight) = (values(rows * c, 1), values(rows * c, 2));
    let (gamma, beta) = (values(c, 3), values(c, 4));
    let loss = |z: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
        (0..c)
            .map(|j| {
                let column = || z.iter().skip(j).step_by(c);
                let mean = column().sum::<f64>() / rows as f64;
                let var = column().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64;
                let y = |v: f64| gamma[j] * (v - mean) / (var + 0.01).sqrt() + beta[j];
                let w = weight.iter().skip(j).step_by(c);
                column()
                    .zip(w)
                    .map(|(v, w)| y(*v) * f64::from(*w))
                    .sum::<f64>()
            })
            .sum()
    };
    let (z64, gamma64, beta64) = (double(&z), double(&gamma), double(&beta));
    let differences = |which: usize| -> Vec<f64> {
        let all = [&z64, &gamma64, &beta64];
        (0..all[which].len())
            .map(|i| {
                let at = |h: f64| {
                    let mut v = all.map(Clone::clone);
                    v[which][i] += h;
                    loss(&v[0], &v[1], &v[2])
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            })
            .collect()
    };
    for mut workers in teams() {
        let mut n = BatchNorm::new(c);
        let z = Values::F32(&z);
        moments(&mut workers, z, &mut n.moments);
        n.train(&gamma, &beta, 0.01);
        let mut g = weight.clone();
        let mut sums = std::mem::take(&mut n.sums);
        let source = Source {
            affine: Some(n.affine()),
            ..Source::plain(z)
        };
        let end = Finish {
            mean: &n.mean,
            sums: &mut sums,
        };
        finish(&mut workers, c, &source, ValuesMut::F32(&mut g), end);
        n.sums = sums;
        let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
        n.backward(&gamma, &mut dgamma, &mut dbeta);
        let mut dz = vec![0.0; rows * c];
        let upstream = n.upstream(Values::F32(&g), z);
        norm_gradient(&workers, c, &upstream, ValuesMut::F32(&mut dz), false);
        close(&dz, &differences(0), 1e-4);
        close(&dgamma, &differences(1), 1e-4);
        close(&dbeta, &differences(2), 1e-4);
    }
}

#[test]
fn standing_alone() {
    for act in [Act::Linear, Act::Relu, Act::Relu6, Act::HSwish] {
        let given = Given::new((3, 100, 21), act, true, false);
        let g = double(&values(3 * 100 * 21, 5));
        for mut workers in teams() {
            check_sink(&given, &g, (false, true), 1e-5, |sink| {
                let sink = sink.unwrap();
                let (out, end) = (sink.out.into_f32(), sink.finish.unwrap());
                out.copy_from_slice(&values(3 * 100 * 21, 5));
                finish(&mut workers, 21, &given.source(), ValuesMut::F32(out), end);
            });
        }
    }
    for normed in [true, false] {
        let coming = Coming::new(300, 21, normed);
        for workers in teams() {
            let mut out = vec![1.0; 6300];
            let to = ValuesMut::F32(&mut out);
            norm_gradient(&workers, 21, &coming.upstream(), to, true);
            let expected: Vec<f64> = coming.meant().iter().map(|g| g + 1.0).collect();
            close(&out, &expected, 1e-5);
        }
    }
}

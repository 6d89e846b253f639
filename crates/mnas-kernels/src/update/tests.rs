use super::muon::*;
use super::*;
use crate::test_data::{close, double, teams, values};

/// Three steps by the formulas in double precision.
fn check(rule: Rule, n: usize) {
    let (rate, decay, share) = (0.1, 0.01, 0.25);
    let (w0, g) = (values(n, 1), values(n, 2));
    let mut w = double(&w0);
    let (mut m, mut s, mut a) = (vec![0.0; n], vec![1.0; n], w.clone());
    for _ in 0..3 {
        for i in 0..n {
            let g = f64::from(g[i]) + decay * w[i];
            match rule {
                Rule::Sgd { momentum, nesterov } => {
                    let momentum = f64::from(momentum);
                    m[i] = momentum * m[i] + g;
                    w[i] -= rate * if nesterov { g + momentum * m[i] } else { m[i] };
                }
                Rule::RmsProp {
                    decay,
                    momentum,
                    epsilon,
                } => {
                    let decay = f64::from(decay);
                    s[i] = decay * s[i] + (1.0 - decay) * g * g;
                    let step = rate * g / (s[i] + f64::from(epsilon)).sqrt();
                    m[i] = f64::from(momentum) * m[i] + step;
                    w[i] -= m[i];
                }
            }
            a[i] += share * (w[i] - a[i]);
        }
    }
    let squares = matches!(rule, Rule::RmsProp { .. });
    for workers in teams() {
        let (mut wt, mut mt) = (w0.clone(), vec![0.0; n]);
        let mut st = vec![1.0; if squares { n } else { 0 }];
        let mut at = w0.clone();
        for _ in 0..3 {
            let u = Update {
                weights: &mut wt,
                gradient: &g,
                momentum: &mut mt,
                square: &mut st,
                average: &mut at,
                weight_decay: decay as f32,
                share: share as f32,
            };
            update(&workers, rule, rate as f32, u);
        }
        close(&wt, &w, 1e-5);
        close(&mt, &m, 1e-5);
        close(&at, &a, 1e-5);
        if squares {
            close(&st, &s, 1e-5);
        }
    }
}

#[test]
fn rules_by_their_formulas() {
    for n in [1, 15, 16, 33, 40_001] {
        check(
            Rule::Sgd {
                momentum: 0.0,
                nesterov: false,
            },
            n,
        );
        check(
            Rule::Sgd {
                momentum: 0.9,
                nesterov: false,
            },
            n,
        );
        check(
            Rule::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            n,
        );
        check(
            Rule::RmsProp {
                decay: 0.9,
                momentum: 0.9,
                epsilon: 1e-3,
            },
            n,
        );
    }
}

#[test]
fn averages_alone() {
    let mut a = [1.0, 2.0];
    average(&[3.0, 0.0], &mut a, 0.25);
    assert_eq!(a, [1.5, 1.5]);
}

/// A matrix by rows in double precision.
type Matrix = Vec<Vec<f64>>;

fn times(a: &Matrix, b: &Matrix) -> Matrix {
    let dot = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(a, b)| a * b[j]).sum();
    a.iter()
        .map(|row| (0..b[0].len()).map(|j| dot(row, j)).collect())
        .collect()
}

/// Three steps of Newton-Schulz as `X (a + b XᵀX + c (XᵀX)²)`, whatever the matrix's form.
fn orthogonal_reference(mut x: Matrix) -> Matrix {
    let norm = x.iter().flatten().map(|v| v * v).sum::<f64>().sqrt();
    x.iter_mut().flatten().for_each(|v| *v /= norm);
    for _ in 0..3 {
        let columns = x[0].len();
        let transposed: Matrix = (0..columns)
            .map(|j| x.iter().map(|row| row[j]).collect())
            .collect();
        let gram = times(&transposed, &x);
        let mut polynomial = times(&gram, &gram);
        for (i, row) in polynomial.iter_mut().enumerate() {
            for (j, p) in row.iter_mut().enumerate() {
                let one = if i == j { 3.4445 } else { 0.0 };
                *p = one - 4.7750 * gram[i][j] + 2.0315 * *p;
            }
        }
        x = times(&x, &polynomial);
    }
    x
}

#[test]
fn muon_by_its_formulas() {
    let (rate, keep, share) = (0.1, 0.6, 0.25);
    for (rows, columns) in [
        (1, 1),
        (1, 7),
        (9, 1),
        (24, 27),
        (40, 130),
        (50, 17),
        (1100, 64),
    ] {
        let n = rows * columns;
        let (w0, g) = (values(n, 1), values(n, 2));
        let (mut w, mut m) = (double(&w0), vec![0.0; n]);
        let mut a = w.clone();
        for _ in 0..2 {
            let mut x = vec![0.0; n];
            for i in 0..n {
                m[i] = keep * m[i] + f64::from(g[i]);
                x[i] = f64::from(g[i]) + keep * m[i];
            }
            let x = x.chunks(columns).map(<[f64]>::to_vec).collect();
            let direction = orthogonal_reference(x).concat();
            let norm = w.iter().map(|w| w * w).sum::<f64>();
            for i in 0..n {
                w[i] = w[i] * (rows as f64 / norm).sqrt() - rate * direction[i];
                a[i] += share * (w[i] - a[i]);
            }
        }
        for mut workers in teams() {
            let (mut wt, mut mt, mut at) = (w0.clone(), vec![0.0; n], w0.clone());
            for _ in 0..2 {
                let u = Muon {
                    weights: &mut wt,
                    rows,
                    gradient: &g,
                    momentum: &mut mt,
                    keep: keep as f32,
                    average: &mut at,
                    share: share as f32,
                };
                muon(&mut workers, rate as f32, u);
            }
            close(&wt, &w, 1e-4);
            close(&mt, &m, 1e-5);
            close(&at, &a, 1e-4);
        }
    }
}

#[test]
fn muon_of_zeros_and_of_what_is_not_finite() {
    let step = |workers: &mut Workers, w: f32, g: f32| {
        let (mut weights, mut momentum) = (vec![w; 12], vec![0.0; 12]);
        let u = Muon {
            weights: &mut weights,
            rows: 3,
            gradient: &[0.0, 0.0, 0.0, 0.0, 0.0, g, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            momentum: &mut momentum,
            keep: 0.6,
            average: &mut [],
            share: 0.0,
        };
        muon(workers, 0.1, u);
        weights
    };
    for mut workers in teams() {
        assert_eq!(step(&mut workers, 0.0, 0.0), [0.0; 12]);
        close(&step(&mut workers, 2.0, 0.0), &[0.5; 12], 1e-6);
        for bad in [f32::NAN, f32::INFINITY] {
            let weights = step(&mut workers, 1.0, bad);
            assert!(weights.iter().all(|w| w.is_nan()), "{bad}: {weights:?}");
        }
    }
}

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

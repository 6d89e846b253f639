use super::*;
use crate::test_data::{ACTS, Given, check_sink, close, teams, values};

const SHAPES: [(usize, usize, usize); 4] = [(1, 1, 1), (3, 49, 40), (2, 1000, 17), (5, 4, 480)];

fn map((images, pixels, channels): (usize, usize, usize)) -> MapShape {
    MapShape {
        images,
        pixels,
        channels,
    }
}

#[test]
fn materialized_and_added() {
    for shape in SHAPES {
        for act in ACTS {
            let a = Given::new(shape, act, true, true);
            let b = Given::new(shape, act, false, false);
            let n = map(shape).values();
            for workers in teams() {
                let mut out = vec![f32::NAN; n];
                materialize(&workers, map(shape), &a.source(), ValuesMut::F32(&mut out));
                close(&out, &a.meant(), 1e-5);
                let sum: Vec<f64> = a
                    .meant()
                    .iter()
                    .zip(b.meant())
                    .map(|(a, b)| a + b)
                    .collect();
                for (a, b) in [(&a, &b), (&b, &a)] {
                    let to = ValuesMut::F32(&mut out);
                    add(&workers, map(shape), &a.source(), &b.source(), to);
                    close(&out, &sum, 1e-5);
                }
            }
        }
    }
}

#[test]
fn gradients_added() {
    let g = values(50_000, 1);
    for workers in teams() {
        let mut out = vec![f32::NAN; g.len()];
        add_gradient(&workers, Values::F32(&g), ValuesMut::F32(&mut out), false);
        assert_eq!(out, g);
        add_gradient(&workers, Values::F32(&g), ValuesMut::F32(&mut out), true);
        assert!(out.iter().zip(&g).all(|(o, g)| *o == 2.0 * g));
    }
}

#[test]
fn gates() {
    for shape in SHAPES {
        let (images, pixels, c) = shape;
        for act in ACTS {
            let given = Given::new(shape, act, true, false);
            let (gate, g) = (values(images * c, 1), values(map(shape).values(), 2));
            let x = given.meant();
            let mut dgate = vec![0.0; images * c];
            let scaled: Vec<f64> = (0..g.len())
                .map(|i| {
                    let at = i / (pixels * c) * c + i % c;
                    dgate[at] += f64::from(g[i]) * x[i];
                    f64::from(g[i]) * f64::from(gate[at])
                })
                .collect();
            for workers in teams() {
                let (mut g, mut got) = (g.clone(), vec![f32::NAN; images * c]);
                let (shape, product) = (map(shape), ValuesMut::F32(&mut g));
                gate_backward(&workers, shape, &given.source(), &gate, product, &mut got);
                close(&g, &scaled, 1e-6);
                close(&got, &dgate, 1e-5 * pixels as f64);
            }
        }
    }
}

#[test]
fn averages_over_all_pixels() {
    for shape in SHAPES {
        let (images, pixels, c) = shape;
        let given = Given::new(shape, ACTS[3], true, false);
        let x = given.meant();
        let mut mean = vec![0.0; images * c];
        let at = |i: usize| i / (pixels * c) * c + i % c;
        (0..x.len()).for_each(|i| mean[at(i)] += x[i] / pixels as f64);
        let g = values(images * c, 1);
        let spread: Vec<f64> = (0..x.len())
            .map(|i| f64::from(g[at(i)]) / pixels as f64)
            .collect();
        for mut workers in teams() {
            let mut out = vec![f32::NAN; images * c];
            global_average(&workers, map(shape), &given.source(), &mut out);
            close(&out, &mean, 1e-5);
            for kind in [(false, false), (false, true), (true, false), (true, true)] {
                check_sink(&given, &spread, kind, 1e-5, |sink| {
                    let (source, sink) = (given.source(), sink.unwrap());
                    global_average_backward(&mut workers, map(shape), &source, &g, sink);
                });
            }
        }
    }
}

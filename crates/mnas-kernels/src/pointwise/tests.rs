use proptest::prelude::*;

use super::*;
use crate::source::Sink;
use crate::stored::ValuesMut;
use crate::test_data::{
    ACTS, Coming, Given, check_moments, check_sink, close, double, teams, values,
};

/// Shape and kind of one case.
#[derive(Debug, Clone, Copy)]
struct Case {
    shape: PointwiseShape,
    act: usize,
    normed: bool,
    gated: bool,
    bias: bool,
    accumulate: bool,
}

fn check(case: Case) {
    let s = case.shape;
    let (ci, co) = (s.inputs, s.outputs);
    let given = Given::new(
        (s.images, s.pixels, ci),
        ACTS[case.act],
        case.normed,
        case.gated,
    );
    let coming = Coming::new(s.rows().count, co, case.normed);
    let (w, b) = (values(ci * co, 1), values(co, 2));
    let (x, g, w64) = (given.meant(), coming.meant(), double(&w));
    let bias = |o: usize| if case.bias { f64::from(b[o]) } else { 0.0 };
    let y: Vec<f64> = (0..s.rows().count * co)
        .map(|p| {
            let (r, o) = (p / co, p % co);
            (0..ci)
                .map(|i| x[r * ci + i] * w64[o * ci + i])
                .sum::<f64>()
                + bias(o)
        })
        .collect();
    let mut dw = vec![0.0; ci * co];
    let mut dx = vec![0.0; x.len()];
    let mut db = vec![0.0; co];
    for r in 0..s.rows().count {
        for o in 0..co {
            let g = g[r * co + o];
            db[o] += g;
            for i in 0..ci {
                dw[o * ci + i] += g * x[r * ci + i];
                dx[r * ci + i] += g * w64[o * ci + i];
            }
        }
    }
    for mut workers in teams() {
        let mut out = vec![f32::NAN; y.len()];
        let mut moments = Moments::new(co);
        let source = given.source();
        let bias = case.bias.then_some(&*b);
        pointwise_forward(
            &mut workers,
            s,
            &source,
            &w,
            bias,
            ValuesMut::F32(&mut out),
            Some(&mut moments),
        );
        close(&out, &y, 1e-4 * (ci as f64).sqrt());
        check_moments(&moments, &y);
        let (mut wg, mut bg) = (vec![f32::NAN; dw.len()], vec![f32::NAN; co]);
        let upstream = coming.upstream();
        let kind = (case.accumulate, case.normed && !case.gated);
        check_sink(&given, &dx, kind, 1e-4 * (co as f64).sqrt(), |sink| {
            let bias = case.bias.then_some(&mut *bg);
            pointwise_backward(&mut workers, s, &source, &w, &upstream, &mut wg, bias, sink);
        });
        let tolerance = 1e-4 * (s.rows().count as f64).sqrt();
        close(&wg, &dw, tolerance);
        if case.bias {
            close(&bg, &db, tolerance);
        }
        // Without a sink the weight gradient is the same.
        let mut alone = vec![f32::NAN; dw.len()];
        pointwise_backward(
            &mut workers,
            s,
            &source,
            &w,
            &upstream,
            &mut alone,
            None,
            None,
        );
        assert_eq!(alone, wg);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn matches_double_precision(
        images in 1usize..4, pixels in 1usize..50, inputs in 1usize..70, outputs in 1usize..70,
        act in 0usize..4, normed: bool, gated: bool, bias: bool, accumulate: bool,
    ) {
        let shape = PointwiseShape { images, pixels, inputs, outputs };
        check(Case { shape, act, normed, gated, bias, accumulate });
    }
}

/// Shapes that take each way through the backward pass: by rows, by channels, both ragged.
#[test]
fn tall_and_wide() {
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
        for (act, gated) in [(1, false), (3, true)] {
            let case = Case {
                shape,
                act,
                normed: true,
                gated,
                bias: true,
                accumulate: gated,
            };
            check(case);
        }
    }
}

/// Threads change nothing, not even the last bit.
#[test]
fn any_number_of_threads() {
    let shape = PointwiseShape {
        images: 6,
        pixels: 211,
        inputs: 40,
        outputs: 56,
    };
    let given = Given::new((6, 211, 40), ACTS[1], true, false);
    let coming = Coming::new(shape.rows().count, 56, true);
    let w = values(40 * 56, 1);
    let run = |threads| {
        let mut workers = Workers::new(threads, crate::Isa::detect()).unwrap();
        let mut y = vec![0.0; shape.rows().count * 56];
        let (mut dw, mut dx) = (vec![0.0; w.len()], vec![0.0; shape.rows().count * 40]);
        let mut m = Moments::new(56);
        Workers::enter(&mut workers, |workers| {
            let source = given.source();
            let out = ValuesMut::F32(&mut y);
            pointwise_forward(workers, shape, &source, &w, None, out, Some(&mut m));
            let sink = Sink {
                out: ValuesMut::F32(&mut dx),
                accumulate: false,
                finish: None,
            };
            let upstream = coming.upstream();
            pointwise_backward(
                workers,
                shape,
                &source,
                &w,
                &upstream,
                &mut dw,
                None,
                Some(sink),
            );
        });
        (y, m, dw, dx)
    };
    assert!(run(1) == run(2) && run(1) == run(5));
}

use super::*;
use crate::test_data::{close, teams, values};

const ALL: [Element; 4] = [
    Element::Relu,
    Element::Relu6,
    Element::HSwish,
    Element::Sigmoid,
];

fn apply(f: Element, x: f64) -> f64 {
    match f {
        Element::Relu => x.max(0.0),
        Element::Relu6 => x.clamp(0.0, 6.0),
        Element::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Element::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

#[test]
fn values_and_slopes() {
    let x: Vec<f32> = values(40_000, 1).iter().map(|v| 9.0 * v).collect();
    let g = values(x.len(), 2);
    for f in ALL {
        let y: Vec<f64> = x.iter().map(|x| apply(f, f64::from(*x))).collect();
        let slope = |x: f32| {
            let x = f64::from(x);
            (apply(f, x + 1e-7) - apply(f, x - 1e-7)) / 2e-7
        };
        let d: Vec<f64> = x
            .iter()
            .zip(&g)
            .map(|(x, g)| f64::from(*g) * slope(*x))
            .collect();
        for workers in teams() {
            let (mut out, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            element_forward(&workers, f, &x, &mut out);
            close(&out, &y, 1e-5);
            element_backward(&workers, f, (&x, &out), &g, &mut dx, false);
            close(&dx, &d, 1e-5);
            element_backward(&workers, f, (&x, &out), &g, &mut dx, true);
            let twice: Vec<f64> = d.iter().map(|d| 2.0 * d).collect();
            close(&dx, &twice, 2e-5);
        }
    }
    for workers in teams() {
        for f in ALL {
            let mut out = [0.0];
            element_forward(&workers, f, &[f32::NAN], &mut out);
            assert!(out[0].is_nan(), "{f:?}");
        }
    }
}

#[test]
fn bytes_by_table() {
    let tables = [0.0f32, 1000.0].map(|base| std::array::from_fn(|b| base + b as f32));
    let bytes: Vec<u8> = (0..50_000u32).map(|i| (i * 7 % 256) as u8).collect();
    for workers in teams() {
        let mut out = vec![f32::NAN; bytes.len()];
        from_bytes(&workers, &bytes, &tables, &mut out);
        for (i, (o, b)) in out.iter().zip(&bytes).enumerate() {
            assert_eq!(*o, f32::from(*b) + if i % 2 == 1 { 1000.0 } else { 0.0 });
        }
    }
}

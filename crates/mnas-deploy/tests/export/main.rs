//! Invariant: all readers of a graph agree. On random graphs, random networks and the zoo, the
//! folded graph, the embedded engine, ONNX Runtime and LiteRT compute what the interpreter does.

mod agree;
mod int8;
mod networks;
mod oracle;

/// Largest difference relative to the largest expected value; absolute where all expected values
/// are zero. NaN where the values are not finite or not as many, which no bound accepts.
fn relative_difference(got: &[f32], expected: &[f32]) -> f64 {
    if got.len() != expected.len() {
        return f64::NAN;
    }
    let largest = expected
        .iter()
        .fold(0.0, |m, v| f64::max(m, f64::from(v.abs())));
    let worst = got.iter().zip(expected).fold(0.0, |m, (a, b)| {
        let d = (f64::from(*a) - f64::from(*b)).abs();
        // `max` would drop a NaN.
        if d.is_nan() || d > m { d } else { m }
    });
    if largest > 0.0 {
        worst / largest
    } else {
        worst
    }
}

#[test]
fn differences_are_seen() {
    assert_eq!(relative_difference(&[1.0, 2.0], &[1.0, 4.0]), 0.5);
    assert_eq!(relative_difference(&[0.5], &[0.0]), 0.5);
    assert!(relative_difference(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    assert!(relative_difference(&[1.0], &[1.0, 1.0]).is_nan());
}

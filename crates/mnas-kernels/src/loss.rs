//! Softmax cross-entropy with label smoothing.

#[cfg(test)]
mod tests;

/// Mean loss over a batch and the number of images whose largest logit is their label's.
///
/// The target of label `y` among `k` classes is `1 - smoothing + smoothing/k` for `y` and
/// `smoothing/k` for the others (Szegedy et al. 2016). `gradient`, of the same `n x k` shape as
/// `logits`, receives the gradient of the mean loss.
///
/// # Panics
/// If lengths don't fit, or a label is not below the number of classes.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[u16],
    smoothing: f32,
    gradient: &mut [f32],
) -> (f32, u32) {
    let n = labels.len();
    assert!(
        n > 0 && logits.len().is_multiple_of(n),
        "cross_entropy: lengths"
    );
    assert_eq!(logits.len(), gradient.len(), "cross_entropy: gradient");
    let k = logits.len() / n;
    let spread = smoothing / k as f32;
    let (mut loss, mut correct) = (0.0f64, 0);
    let rows = logits
        .chunks_exact(k)
        .zip(gradient.chunks_exact_mut(k))
        .zip(labels);
    for ((x, g), label) in rows {
        let y = usize::from(*label);
        assert!(y < k, "cross_entropy: label {y} of {k}");
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0f64;
        for (g, x) in g.iter_mut().zip(x) {
            *g = (x - max).exp();
            sum += f64::from(*g);
        }
        let log_sum = sum.ln() + f64::from(max);
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / k as f64;
        let smoothing = f64::from(smoothing);
        loss += log_sum - (1.0 - smoothing) * f64::from(x[y]) - smoothing * mean;
        let first_largest = x.iter().position(|v| *v == max);
        correct += u32::from(first_largest == Some(y));
        let scale = (1.0 / sum) as f32;
        for (j, g) in g.iter_mut().enumerate() {
            let target = if j == y {
                1.0 - smoothing as f32 + spread
            } else {
                spread
            };
            *g = (*g * scale - target) / n as f32;
        }
    }
    ((loss / n as f64) as f32, correct)
}

//! Order statistics and moments of a few hundred values.

/// Quantile `q` in `0..=1` by linear interpolation between order statistics (type 7 of Hyndman and
/// Fan, the default of NumPy and R).
///
/// # Panics
/// If `values` is empty.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    assert!(!values.is_empty(), "no values have no quantile");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = q * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// Arithmetic mean; not a number of no values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sample standard deviation (divisor n - 1); 0 of fewer than two values.
pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let m = mean(values);
    let squares: f64 = values.iter().map(|v| (v - m) * (v - m)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// How far values lie apart, relative to their median: `(max - min) / median`; 0 of fewer than two.
pub(crate) fn range(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (most - least) / quantile(values, 0.5)
}

/// Relative spread of a few medians: interquartile range over median; 0 of fewer than two.
///
/// The distance between the extremes would grow with the number of values, and one round in which a
/// neighbour was busy would make it large, although it moves a median of all rounds by nothing.
pub(crate) fn spread(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    (quantile(values, 0.75) - quantile(values, 0.25)) / quantile(values, 0.5)
}

//! The Pareto front of accuracy and latency, and how much of the plane it commands.

/// Indices of the points `(accuracy, latency)` that no other point dominates, by rising latency.
/// A point dominates another if it is at least as accurate and at least as fast, and better in one.
/// Of equal points the first is kept. Points with a coordinate that isn't finite are never kept.
pub fn pareto(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len())
        .filter(|i| points[*i].0.is_finite() && points[*i].1.is_finite())
        .collect();
    order.sort_by(|a, b| {
        let (a_point, b_point) = (points[*a], points[*b]);
        a_point
            .1
            .total_cmp(&b_point.1)
            .then(b_point.0.total_cmp(&a_point.0))
            .then(a.cmp(b))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|i| {
        let better = points[*i].0 > best;
        best = best.max(points[*i].0);
        better
    });
    order
}

/// Area of the accuracy-latency plane that the points dominate, as seen from `reference` (an
/// accuracy below and a latency above all points that should count). Exact for two objectives;
/// points that don't dominate the reference add nothing.
pub fn hypervolume(points: &[(f64, f64)], reference: (f64, f64)) -> f64 {
    let (floor, ceiling) = reference;
    let front: Vec<(f64, f64)> = pareto(points)
        .into_iter()
        .map(|i| points[i])
        .filter(|(accuracy, latency)| *accuracy > floor && *latency < ceiling)
        .collect();
    let mut below = floor;
    let mut area = 0.0;
    for (accuracy, latency) in front {
        area += (accuracy - below) * (ceiling - latency);
        below = accuracy;
    }
    area
}

//! Which networks to train in full.

/// `count` of the points `(trial, accuracy, latency)`, by rising accuracy, that lie far apart in
/// the ranks of both: the most and the least accurate, then always the one farthest from those taken.
/// Ranks, since accuracies crowd at the top and latencies at the bottom.
pub(super) fn spread(points: &[(u64, f64, f64)], count: usize) -> Vec<u64> {
    let by_accuracy = ranks(points, |p| p.1);
    let by_latency = ranks(points, |p| p.2);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|i| by_accuracy[*i]);
    let (Some(first), Some(last)) = (order.first().copied(), order.last().copied()) else {
        return vec![];
    };
    let mut taken = vec![first];
    if last != first && count > 1 {
        taken.push(last);
    }
    let distance = |a: usize, b: usize| {
        by_accuracy[a].abs_diff(by_accuracy[b]).pow(2)
            + by_latency[a].abs_diff(by_latency[b]).pow(2)
    };
    while taken.len() < count.min(points.len()) {
        let nearest = |i: usize| taken.iter().map(|t| distance(i, *t)).min();
        let rest = order.iter().copied().filter(|i| !taken.contains(i));
        // The last of equals: which one is of no matter, but always the same.
        match rest.max_by_key(|i| nearest(*i)) {
            Some(next) => taken.push(next),
            None => break,
        }
    }
    taken.sort_by_key(|i| by_accuracy[*i]);
    taken.into_iter().map(|i| points[i].0).collect()
}

/// Place of each point by rising value; equal ones keep their order.
fn ranks(points: &[(u64, f64, f64)], value: impl Fn(&(u64, f64, f64)) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| value(&points[*a]).total_cmp(&value(&points[*b])));
    let mut ranks = vec![0; points.len()];
    for (rank, i) in order.into_iter().enumerate() {
        ranks[i] = rank;
    }
    ranks
}

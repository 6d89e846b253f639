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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Points<'a> = &'a [(f64, f64)];

    #[test]
    fn known_fronts() {
        let cases: &[(Points, &[usize])] = &[
            (&[], &[]),
            (&[(0.5, 10.0)], &[0]),
            (
                &[(0.5, 10.0), (0.6, 12.0), (0.55, 13.0), (0.4, 9.0)],
                &[3, 0, 1],
            ),
            // Equal in one: the better in the other stays. Equal in both: the first stays.
            (&[(0.5, 10.0), (0.5, 9.0), (0.6, 9.0)], &[2]),
            (&[(0.5, 10.0), (0.5, 10.0)], &[0]),
            (&[(f64::NAN, 1.0), (0.9, f64::INFINITY), (0.1, 5.0)], &[2]),
        ];
        for (points, front) in cases {
            assert_eq!(pareto(points), *front, "{points:?}");
        }
    }

    #[test]
    fn known_areas() {
        let reference = (0.0, 10.0);
        let cases: &[(Points, f64)] = &[
            (&[], 0.0),
            (&[(0.5, 4.0)], 3.0),
            // 0.5 x 6 and then 0.3 x 2 above it; the third is dominated, the fourth out of sight.
            (&[(0.5, 4.0), (0.8, 8.0), (0.4, 5.0), (0.9, 11.0)], 3.6),
            (&[(-0.1, 1.0)], 0.0),
        ];
        for (points, area) in cases {
            assert!(
                (hypervolume(points, reference) - area).abs() < 1e-12,
                "{points:?}"
            );
        }
    }

    /// On a grid of 8 x 8, so that equal coordinates are common.
    fn points() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((0u8..8, 1u8..9), 0..20).prop_map(|points| {
            let real = |(a, l): (u8, u8)| (f64::from(a), f64::from(l));
            points.into_iter().map(real).collect()
        })
    }

    fn dominates(p: (f64, f64), q: (f64, f64)) -> bool {
        p.0 >= q.0 && p.1 <= q.1 && p != q
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_front_holds_what_nothing_dominates(points in points()) {
            let front: Vec<(f64, f64)> = pareto(&points).iter().map(|i| points[*i]).collect();
            for point in &points {
                let dominated = points.iter().any(|p| dominates(*p, *point));
                prop_assert_eq!(front.contains(point), !dominated, "{:?}", point);
            }
            prop_assert!(front.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
        }

        #[test]
        fn order_does_not_matter(points in points(), turn in 0usize..20) {
            let mut turned = points.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            let values = |p: &[(f64, f64)]| pareto(p).iter().map(|i| p[*i]).collect::<Vec<_>>();
            prop_assert_eq!(values(&points), values(&turned));
            let reference = (-1.0, 10.0);
            prop_assert_eq!(hypervolume(&points, reference), hypervolume(&turned, reference));
        }

        /// The area counts the unit cells of the grid that some point dominates.
        #[test]
        fn area_is_what_the_points_cover(points in points()) {
            let mut cells = 0;
            for accuracy in 0..8 {
                for latency in 1..9 {
                    let (top, left) = (f64::from(accuracy + 1), f64::from(latency));
                    cells += i32::from(points.iter().any(|p| p.0 >= top && p.1 <= left));
                }
            }
            prop_assert_eq!(hypervolume(&points, (0.0, 9.0)), f64::from(cells));
        }
    }
}

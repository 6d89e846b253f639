//! Least squares with non-negative unknowns, by the active-set method of Lawson and Hanson (Solving
//! Least Squares Problems, 1974, chapter 23), on the normal equations: dozens of unknowns, hundreds
//! of rows.

/// Added to the diagonal of the scaled normal equations, so that features that always come
/// together share their weight instead of dividing by nothing.
const RIDGE: f64 = 1e-9;
/// Gradient below which an unknown stays at 0.
const GRADIENT_MIN: f64 = 1e-10;

/// The `x >= 0` that minimises `|rows x - y|`. Rows are equally long; unknowns without a value in
/// any row are 0.
pub(crate) fn nonnegative_least_squares(rows: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let n = rows.first().map_or(0, Vec::len);
    // Columns of one length make the unknowns comparable: raw features span ten decades.
    let scale: Vec<f64> = (0..n)
        .map(|j| rows.iter().map(|r| r[j] * r[j]).sum::<f64>().sqrt())
        .collect();
    let unit = |row: &[f64], j: usize| {
        if scale[j] > 0.0 {
            row[j] / scale[j]
        } else {
            0.0
        }
    };
    let mut gram = vec![vec![0.0; n]; n];
    let mut moment = vec![0.0; n];
    for (row, target) in rows.iter().zip(y) {
        let row: Vec<f64> = (0..n).map(|j| unit(row, j)).collect();
        for ((gram, moment), a) in gram.iter_mut().zip(&mut moment).zip(&row) {
            *moment += a * target;
            gram.iter_mut().zip(&row).for_each(|(g, b)| *g += a * b);
        }
    }
    for (i, row) in gram.iter_mut().enumerate() {
        row[i] += RIDGE;
    }
    let solution = active_set(&gram, &moment);
    let unscale = |(x, s): (&f64, &f64)| if *s > 0.0 { x / s } else { 0.0 };
    solution.iter().zip(&scale).map(unscale).collect()
}

fn active_set(gram: &[Vec<f64>], moment: &[f64]) -> Vec<f64> {
    let n = moment.len();
    let mut x = vec![0.0; n];
    let mut free = vec![false; n];
    // Each pass frees one unknown; the theory bounds the passes, the factor guards against
    // rounding that frees and binds the same one for ever.
    for _ in 0..10 * n + 10 {
        let gradient = |i: usize| moment[i] - dot(&gram[i], &x);
        let next = (0..n)
            .filter(|i| !free[*i])
            .map(|i| (i, gradient(i)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match next {
            Some((i, g)) if g > GRADIENT_MIN => free[i] = true,
            _ => return x,
        }
        loop {
            let trial = solve_free(gram, moment, &free);
            let blocked = (0..n).filter(|i| free[*i] && trial[*i] <= 0.0);
            let step = blocked
                .map(|i| x[i] / (x[i] - trial[i]).max(f64::MIN_POSITIVE))
                .fold(f64::INFINITY, f64::min);
            if step.is_infinite() {
                x = trial;
                break;
            }
            for i in 0..n {
                if free[i] {
                    x[i] += step.clamp(0.0, 1.0) * (trial[i] - x[i]);
                    if trial[i] <= 0.0 && x[i] <= 1e-12 {
                        x[i] = 0.0;
                        free[i] = false;
                    }
                }
            }
        }
    }
    x
}

/// The least squares solution in the free unknowns, the others 0, by Cholesky.
fn solve_free(gram: &[Vec<f64>], moment: &[f64], free: &[bool]) -> Vec<f64> {
    let index: Vec<usize> = (0..moment.len()).filter(|i| free[*i]).collect();
    let m = index.len();
    let mut l = vec![vec![0.0; m]; m];
    for i in 0..m {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = gram[index[i]][index[j]] - sum;
            l[i][j] = if i == j {
                // The ridge keeps this positive but for rounding.
                rest.max(RIDGE * RIDGE).sqrt()
            } else {
                rest / l[j][j]
            };
        }
    }
    let mut z = vec![0.0; m];
    for i in 0..m {
        let sum: f64 = (0..i).map(|k| l[i][k] * z[k]).sum();
        z[i] = (moment[index[i]] - sum) / l[i][i];
    }
    let mut x = vec![0.0; moment.len()];
    for i in (0..m).rev() {
        let sum: f64 = (i + 1..m).map(|k| l[k][i] * x[index[k]]).sum();
        x[index[i]] = (z[i] - sum) / l[i][i];
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnas_net::{Purpose, stream};
    use proptest::prelude::*;

    fn close(got: &[f64], expected: &[f64]) {
        for (g, e) in got.iter().zip(expected) {
            assert!(
                (g - e).abs() < 1e-5 * e.abs().max(1.0),
                "{got:?} instead of {expected:?}"
            );
        }
    }

    #[test]
    fn worked_by_hand() {
        // Both positive: the plain solution.
        let rows = [vec![1.0, 0.0], vec![0.0, 2.0], vec![1.0, 2.0]];
        close(
            &nonnegative_least_squares(&rows, &[1.0, 4.0, 5.0]),
            &[1.0, 2.0],
        );
        // The plain solution is (3, -1); with the second at 0, the first is 5 / 2.
        let rows = [vec![1.0, 0.0], vec![1.0, 1.0]];
        close(&nonnegative_least_squares(&rows, &[3.0, 2.0]), &[2.5, 0.0]);
        // A column of nothing, and no rows at all.
        close(
            &nonnegative_least_squares(&[vec![2.0, 0.0]], &[4.0]),
            &[2.0, 0.0],
        );
        assert!(nonnegative_least_squares(&[], &[]).is_empty());
    }

    proptest! {
        /// The conditions of Karush, Kuhn and Tucker, which only the minimum fulfils.
        #[test]
        fn the_solution_is_the_minimum(seed in 0u64..1000, n in 1usize..12) {
            let mut random = stream(seed, 0, Purpose::Sample);
            let mut draw = |k: usize| (0..k).map(|_| random.normal()).collect::<Vec<f64>>();
            let rows: Vec<Vec<f64>> = (0..30)
                .map(|_| draw(n).iter().enumerate().map(|(j, v)| v * 1e3f64.powi(j as i32 % 3)).collect())
                .collect();
            let y = draw(30);
            let x = nonnegative_least_squares(&rows, &y);
            let residual: Vec<f64> = rows.iter().zip(&y).map(|(r, y)| y - dot(r, &x)).collect();
            for j in 0..n {
                let column: Vec<f64> = rows.iter().map(|r| r[j]).collect();
                let gradient = dot(&column, &residual) / dot(&column, &column).sqrt();
                prop_assert!(x[j] >= 0.0);
                prop_assert!(gradient < 1e-6, "unknown {} would gain: {}", j, gradient);
                prop_assert!(x[j] == 0.0 || gradient.abs() < 1e-6);
            }
        }
    }
}

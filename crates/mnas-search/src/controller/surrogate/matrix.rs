//! The little linear algebra that a Gaussian process needs: a growing triangle, solved and
//! inverted. Sums run in a fixed order, so results are the same bits on every machine.

/// Lower triangle, packed by rows: row `i` has `i + 1` numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Triangle {
    rows: usize,
    values: Vec<f64>,
}

/// Sum of products in four interleaved sums, which compilers turn into vector code as it stands.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a4, a_rest) = a.as_chunks::<4>();
    let (b4, b_rest) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (x, y) in a4.iter().zip(b4) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let mut rest = 0.0;
    for (x, y) in a_rest.iter().zip(b_rest) {
        rest += x * y;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

impl Triangle {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }

    fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }

    pub(super) fn at(&self, i: usize, j: usize) -> f64 {
        if i < j {
            self.row(j)[i]
        } else {
            self.row(i)[j]
        }
    }

    pub(super) fn push(&mut self, row: &[f64]) {
        debug_assert_eq!(row.len(), self.rows + 1);
        self.values.extend_from_slice(row);
        self.rows += 1;
    }

    /// The Cholesky factor of the symmetric matrix that has this lower triangle; `None` where it
    /// isn't positive definite.
    pub(super) fn cholesky(&self) -> Option<Triangle> {
        let mut factor = Triangle::default();
        for i in 0..self.rows {
            factor.extend(self.row(i))?;
        }
        Some(factor)
    }

    /// Grows a Cholesky factor by the next row of its matrix.
    pub(super) fn extend(&mut self, row: &[f64]) -> Option<()> {
        let (cross, own) = row.split_at(self.rows);
        let mut new = self.solve(cross);
        let left = own[0] - dot(&new, &new);
        if left.is_nan() || left <= 0.0 {
            return None;
        }
        new.push(libm::sqrt(left));
        self.push(&new);
        Some(())
    }

    /// `L^-1 b`.
    pub(super) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(self.rows + 1);
        for (i, value) in b.iter().enumerate() {
            let row = self.row(i);
            x.push((value - dot(&row[..i], &x)) / row[i]);
        }
        x
    }

    /// `L^-T b`.
    pub(super) fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        for i in (0..x.len()).rev() {
            let row = self.row(i);
            x[i] /= row[i];
            let value = x[i];
            for (left, l) in x[..i].iter_mut().zip(row) {
                *left -= value * l;
            }
        }
        x
    }

    /// The lower triangle of `(L L^T)^-1`.
    pub(super) fn inverse(&self) -> Triangle {
        let n = self.rows;
        // Rows of M = L^-1, by forward substitution on whole rows.
        let mut m = Triangle::default();
        for i in 0..n {
            let row = self.row(i);
            let mut new = vec![0.0; i + 1];
            for (k, l) in row[..i].iter().enumerate() {
                for (x, y) in new.iter_mut().zip(m.row(k)) {
                    *x -= l * y;
                }
            }
            new[i] = 1.0;
            new.iter_mut().for_each(|x| *x /= row[i]);
            m.push(&new);
        }
        // M^T M, row by row of M.
        let mut inverse = Triangle {
            rows: n,
            values: vec![0.0; n * (n + 1) / 2],
        };
        for k in 0..n {
            let from = m.row(k);
            for i in 0..=k {
                let value = from[i];
                for (x, y) in inverse.row_mut(i).iter_mut().zip(from) {
                    *x += value * y;
                }
            }
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_solutions_and_inverse_agree() {
        let n = 7;
        let mut matrix = Triangle::default();
        for i in 0..n {
            let row: Vec<f64> = (0..=i)
                .map(|j| {
                    if i == j {
                        3.0
                    } else {
                        1.0 / (1 + i + 2 * j) as f64
                    }
                })
                .collect();
            matrix.push(&row);
        }
        let factor = matrix.cholesky().unwrap();
        let b: Vec<f64> = (0..n).map(|i| i as f64 - 2.5).collect();
        let x = factor.solve_transposed(&factor.solve(&b));
        let inverse = factor.inverse();
        for i in 0..n {
            let product: f64 = (0..n).map(|j| matrix.at(i, j) * x[j]).sum();
            assert!((product - b[i]).abs() < 1e-12, "{product} {}", b[i]);
            let direct: f64 = (0..n).map(|j| inverse.at(i, j) * b[j]).sum();
            assert!((direct - x[i]).abs() < 1e-12, "{direct} {}", x[i]);
        }
        let mut flat = Triangle::default();
        flat.push(&[1.0]);
        flat.push(&[1.0, 1.0]);
        assert!(flat.cholesky().is_none());
    }
}

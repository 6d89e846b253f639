//! How alike two samples are, for a Gaussian process over decisions.
//!
//! The covariance is that of a function which is a sum of effects of single choices (each decision
//! with a variance of its own), of pairs of choices, and of a smooth rest (Duvenaud et al. 2011,
//! "Additive Gaussian Processes", for the first two orders). Networks' costs are nearly such sums,
//! and so is the logarithm of their error.

use super::matrix::Triangle;

/// How fast the smooth rest forgets: at random samples `exp(-RANGE x share that differs)`.
const RANGE: f64 = 3.0;
/// Variance of the constant, in units of the values' own.
const CONSTANT: f64 = 1.0;

/// Variances, in units of the values' own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    /// Of each decision's single effect.
    pub(super) single: Vec<f64>,
    /// Of pairs of choices together.
    pub(super) pairs: f64,
    /// Of the smooth rest.
    pub(super) rest: f64,
    /// Of a measurement's noise.
    pub(super) noise: f64,
}

/// The kernel with its weights, ready to compare samples.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    weights: Weights,
    /// Per decision, by `a * choices + b`: likeness, weighted by its share; and its square.
    tables: Vec<Vec<(f64, f64)>>,
    choices: Vec<usize>,
    total: f64,
    /// What is left of the sum of pairs for a sample with itself.
    pair_norm: f64,
}

/// Likeness of choices `a` and `b` of `n`, 1 for equal ones. Ordered choices are the more alike the
/// nearer they stand.
pub(super) fn likeness(a: usize, b: usize, n: usize, ordered: bool) -> f64 {
    match (a == b, ordered && n > 2) {
        (true, _) => 1.0,
        (false, false) => 0.0,
        (false, true) => 0.5 * (1.0 - a.abs_diff(b) as f64 / (n - 1) as f64),
    }
}

impl Kernel {
    pub(super) fn new(weights: &Weights, choices: &[usize], ordered: &[bool]) -> Kernel {
        let total: f64 = weights.single.iter().sum::<f64>().max(1e-12);
        let mut squares = 0.0;
        let mut tables = vec![];
        for ((w, n), ordered) in weights.single.iter().zip(choices).zip(ordered) {
            let share = w / total;
            squares += share * share;
            let mut table = vec![];
            for a in 0..*n {
                for b in 0..*n {
                    let alike = share * likeness(a, b, *n, *ordered);
                    table.push((alike, alike * alike));
                }
            }
            tables.push(table);
        }
        Kernel {
            weights: weights.clone(),
            tables,
            choices: choices.to_vec(),
            total,
            pair_norm: (1.0 - squares).max(1e-9),
        }
    }

    /// Likeness in single choices, in pairs, and of the rest; each 1 for a sample with itself.
    pub(super) fn parts(&self, a: &[u16], b: &[u16]) -> [f64; 3] {
        let (mut alike, mut squares) = (0.0, 0.0);
        for (d, table) in self.tables.iter().enumerate() {
            let at = usize::from(a[d]) * self.choices[d] + usize::from(b[d]);
            let (l, s) = table[at];
            alike += l;
            squares += s;
        }
        let pairs = (alike * alike - squares) / self.pair_norm;
        [alike, pairs, libm::exp(-RANGE * (1.0 - alike))]
    }

    /// Covariance of two samples' true values.
    pub(super) fn covariance(&self, a: &[u16], b: &[u16]) -> f64 {
        let [single, pairs, rest] = self.parts(a, b);
        CONSTANT + self.total * single + self.weights.pairs * pairs + self.weights.rest * rest
    }

    /// Variance of a sample's true value.
    pub(super) fn variance(&self) -> f64 {
        CONSTANT + self.total + self.weights.pairs + self.weights.rest
    }

    pub(super) fn noise(&self) -> f64 {
        self.weights.noise
    }

    /// Covariances of a sample with others.
    pub(super) fn cross(&self, sample: &[u16], others: &[Vec<u16>]) -> Vec<f64> {
        others.iter().map(|o| self.covariance(sample, o)).collect()
    }

    /// Covariance of measurements of samples.
    pub(super) fn matrix(&self, samples: &[Vec<u16>]) -> Triangle {
        let mut matrix = Triangle::default();
        for (i, sample) in samples.iter().enumerate() {
            let mut row = self.cross(sample, &samples[..i]);
            row.push(self.variance() + self.noise());
            matrix.push(&row);
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariances_are_those_of_sums_of_effects() {
        let weights = Weights {
            single: vec![0.2, 0.3],
            pairs: 0.5,
            rest: 0.0,
            noise: 0.1,
        };
        let kernel = Kernel::new(&weights, &[3, 2], &[false, false]);
        let same = kernel.covariance(&[1, 1], &[1, 1]);
        assert!((same - kernel.variance()).abs() < 1e-12);
        assert!((same - 2.0).abs() < 1e-12);
        // One choice in common: its single effect and the constant.
        assert!((kernel.covariance(&[1, 1], &[1, 0]) - 1.2).abs() < 1e-12);
        assert!((kernel.covariance(&[2, 1], &[1, 1]) - 1.3).abs() < 1e-12);
        assert!((kernel.covariance(&[2, 0], &[1, 1]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn near_choices_of_an_order_are_alike() {
        assert_eq!(likeness(0, 2, 3, true), 0.0);
        assert_eq!(likeness(0, 1, 3, true), 0.25);
        assert_eq!(likeness(0, 1, 3, false), 0.0);
        assert_eq!(likeness(0, 1, 2, true), 0.0);
    }
}

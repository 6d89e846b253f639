//! What a network costs, as far as that is known before it is tried: a hint at its accuracy and latency.

use std::fmt;

use super::super::Setup;
use super::super::random::uniform;

/// Samples drawn to learn which costs are usual.
const DRAWN: u64 = 256;
/// How far apart costs may be to be still alike, in deviations.
const RANGE: f64 = 2.0;

/// What the networks of samples cost, in deviations from what is usual in the space.
#[derive(Clone)]
pub(super) struct Costs {
    setup: Setup,
    /// Mean and deviation of each.
    usual: Vec<(f64, f64)>,
}

impl fmt::Debug for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Costs").field("usual", &self.usual).finish()
    }
}

impl Costs {
    pub(super) fn new(setup: &Setup) -> Costs {
        let drawn: Vec<Vec<f64>> = (0..DRAWN)
            .map(|i| setup.costs(&uniform(&setup.choices, 0, i)))
            .collect();
        let n = DRAWN as f64;
        let usual = |c: usize| {
            let mean = drawn.iter().map(|d| d[c]).sum::<f64>() / n;
            let squares: f64 = drawn.iter().map(|d| (d[c] - mean) * (d[c] - mean)).sum();
            (mean, libm::sqrt(squares / n).max(1e-9))
        };
        Costs {
            setup: setup.clone(),
            usual: (0..drawn[0].len()).map(usual).collect(),
        }
    }

    /// Whether any are known.
    pub(super) fn any(&self) -> bool {
        !self.usual.is_empty()
    }

    /// Those of a sample.
    pub(super) fn of(&self, tokens: &[u16]) -> Vec<f64> {
        if !self.any() {
            return vec![];
        }
        let costs = self.setup.costs(tokens);
        let standard = |(cost, (mean, spread)): (f64, &(f64, f64))| (cost - mean) / spread;
        costs.into_iter().zip(&self.usual).map(standard).collect()
    }
}

/// How alike two networks are in what they cost: 1 for equal costs.
pub(super) fn likeness(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() {
        return 0.0;
    }
    let squares: f64 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum();
    libm::exp(-0.5 * squares / (a.len() as f64 * RANGE * RANGE))
}

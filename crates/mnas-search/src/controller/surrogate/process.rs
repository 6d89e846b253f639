//! A Gaussian process over samples: what is believed of the values of samples that weren't tried
//! (Rasmussen and Williams 2006, chapter 2), and how its variances are learnt from those that were.

use super::kernel::{Kernel, Weights, likeness};
use super::matrix::{Triangle, dot};

/// Least variance of noise, in units of the values' own: keeps factors positive definite.
const NOISE_MIN: f64 = 1e-6;

/// What the variances of a kernel are before anything was seen, and how firmly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prior {
    /// Variance that single choices bring, all decisions together.
    pub(super) single: f64,
    /// Variance that pairs bring.
    pub(super) pairs: f64,
    /// Variance of the smooth rest.
    pub(super) rest: f64,
    /// Variance of noise.
    pub(super) noise: f64,
    /// Weight of the prior of a decision's variance, as a number of observations.
    pub(super) firmness: f64,
    /// The same for the other variances.
    pub(super) firmness_rest: f64,
}

impl Prior {
    pub(super) fn weights(&self, choices: &[usize]) -> Weights {
        let free = choices.iter().filter(|n| **n > 1).count().max(1) as f64;
        // A decision with `n` choices varies by `1 - 1/n` of its effects' variance.
        let share = |n: &usize| match n {
            0 | 1 => 0.0,
            n => self.single / free / (1.0 - 1.0 / *n as f64),
        };
        Weights {
            single: choices.iter().map(share).collect(),
            pairs: self.pairs,
            rest: self.rest,
            noise: self.noise,
        }
    }
}

/// What decisions there are.
#[derive(Debug, Clone)]
pub(super) struct Decisions {
    pub(super) choices: Vec<usize>,
    pub(super) ordered: Vec<bool>,
}

/// A process that has seen values.
#[derive(Debug, Clone)]
pub(super) struct Process {
    kernel: Kernel,
    samples: Vec<Vec<u16>>,
    factor: Triangle,
    /// `K^-1 y` of the standardised values.
    alpha: Vec<f64>,
    mean: f64,
    spread: f64,
    /// Logarithm of the probability density of the values.
    pub(super) evidence: f64,
}

/// Mean and spread by which values are standardised.
fn standard(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let spread = libm::sqrt(squares / n);
    // Equal values leave rounding errors; those are no spread.
    let floor = 1e-9 * (1.0 + libm::fabs(mean));
    (mean, if spread > floor { spread } else { 1.0 })
}

impl Process {
    /// The process with these variances that has seen `values` of `samples`; `None` where numbers
    /// don't allow it.
    pub(super) fn new(
        weights: &Weights,
        decisions: &Decisions,
        samples: Vec<Vec<u16>>,
        values: &[f64],
    ) -> Option<Process> {
        let kernel = Kernel::new(weights, &decisions.choices, &decisions.ordered);
        let factor = kernel.matrix(&samples).cholesky()?;
        let (mean, spread) = standard(values);
        let y: Vec<f64> = values.iter().map(|v| (v - mean) / spread).collect();
        let half = factor.solve(&y);
        let alpha = factor.solve_transposed(&half);
        let n = values.len() as f64;
        let log_det: f64 = (0..factor.rows())
            .map(|i| libm::log(factor.at(i, i)))
            .sum();
        let evidence = -0.5 * dot(&half, &half)
            - log_det
            - n * (libm::log(spread) + 0.5 * libm::log(std::f64::consts::TAU));
        evidence.is_finite().then_some(Process {
            kernel,
            samples,
            factor,
            alpha,
            mean,
            spread,
            evidence,
        })
    }

    /// Mean and standard deviation of what is believed of a sample's true value.
    pub(super) fn predict(&self, sample: &[u16]) -> (f64, f64) {
        let cross = self.kernel.cross(sample, &self.samples);
        let mean = self.mean + self.spread * dot(&cross, &self.alpha);
        let half = self.factor.solve(&cross);
        let variance = (self.kernel.variance() - dot(&half, &half)).max(1e-12);
        (mean, self.spread * libm::sqrt(variance))
    }

    /// Mean of what is believed of a sample's true value.
    pub(super) fn mean(&self, sample: &[u16]) -> f64 {
        let cross = self.kernel.cross(sample, &self.samples);
        self.mean + self.spread * dot(&cross, &self.alpha)
    }

    /// Goes on as if the sample's believed mean had been measured, which leaves means as they are
    /// and lowers the doubt around the sample (the "kriging believer", Ginsbourger et al. 2010).
    pub(super) fn believe(&mut self, sample: &[u16]) {
        let mut row = self.kernel.cross(sample, &self.samples);
        row.push(self.kernel.variance() + self.kernel.noise());
        if self.factor.extend(&row).is_some() {
            self.samples.push(sample.to_vec());
            self.alpha.push(0.0);
        }
    }
}

/// Raises the posterior probability of the variances by one step of the minorise-maximise scheme for
/// variance components (Zhou et al. 2019, "MM Algorithms for Variance Components Models"), with an
/// inverse-gamma prior on each. What pairs and the rest have in common with the single effects is held
/// fixed within the step. `None` where numbers don't allow it.
pub(super) fn step(
    weights: &Weights,
    prior: &Prior,
    decisions: &Decisions,
    samples: &[Vec<u16>],
    values: &[f64],
) -> Option<Weights> {
    let kernel = Kernel::new(weights, &decisions.choices, &decisions.ordered);
    let factor = kernel.matrix(samples).cholesky()?;
    let (mean, spread) = standard(values);
    let y: Vec<f64> = values.iter().map(|v| (v - mean) / spread).collect();
    let alpha = factor.solve_transposed(&factor.solve(&y));
    let inverse = factor.inverse();
    let d = decisions.choices.len();
    // Of each component: `alpha^T C alpha` and `trace(K^-1 C)`.
    let mut single = vec![(0.0, 0.0); d];
    let (mut pairs, mut rest, mut noise) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
    for i in 0..samples.len() {
        for j in 0..=i {
            let twice = if i == j { 1.0 } else { 2.0 };
            let quadratic = twice * alpha[i] * alpha[j];
            let trace = twice * inverse.at(i, j);
            let add = |sum: &mut (f64, f64), likeness: f64| {
                sum.0 += likeness * quadratic;
                sum.1 += likeness * trace;
            };
            let (a, b) = (&samples[i], &samples[j]);
            for (k, sum) in single.iter_mut().enumerate() {
                let (a, b) = (usize::from(a[k]), usize::from(b[k]));
                if a == b || decisions.ordered[k] {
                    let n = decisions.choices[k];
                    add(sum, likeness(a, b, n, decisions.ordered[k]));
                }
            }
            let [_, pair, smooth] = kernel.parts(a, b);
            add(&mut pairs, pair);
            add(&mut rest, smooth);
            if i == j {
                add(&mut noise, 1.0);
            }
        }
    }
    let start = prior.weights(&decisions.choices);
    let raise = |weight: f64, (quadratic, trace): (f64, f64), start: f64, firmness: f64| {
        let up = weight * weight * quadratic + firmness * start;
        let down = trace + firmness / weight;
        libm::sqrt(up / down).clamp(1e-9, 1e3)
    };
    let stepped = |(k, weight): (usize, &f64)| match decisions.choices[k] {
        0 | 1 => 0.0,
        _ => raise(*weight, single[k], start.single[k], prior.firmness),
    };
    let firm = prior.firmness_rest;
    let next = Weights {
        single: weights.single.iter().enumerate().map(stepped).collect(),
        pairs: raise(weights.pairs, pairs, start.pairs, firm),
        rest: raise(weights.rest, rest, start.rest, firm),
        noise: raise(weights.noise, noise, start.noise, firm).max(NOISE_MIN),
    };
    let others = [next.pairs, next.rest, next.noise];
    let finite = next.single.iter().chain(&others).all(|w| w.is_finite());
    finite.then_some(next)
}

//! A Gaussian process over samples: what is believed of the values of samples that weren't tried
//! (Rasmussen and Williams 2006, chapter 2), and how its variances are learnt from those that were.

use super::kernel::{Decisions, Kernel, Sample, Samples, Weights, likeness};
use super::matrix::{Triangle, dot};

/// Least variance of noise, in units of the values' own: keeps factors positive definite.
const NOISE_MIN: f64 = 1e-6;

/// What the variances of a kernel are before anything was seen, and how firmly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prior {
    /// Variance that single choices bring, all decisions together.
    pub(super) single: f64,
    /// Variance of what choices bring wherever they are made.
    pub(super) shared: f64,
    /// Variance that pairs bring.
    pub(super) pairs: f64,
    /// Variance of what costs tell.
    pub(super) costs: f64,
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
    pub(super) fn weights(&self, decisions: &Decisions) -> Weights {
        let choices = &decisions.choices;
        let free = choices.iter().filter(|n| **n > 1).count().max(1) as f64;
        // A decision with `n` choices varies by `1 - 1/n` of its effects' variance.
        let share = |n: &usize| match n {
            0 | 1 => 0.0,
            n => self.single / free / (1.0 - 1.0 / *n as f64),
        };
        Weights {
            single: choices.iter().map(share).collect(),
            shared: match decisions.shared_kinds() {
                0 => 0.0,
                _ => self.shared,
            },
            pairs: self.pairs,
            costs: if decisions.costs.any() {
                self.costs
            } else {
                0.0
            },
            rest: self.rest,
            noise: self.noise,
        }
    }
}

/// A process that has seen values.
#[derive(Debug, Clone)]
pub(super) struct Process {
    kernel: Kernel,
    samples: Samples,
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
        samples: &[Vec<u16>],
        values: &[f64],
    ) -> Option<Process> {
        let kernel = Kernel::new(weights, decisions);
        let samples = Samples::of(decisions, samples);
        let factor = kernel.matrix(&samples).cholesky()?;
        let (mean, spread) = standard(values);
        let y: Vec<f64> = values.iter().map(|v| (v - mean) / spread).collect();
        let half = factor.solve(&y);
        let alpha = factor.solve_transposed(&half);
        let n = values.len() as f64;
        let log_det: f64 = (0..factor.rows()).map(|i| libm::log(factor.at(i, i))).sum();
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
    pub(super) fn predict(&self, sample: &Sample) -> (f64, f64) {
        let cross = self.cross(sample);
        let half = self.factor.solve(&cross);
        let variance = (self.kernel.variance(sample) - dot(&half, &half)).max(1e-12);
        (self.mean_of(&cross), self.spread * libm::sqrt(variance))
    }

    /// Mean of what is believed of a sample's true value.
    pub(super) fn mean(&self, sample: &Sample) -> f64 {
        self.mean_of(&self.cross(sample))
    }

    fn cross(&self, sample: &Sample) -> Vec<f64> {
        self.kernel.cross(sample, &self.samples, self.factor.rows())
    }

    fn mean_of(&self, cross: &[f64]) -> f64 {
        self.mean + self.spread * dot(cross, &self.alpha)
    }

    /// Goes on as if the sample's believed mean had been measured, which leaves means as they are
    /// and lowers the doubt around the sample (the "kriging believer", Ginsbourger et al. 2010).
    pub(super) fn believe(&mut self, sample: &Sample) {
        let count = self.factor.rows();
        let row = self.kernel.row(sample, &self.samples, count);
        if self.factor.extend(&row).is_some() {
            self.samples.push(sample.clone());
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
    samples: &Samples,
    values: &[f64],
) -> Option<Weights> {
    let kernel = Kernel::new(weights, decisions);
    let factor = kernel.matrix(samples).cholesky()?;
    let (mean, spread) = standard(values);
    let y: Vec<f64> = values.iter().map(|v| (v - mean) / spread).collect();
    let alpha = factor.solve_transposed(&factor.solve(&y));
    let fits = fits(&kernel, decisions, samples, &alpha, &factor.inverse());
    let start = prior.weights(decisions);
    let raise = |weight: f64, fit: &Fit, start: f64, firmness: f64| {
        if start == 0.0 {
            return 0.0;
        }
        let up = weight * weight * fit.quadratic + firmness * start;
        let down = fit.trace + firmness / weight;
        libm::sqrt(up / down).clamp(1e-9, 1e3)
    };
    let single = weights.single.iter().zip(&fits.single).zip(&start.single);
    let firm = prior.firmness_rest;
    let next = Weights {
        single: single
            .map(|((weight, fit), start)| raise(*weight, fit, *start, prior.firmness))
            .collect(),
        shared: raise(weights.shared, &fits.shared, start.shared, firm),
        pairs: raise(weights.pairs, &fits.pairs, start.pairs, firm),
        costs: raise(weights.costs, &fits.costs, start.costs, firm),
        rest: raise(weights.rest, &fits.rest, start.rest, firm),
        noise: raise(weights.noise, &fits.noise, start.noise, firm).max(NOISE_MIN),
    };
    let others = [next.shared, next.pairs, next.costs, next.rest, next.noise];
    let finite = next.single.iter().chain(&others).all(|w| w.is_finite());
    finite.then_some(next)
}

/// How much a part `C` of the covariance explains: `alpha^T C alpha` against `trace(K^-1 C)`.
#[derive(Debug, Clone, Copy, Default)]
struct Fit {
    quadratic: f64,
    trace: f64,
}

/// A [`Fit`] for each of the weights.
struct Fits {
    single: Vec<Fit>,
    shared: Fit,
    pairs: Fit,
    costs: Fit,
    rest: Fit,
    noise: Fit,
}

fn fits(
    kernel: &Kernel,
    decisions: &Decisions,
    samples: &Samples,
    alpha: &[f64],
    inverse: &Triangle,
) -> Fits {
    let mut fits = Fits {
        single: vec![Fit::default(); decisions.choices.len()],
        shared: Fit::default(),
        pairs: Fit::default(),
        costs: Fit::default(),
        rest: Fit::default(),
        noise: Fit::default(),
    };
    for (i, a) in samples.all().iter().enumerate() {
        let alike = kernel.likenesses(a, samples, i + 1);
        for (j, (b, alike)) in samples.all().iter().zip(alike).enumerate() {
            let times = if i == j { 1.0 } else { 2.0 };
            let (quadratic, trace) = (times * alpha[i] * alpha[j], times * inverse.at(i, j));
            let add = |fit: &mut Fit, alike: f64| {
                fit.quadratic += alike * quadratic;
                fit.trace += alike * trace;
            };
            for (k, fit) in fits.single.iter_mut().enumerate() {
                let (x, y) = (usize::from(a.tokens[k]), usize::from(b.tokens[k]));
                if x == y || decisions.ordered[k] {
                    add(
                        fit,
                        likeness(x, y, decisions.choices[k], decisions.ordered[k]),
                    );
                }
            }
            add(&mut fits.shared, alike.shared);
            add(&mut fits.pairs, alike.pairs);
            add(&mut fits.costs, alike.costs);
            add(&mut fits.rest, alike.rest);
            if i == j {
                add(&mut fits.noise, 1.0);
            }
        }
    }
    fits
}

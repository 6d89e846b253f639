//! What is believed of one measured quantity: a Gaussian process on the scale that explains the
//! values best.

use serde::{Deserialize, Serialize};

use super::kernel::{Decisions, Sample, Samples, Weights};
use super::process::{Prior, Process, step};

/// Least error of a network: an accuracy of 1 has no logarithm of its error.
const ERROR_MIN: f64 = 1e-4;

/// A scale on which values may be sums of what decisions bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scale {
    /// The value itself.
    Plain,
    /// Its logarithm: decisions multiply it.
    Log,
    /// Minus the logarithm of what an accuracy lacks of 1: decisions multiply the error.
    LogError,
}

impl Scale {
    pub(super) fn to(self, value: f64) -> f64 {
        match self {
            Scale::Plain => value,
            Scale::Log => libm::log(value.max(1e-12)),
            Scale::LogError => -libm::log((1.0 - value).max(ERROR_MIN)),
        }
    }

    pub(super) fn from(self, value: f64) -> f64 {
        match self {
            Scale::Plain => value,
            Scale::Log => libm::exp(value),
            Scale::LogError => 1.0 - libm::exp(-value),
        }
    }

    /// Logarithm of the scale's slope at a value, by which densities on two scales compare.
    fn log_slope(self, value: f64) -> f64 {
        match self {
            Scale::Plain => 0.0,
            Scale::Log => -libm::log(value.max(1e-12)),
            Scale::LogError => -libm::log((1.0 - value).max(ERROR_MIN)),
        }
    }
}

/// Variances learnt so far on one scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learnt {
    scale: Scale,
    single: Vec<f64>,
    shared: f64,
    pairs: f64,
    costs: f64,
    rest: f64,
    noise: f64,
}

impl Learnt {
    pub(super) fn new(scale: Scale, weights: Weights) -> Learnt {
        Learnt {
            scale,
            single: weights.single,
            shared: weights.shared,
            pairs: weights.pairs,
            costs: weights.costs,
            rest: weights.rest,
            noise: weights.noise,
        }
    }

    pub(super) fn decisions(&self) -> usize {
        self.single.len()
    }

    pub(super) fn is_sound(&self) -> bool {
        let rest = [
            &self.shared,
            &self.pairs,
            &self.costs,
            &self.rest,
            &self.noise,
        ];
        let all = self.single.iter().chain(rest);
        all.clone().all(|w| w.is_finite() && *w >= 0.0) && self.noise > 0.0
    }

    fn weights(&self) -> Weights {
        Weights {
            single: self.single.clone(),
            shared: self.shared,
            pairs: self.pairs,
            costs: self.costs,
            rest: self.rest,
            noise: self.noise,
        }
    }

    /// Learns from values by some steps. Where numbers don't allow a step, what is known stays.
    pub(super) fn learn(
        &mut self,
        prior: &Prior,
        decisions: &Decisions,
        (samples, values): (&Samples, &[f64]),
        steps: usize,
    ) {
        let scaled: Vec<f64> = values.iter().map(|v| self.scale.to(*v)).collect();
        for _ in 0..steps {
            let stepped = step(&self.weights(), prior, decisions, samples, &scaled);
            let Some(next) = stepped else {
                return;
            };
            *self = Learnt::new(self.scale, next);
        }
    }
}

/// What is believed of one quantity.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    pub(super) scale: Scale,
    pub(super) process: Process,
}

impl Belief {
    /// The belief on that of the scales that explains the values best; `None` where there are no
    /// values or numbers don't allow one.
    pub(super) fn best(
        learnt: &[Learnt],
        decisions: &Decisions,
        samples: &[Vec<u16>],
        values: &[f64],
    ) -> Option<Belief> {
        if values.is_empty() {
            return None;
        }
        let mut best: Option<(f64, Belief)> = None;
        for on in learnt {
            let scaled: Vec<f64> = values.iter().map(|v| on.scale.to(*v)).collect();
            let process = Process::new(&on.weights(), decisions, samples, &scaled);
            let Some(process) = process else {
                continue;
            };
            let slopes: f64 = values.iter().map(|v| on.scale.log_slope(*v)).sum();
            let evidence = process.evidence + slopes;
            if best.as_ref().is_none_or(|(e, _)| evidence > *e) {
                let scale = on.scale;
                best = Some((evidence, Belief { scale, process }));
            }
        }
        best.map(|(_, belief)| belief)
    }

    /// The value at the believed mean.
    pub(super) fn value(&self, sample: &Sample) -> f64 {
        self.scale.from(self.process.mean(sample))
    }
}

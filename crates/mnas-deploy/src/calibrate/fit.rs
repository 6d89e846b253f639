//! Fitting a [`LinearModel`] to latencies.

use std::collections::{BTreeMap, BTreeSet};

use mnas_net::Graph;

use super::nnls::nonnegative_least_squares;
use crate::device::linear::{LinearModel, features, features_of};

/// One unknown of a fit: features that share a weight, each with its factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Features `KIND.FIELD` and what a unit of each counts.
    pub parts: Vec<(String, f64)>,
}

impl Term {
    /// One feature of several kinds of layers, weighed alike.
    pub fn of(field: &str, kinds: &[&str]) -> Self {
        let part = |kind: &&str| (format!("{kind}.{field}"), 1.0);
        Self {
            parts: kinds.iter().map(part).collect(),
        }
    }

    /// The same term with another feature in it.
    #[must_use]
    pub fn and(mut self, feature: &str, factor: f64) -> Self {
        self.parts.push((feature.into(), factor));
        self
    }

    fn value(&self, features: &BTreeMap<String, u64>) -> f64 {
        let value = |(name, factor): &(String, f64)| {
            factor * features.get(name).copied().unwrap_or(0) as f64
        };
        self.parts.iter().map(value).sum()
    }
}

/// A latency to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Features of what was measured.
    pub features: BTreeMap<String, u64>,
    /// Its latency in milliseconds.
    pub ms: f64,
    /// Weight of its relative error.
    pub weight: f64,
    /// Whether the model's bias is in it: true of a whole run, false of a part of one.
    pub whole: bool,
}

impl Observation {
    /// A whole network.
    pub fn of_network(graph: &Graph, ms: f64) -> Self {
        Self {
            features: features(graph),
            ms,
            weight: 1.0,
            whole: true,
        }
    }

    /// The part of a network whose nodes `wanted` takes by name.
    pub fn of_part(graph: &Graph, wanted: impl Fn(&str) -> bool, ms: f64) -> Self {
        Self {
            features: features_of(graph, wanted),
            whole: false,
            ..Self::of_network(graph, ms)
        }
    }
}

/// Weights of `terms`, 0 or more, and a bias, such that the weighted squares of relative errors are
/// least.
pub fn fit_linear(
    device: &str,
    engine: &str,
    terms: &[Term],
    observations: &[Observation],
) -> LinearModel {
    let row = |o: &Observation| {
        let share = o.weight / o.ms;
        let bias = if o.whole { share } else { 0.0 };
        let terms = terms.iter().map(|t| share * t.value(&o.features));
        terms.chain([bias]).collect()
    };
    let rows: Vec<Vec<f64>> = observations.iter().map(row).collect();
    let targets: Vec<f64> = observations.iter().map(|o| o.weight).collect();
    let weights = nonnegative_least_squares(&rows, &targets);
    let mut coefficients: BTreeMap<String, f64> = BTreeMap::new();
    for (term, weight) in terms.iter().zip(&weights).filter(|(_, w)| **w > 0.0) {
        for (feature, factor) in &term.parts {
            *coefficients.entry(feature.clone()).or_default() += factor * weight;
        }
    }
    // Digits beyond the sixth say nothing of a latency and make files hard to compare.
    let rounded = |v: f64| format!("{v:.5e}").parse().unwrap_or(v);
    coefficients.values_mut().for_each(|c| *c = rounded(*c));
    LinearModel {
        kind: LinearModel::KIND.into(),
        device: device.into(),
        engine: engine.into(),
        error: None,
        unfit: None,
        bias_ms: rounded(weights.last().copied().unwrap_or(0.0)),
        coefficients,
    }
}

/// Mean relative error of models that were each fitted without one observation, over the
/// observations that `of` takes by index.
pub fn leave_one_out(
    terms: &[Term],
    observations: &[Observation],
    of: impl Fn(usize) -> bool,
) -> f64 {
    let left_out: BTreeSet<usize> = (0..observations.len()).filter(|i| of(*i)).collect();
    let error = |i: &usize| {
        let mut others = observations.to_vec();
        let one = others.remove(*i);
        let model = fit_linear("", "", terms, &others);
        (model.milliseconds(&one.features) / one.ms - 1.0).abs()
    };
    left_out.iter().map(error).sum::<f64>() / left_out.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(macs: u64, outputs: u64) -> BTreeMap<String, u64> {
        [("conv.macs".into(), macs), ("add.outputs".into(), outputs)].into()
    }

    /// 0.5 ms + 2e-6 per MAC of any convolution + 1e-3 per value.
    fn observation(macs: u64, outputs: u64) -> Observation {
        Observation {
            features: features(macs, outputs),
            ms: 0.5 + 2e-6 * macs as f64 + 1e-3 * outputs as f64,
            weight: 1.0,
            whole: true,
        }
    }

    #[test]
    fn a_law_is_found_again() {
        let terms = [
            Term::of("macs", &["conv", "pointwise_conv"]),
            Term::of("outputs", &["add"]),
        ];
        let points = [
            (1_000_000, 10),
            (2_000_000, 500),
            (500_000, 3000),
            (9_000_000, 90),
        ];
        let observations: Vec<Observation> =
            points.iter().map(|(m, o)| observation(*m, *o)).collect();
        let model = fit_linear("d", "e", &terms, &observations);
        let near = |got: f64, expected: f64| {
            assert!(
                (got / expected - 1.0).abs() < 1e-3,
                "{got} instead of {expected}"
            );
        };
        near(model.bias_ms, 0.5);
        near(model.coefficients["conv.macs"], 2e-6);
        near(model.coefficients["pointwise_conv.macs"], 2e-6);
        near(model.coefficients["add.outputs"], 1e-3);
        assert!(leave_one_out(&terms, &observations, |_| true) < 1e-3);
        let text = toml::to_string(&model).unwrap();
        assert_eq!(LinearModel::from_toml(&text).unwrap(), model);
    }

    #[test]
    fn a_part_of_a_run_has_no_bias() {
        let terms = [Term::of("macs", &["conv"])];
        let mut part = observation(1_000_000, 0);
        part.ms -= 0.5;
        part.whole = false;
        let model = fit_linear("d", "e", &terms, &[part, observation(3_000_000, 0)]);
        assert!((model.bias_ms - 0.5).abs() < 1e-3, "{model:?}");
    }
}

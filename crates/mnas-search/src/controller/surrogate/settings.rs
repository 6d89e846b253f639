//! Settings of the surrogate: one table for each preset, a reason in every line.

use super::super::settings::Values;
use super::super::{Algorithm, Setting};
use super::Surrogate;
use super::process::Prior;

/// Checked settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) start: usize,
    pub(super) points: usize,
    pub(super) steps: usize,
    pub(super) front: bool,
    pub(super) accuracy: Prior,
    pub(super) latency: Prior,
    pub(super) works: Prior,
}

impl Settings {
    fn new(values: &Values, front: bool) -> Settings {
        let accuracy = Prior {
            single: values.get("single"),
            shared: values.get("shared"),
            pairs: values.get("pairs"),
            costs: values.get("costs"),
            rest: values.get("rest"),
            noise: values.get("noise"),
            firmness: values.get("firmness"),
            firmness_rest: values.get("firmness_rest"),
        };
        Settings {
            start: values.whole("start"),
            points: values.whole("points"),
            steps: values.whole("steps"),
            front,
            accuracy,
            // Costs are more nearly sums than accuracies are, and are measured more exactly.
            latency: Prior {
                pairs: 0.1 * accuracy.pairs,
                rest: 0.1 * accuracy.rest,
                noise: 0.1 * accuracy.noise,
                ..accuracy
            },
            works: Prior {
                noise: 0.1,
                ..accuracy
            },
        }
    }
}

const fn number(name: &'static str, default: f64, max: f64, source: &'static str) -> Setting {
    Setting {
        name,
        default,
        min: 0.0,
        max,
        whole: false,
        source,
    }
}

const SETTINGS: &[Setting] = &[
    Setting {
        min: 2.0,
        whole: true,
        ..number(
            "start",
            3.0,
            10_000.0,
            "trials of a Latin hypercube before the models are asked; chosen, 8 find no better network and find it later",
        )
    },
    Setting {
        min: 16.0,
        whole: true,
        ..number(
            "points",
            320.0,
            2_000.0,
            "trials that the models remember; the time of a proposal grows with them",
        )
    },
    Setting {
        whole: true,
        ..number(
            "steps",
            8.0,
            1_000.0,
            "steps of learning the variances each time; a first guess",
        )
    },
    number(
        "shared",
        0.4,
        100.0,
        "variance of effects that a choice has in every block, before anything is seen; a first guess",
    ),
    number(
        "single",
        0.4,
        100.0,
        "variance of single choices' effects before anything is seen; a first guess",
    ),
    number(
        "pairs",
        0.2,
        100.0,
        "variance of pairs of choices before anything is seen; a first guess",
    ),
    number(
        "costs",
        0.4,
        100.0,
        "variance of what a network's costs tell before anything is seen; a first guess",
    ),
    number(
        "rest",
        0.05,
        100.0,
        "variance of all else before anything is seen; a first guess",
    ),
    number(
        "noise",
        0.01,
        100.0,
        "variance of noise before anything is seen; a first guess",
    ),
    number(
        "firmness",
        2.0,
        1_000.0,
        "how many observations that weighs, for single choices; a first guess",
    ),
    number(
        "firmness_rest",
        0.5,
        1_000.0,
        "how many observations that weighs, for all else; a first guess",
    ),
];

/// Aims at the reward.
pub(in super::super) const ALGORITHM: Algorithm = Algorithm {
    name: "surrogate",
    summary: "Bayesian optimisation: models of accuracy and latency, for tens to hundreds of trials",
    settings: SETTINGS,
    make: |values, setup| {
        let settings = Settings::new(values, false);
        Box::new(Surrogate::new(ALGORITHM.name, settings, setup))
    },
};

/// Aims at the whole front.
pub(in super::super) const FRONT: Algorithm = Algorithm {
    name: "surrogate-front",
    summary: "the same models, aiming at the whole front of accuracy and latency, whatever the target",
    settings: SETTINGS,
    make: |values, setup| {
        let settings = Settings::new(values, true);
        Box::new(Surrogate::new(FRONT.name, settings, setup))
    },
};

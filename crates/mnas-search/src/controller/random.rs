//! Random search: the baseline that every other algorithm has to beat.

use mnas_net::{Purpose, stream};
use serde::{Deserialize, Serialize};

use super::settings::Values;
use super::{
    Algorithm, Controller, Diagnostics, Observation, RestoreError, Setting, Setup, assert_sample,
};
use crate::Tokens;

pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "random",
    summary: "samples at random, the first of them evenly spread; learns nothing",
    settings: &[Setting {
        name: "start",
        default: 16.0,
        min: 0.0,
        max: 10_000.0,
        whole: true,
        source: "trials of a Latin hypercube, in which every decision takes each of its choices equally often, before uniform ones; chosen",
    }],
    make,
};

fn make(values: &Values, setup: &Setup) -> Box<dyn Controller> {
    Box::new(Random {
        start: values.whole("start") as u64,
        choices: setup.choices.clone(),
        seed: setup.seed,
    })
}

/// A uniform sample.
pub(super) fn uniform(choices: &[usize], seed: u64, trial: u64) -> Tokens {
    let mut draws = stream(seed, trial, Purpose::Propose);
    choices.iter().map(|n| draws.below(*n) as u16).collect()
}

/// The stream of Latin hypercubes; no trial has this number.
const SPREAD: u64 = u64::MAX;

/// A sample of a Latin hypercube (McKay et al. 1979): in every run of `length` trials, each decision takes
/// each of its choices equally often.
pub(super) fn spread(choices: &[usize], seed: u64, trial: u64, length: u64) -> Tokens {
    let length = length.max(1);
    let mut draws = stream(seed, SPREAD - trial / length, Purpose::Propose);
    let mut order: Vec<usize> = vec![];
    let at = (trial % length) as usize;
    let token = |n: &usize| {
        order.clear();
        order.extend(0..length as usize);
        draws.shuffle(&mut order);
        let shift = draws.below(*n);
        ((order[at] + shift) % n) as u16
    };
    choices.iter().map(token).collect()
}

struct Random {
    start: u64,
    choices: Vec<usize>,
    seed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    decisions: usize,
}

impl Controller for Random {
    fn propose(&mut self, trial: u64) -> Tokens {
        match trial < self.start {
            true => spread(&self.choices, self.seed, trial, self.start),
            false => uniform(&self.choices, self.seed, trial),
        }
    }

    fn observe(&mut self, batch: &[Observation]) {
        for observation in batch {
            assert_sample(&self.choices, observation);
        }
    }

    fn snapshot(&self) -> String {
        serde_json::json!(State {
            algorithm: self.name().to_owned(),
            decisions: self.choices.len(),
        })
        .to_string()
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        let state: State = serde_json::from_str(snapshot)?;
        super::same_algorithm(state.algorithm, self.name())?;
        if state.decisions != self.choices.len() {
            return Err(RestoreError::Size {
                field: "decisions",
                found: state.decisions,
                expected: self.choices.len(),
            });
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        ALGORITHM.name
    }

    fn diagnostics(&self) -> Diagnostics {
        Diagnostics {
            entropy: Some(1.0),
            baseline: None,
            probabilities: self
                .choices
                .iter()
                .map(|n| vec![1.0 / *n as f64; *n])
                .collect(),
        }
    }
}

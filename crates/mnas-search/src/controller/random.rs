//! Random search: the baseline that every other algorithm has to beat.

use mnas_net::{Purpose, stream};
use serde::{Deserialize, Serialize};

use super::settings::Values;
use super::{Algorithm, Controller, Diagnostics, Observation, RestoreError, Setup, assert_sample};
use crate::Tokens;

pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "random",
    summary: "uniform samples; learns nothing",
    settings: &[],
    make,
};

fn make(_: &Values, setup: &Setup) -> Box<dyn Controller> {
    Box::new(Random {
        choices: setup.choices.clone(),
        seed: setup.seed,
    })
}

/// A uniform sample.
pub(super) fn uniform(choices: &[usize], seed: u64, trial: u64) -> Tokens {
    let mut draws = stream(seed, trial, Purpose::Propose);
    choices.iter().map(|n| draws.below(*n) as u16).collect()
}

struct Random {
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
        uniform(&self.choices, self.seed, trial)
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
        if state.algorithm != self.name() {
            return Err(RestoreError::Algorithm {
                found: state.algorithm,
                expected: self.name(),
            });
        }
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

//! Aging (regularised) evolution: Real et al. 2019, "Regularized Evolution for Image Classifier
//! Architecture Search", algorithm 1. The best of a random tournament is mutated in one decision;
//! the oldest member dies, however good it is, so that one lucky measurement can't rule for ever.

use std::collections::VecDeque;

use mnas_net::{Purpose, stream};
use serde::{Deserialize, Serialize};

use super::random::uniform;
use super::settings::Values;
use super::{
    Algorithm, Controller, Diagnostics, Observation, RestoreError, Setting, Setup, assert_sample,
};
use crate::Tokens;

pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "evolution",
    summary: "aging evolution: mutate the best of a tournament, drop the oldest",
    settings: &[
        Setting {
            name: "population",
            default: 0.0,
            min: 0.0,
            max: 10_000.0,
            whole: true,
            source: "members; 0 = a sixteenth of the budget, from 8 to 100 (Real et al.: 100 for 20,000 trials); chosen",
        },
        Setting {
            name: "tournament",
            default: 0.0,
            min: 0.0,
            max: 10_000.0,
            whole: true,
            source: "members drawn to find a parent; 0 = a third of the population (Real et al.: 25 of 100); chosen",
        },
    ],
    make,
};

fn make(values: &Values, setup: &Setup) -> Box<dyn Controller> {
    let population = match values.whole("population") {
        0 => (setup.budget / 16).clamp(8, 100) as usize,
        n => n,
    };
    let tournament = match values.whole("tournament") {
        0 => population.div_ceil(3),
        n => n,
    };
    Box::new(Evolution {
        choices: setup.choices.clone(),
        seed: setup.seed,
        population,
        tournament,
        members: VecDeque::new(),
    })
}

/// A member: tokens and reward.
type Member = (Tokens, f64);

struct Evolution {
    choices: Vec<usize>,
    seed: u64,
    population: usize,
    tournament: usize,
    /// Oldest first.
    members: VecDeque<Member>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    members: VecDeque<Member>,
}

impl Controller for Evolution {
    fn propose(&mut self, trial: u64) -> Tokens {
        if self.members.len() < self.population {
            return uniform(&self.choices, self.seed, trial);
        }
        let mut draws = stream(self.seed, trial, Purpose::Propose);
        // With replacement, as in the paper's algorithm 1; the first drawn wins among equals.
        let mut parent = draws.below(self.members.len());
        for _ in 1..self.tournament {
            let rival = draws.below(self.members.len());
            if self.members[rival].1 > self.members[parent].1 {
                parent = rival;
            }
        }
        let mut tokens = self.members[parent].0.clone();
        let free: Vec<usize> = (0..self.choices.len())
            .filter(|d| self.choices[*d] > 1)
            .collect();
        if free.is_empty() {
            return tokens;
        }
        let decision = free[draws.below(free.len())];
        // One of the other choices: skip over the present one.
        let other = draws.below(self.choices[decision] - 1) as u16;
        tokens[decision] = other + u16::from(other >= tokens[decision]);
        tokens
    }

    fn observe(&mut self, batch: &[Observation]) {
        for observation in batch {
            assert_sample(&self.choices, observation);
            let Some(reward) = observation.reward else {
                continue;
            };
            self.members.push_back((observation.tokens.clone(), reward));
            if self.members.len() > self.population {
                self.members.pop_front();
            }
        }
    }

    fn snapshot(&self) -> String {
        serde_json::json!(State {
            algorithm: self.name().to_owned(),
            members: self.members.clone(),
        })
        .to_string()
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        let state: State = serde_json::from_str(snapshot)?;
        super::same_algorithm(state.algorithm, self.name())?;
        if state.members.len() > self.population {
            return Err(RestoreError::Size {
                field: "members",
                found: state.members.len(),
                expected: self.population,
            });
        }
        let misfit = state
            .members
            .iter()
            .find(|(tokens, _)| !super::fits(&self.choices, tokens));
        if let Some((tokens, _)) = misfit {
            return Err(RestoreError::Size {
                field: "tokens",
                found: tokens.len(),
                expected: self.choices.len(),
            });
        }
        self.members = state.members;
        Ok(())
    }

    fn name(&self) -> &'static str {
        ALGORITHM.name
    }

    fn diagnostics(&self) -> Diagnostics {
        let tokens: Vec<&Tokens> = self.members.iter().map(|(tokens, _)| tokens).collect();
        let shares = super::numbers::shares(&self.choices, &tokens);
        let n = self.members.len() as f64;
        let sum: f64 = self.members.iter().map(|(_, reward)| reward).sum();
        Diagnostics {
            entropy: super::numbers::relative_entropy(&shares),
            baseline: (!self.members.is_empty()).then(|| sum / n),
            probabilities: shares,
        }
    }
}

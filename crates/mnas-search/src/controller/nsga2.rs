//! NSGA-II (Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm"): a population that
//! spreads over the front of accuracy and latency, whatever the target.
//!
//! Parents win tournaments of two by rank and, within a rank, by distance to their neighbours on the
//! front; children take each decision of one of two parents and change one decision in the mean. Once as
//! many children as parents were observed, the better half of both is the next generation.

use mnas_net::{Purpose, Stream, stream};
use serde::{Deserialize, Serialize};

use super::random::spread;
use super::settings::Values;
use super::{
    Algorithm, Controller, Diagnostics, Observation, RestoreError, Setting, Setup, assert_sample,
};
use crate::Tokens;

pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "nsga2",
    summary: "NSGA-II: a population that spreads over the front of accuracy and latency, whatever the target",
    settings: &[
        Setting {
            name: "population",
            default: 0.0,
            min: 0.0,
            max: 10_000.0,
            whole: true,
            source: "members; 0 = a tenth of the budget, from 8 to 100 (Deb et al.: 100 for 25,000 trials); chosen",
        },
        Setting {
            name: "crossover",
            default: 0.9,
            min: 0.0,
            max: 1.0,
            whole: false,
            source: "probability that a child has two parents; Deb et al. 2002, section IV",
        },
    ],
    make,
};

fn make(values: &Values, setup: &Setup) -> Box<dyn Controller> {
    let population = match values.whole("population") {
        0 => (setup.budget / 10).clamp(8, 100) as usize,
        n => n,
    };
    Box::new(Nsga2 {
        choices: setup.choices.clone(),
        seed: setup.seed,
        population,
        crossover: values.get("crossover"),
        parents: vec![],
        children: vec![],
    })
}

/// A sample and what it earned: `(accuracy, latency)`, where a study that tells rewards only has no
/// latency, and a failure nothing but the worst of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    tokens: Tokens,
    accuracy: f64,
    latency_ms: Option<f64>,
}

impl Member {
    fn of(observation: &Observation) -> Option<Member> {
        let reward = observation.reward?;
        Some(Member {
            tokens: observation.tokens.clone(),
            accuracy: match observation.latency_ms {
                Some(_) => observation.accuracy.unwrap_or(0.0),
                None => reward,
            },
            latency_ms: observation.latency_ms,
        })
    }

    fn dominates(&self, other: &Member) -> bool {
        let slower = |m: &Member| m.latency_ms.unwrap_or(f64::INFINITY);
        let (mine, theirs) = (slower(self), slower(other));
        self.accuracy >= other.accuracy
            && mine <= theirs
            && (self.accuracy > other.accuracy || mine < theirs)
    }
}

struct Nsga2 {
    choices: Vec<usize>,
    seed: u64,
    population: usize,
    crossover: f64,
    /// Best first.
    parents: Vec<Member>,
    /// In the order that they were observed.
    children: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    parents: Vec<Member>,
    children: Vec<Member>,
}

/// Indices of members, best first: by rank of the front that they are on, then by crowding distance.
fn ranked(members: &[Member]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..members.len()).collect();
    let mut order = vec![];
    while !left.is_empty() {
        let beaten = |i: &usize| left.iter().any(|j| members[*j].dominates(&members[*i]));
        let (rest, mut front): (Vec<usize>, Vec<usize>) =
            left.iter().copied().partition(|i| beaten(i));
        let distances = crowding(members, &front);
        // Stable, so that of equal ones the earlier stays in front.
        front.sort_by(|a, b| distances[*b].total_cmp(&distances[*a]));
        order.extend(front);
        left = rest;
    }
    order
}

/// How far a front's members are from their neighbours, in each quantity relative to the front's
/// range; ends are infinitely far. Indexed as `members`.
fn crowding(members: &[Member], front: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; members.len()];
    let quantities: [fn(&Member) -> f64; 2] = [|m| m.accuracy, |m| m.latency_ms.unwrap_or(0.0)];
    for of in quantities {
        let mut order = front.to_vec();
        order.sort_by(|a, b| of(&members[*a]).total_cmp(&of(&members[*b])));
        let (Some(first), Some(last)) = (order.first(), order.last()) else {
            continue;
        };
        let range = of(&members[*last]) - of(&members[*first]);
        if range <= 0.0 {
            continue;
        }
        (distances[*first], distances[*last]) = (f64::INFINITY, f64::INFINITY);
        for three in order.windows(3) {
            distances[three[1]] += (of(&members[three[2]]) - of(&members[three[0]])) / range;
        }
    }
    distances
}

impl Nsga2 {
    fn parent(&self, draws: &mut Stream) -> &Member {
        // Parents lie best first, so the smaller index wins.
        let (one, other) = (
            draws.below(self.parents.len()),
            draws.below(self.parents.len()),
        );
        &self.parents[one.min(other)]
    }
}

impl Controller for Nsga2 {
    fn propose(&mut self, trial: u64) -> Tokens {
        if self.parents.is_empty() {
            return spread(&self.choices, self.seed, trial, self.population as u64);
        }
        let mut draws = stream(self.seed, trial, Purpose::Propose);
        let mut child = self.parent(&mut draws).tokens.clone();
        if draws.uniform() < self.crossover {
            let other = self.parent(&mut draws);
            for (token, theirs) in child.iter_mut().zip(&other.tokens) {
                if draws.below(2) == 1 {
                    *token = *theirs;
                }
            }
        }
        let free = self.choices.iter().filter(|n| **n > 1).count().max(1);
        for (token, n) in child.iter_mut().zip(&self.choices) {
            if *n > 1 && draws.below(free) == 0 {
                // One of the other choices: skip over the present one.
                let next = draws.below(n - 1) as u16;
                *token = next + u16::from(next >= *token);
            }
        }
        child
    }

    fn observe(&mut self, batch: &[Observation]) {
        for observation in batch {
            assert_sample(&self.choices, observation);
            self.children.extend(Member::of(observation));
            if self.children.len() == self.population {
                self.children.append(&mut self.parents);
                let order = ranked(&self.children);
                let best = order.into_iter().take(self.population);
                self.parents = best.map(|i| self.children[i].clone()).collect();
                self.children.clear();
            }
        }
    }

    fn snapshot(&self) -> String {
        serde_json::json!(State {
            algorithm: self.name().to_owned(),
            parents: self.parents.clone(),
            children: self.children.clone(),
        })
        .to_string()
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        let state: State = serde_json::from_str(snapshot)?;
        super::same_algorithm(state.algorithm, self.name())?;
        for (field, members) in [("parents", &state.parents), ("children", &state.children)] {
            if members.len() > self.population {
                return Err(RestoreError::Size {
                    field,
                    found: members.len(),
                    expected: self.population,
                });
            }
            let misfit = members
                .iter()
                .find(|m| !super::fits(&self.choices, &m.tokens));
            if let Some(member) = misfit {
                return Err(RestoreError::Size {
                    field: "tokens",
                    found: member.tokens.len(),
                    expected: self.choices.len(),
                });
            }
        }
        self.parents = state.parents;
        self.children = state.children;
        Ok(())
    }

    fn name(&self) -> &'static str {
        ALGORITHM.name
    }

    /// Probabilities are shares of the parents' choices.
    fn diagnostics(&self) -> Diagnostics {
        let tokens: Vec<&Tokens> = self.parents.iter().map(|m| &m.tokens).collect();
        let probabilities = super::numbers::shares(&self.choices, &tokens);
        Diagnostics {
            entropy: super::numbers::relative_entropy(&probabilities),
            baseline: None,
            probabilities,
        }
    }
}

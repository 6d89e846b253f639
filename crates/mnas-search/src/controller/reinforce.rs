//! REINFORCE with independent logits: the controller of TuNAS (Bender et al. 2020, "Can Weight Sharing
//! Outperform Random Architecture Search? An Investigation With TuNAS", section 3).
//!
//! Every decision has a logit for each choice, and nothing else: no decision knows of another. After
//! every batch, the logits are pushed toward what earned more than the moving average of rewards
//! (Williams 1992), by [`Adam`]. Logits and moments are kept at 32-bit precision, so that a snapshot is exact.

use mnas_net::{Purpose, stream};
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::baseline::Baseline;
use super::numbers::{decode_f32, draw, encode_f32, relative_entropy, softmax};
use super::settings::Values;
use super::{
    Algorithm, Controller, Diagnostics, Observation, RestoreError, Setting, Setup, assert_sample,
};
use crate::Tokens;

/// Advantages, in spreads of the rewards, are cut here, so that one failed trial can't drown a batch.
const ADVANTAGE_LIMIT: f64 = 3.0;

pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "reinforce",
    summary: "independent logits learning by REINFORCE, the controller of TuNAS",
    settings: &[
        Setting {
            name: "learning_rate",
            default: 0.05,
            min: 0.0,
            max: 10.0,
            whole: false,
            source: "Adam's, times the root of a batch's trials; chosen for hundreds to thousands of trials (TuNAS: 4.8e-3 for tens of thousands of steps)",
        },
        Setting {
            name: "baseline_decay",
            default: 0.95,
            min: 0.0,
            max: 1.0,
            whole: false,
            source: "per trial, of the moving averages of rewards and their spread; TuNAS's momentum of 0.95",
        },
        Setting {
            name: "entropy",
            default: 0.02,
            min: 0.0,
            max: 10.0,
            whole: false,
            source: "entropy bonus per decision, for advantages of unit spread; chosen, keeps late proposals distinct",
        },
    ],
    make,
};

fn make(values: &Values, setup: &Setup) -> Box<dyn Controller> {
    let logits: usize = setup.choices.iter().sum();
    Box::new(Reinforce {
        choices: setup.choices.clone(),
        seed: setup.seed,
        rate: values.get("learning_rate"),
        decay: values.get("baseline_decay"),
        entropy: values.get("entropy"),
        logits: vec![0.0; logits],
        adam: Adam::new(logits),
        baseline: Baseline::default(),
    })
}

struct Reinforce {
    choices: Vec<usize>,
    seed: u64,
    rate: f64,
    decay: f64,
    entropy: f64,
    /// Those of the first decision, then those of the second, and so on.
    logits: Vec<f64>,
    adam: Adam,
    baseline: Baseline,
}

/// The whole state. Logits and moments are base64 of little-endian 32-bit floats.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    baseline: Baseline,
    steps: u64,
    logits: String,
    first_moments: String,
    second_moments: String,
}

impl Reinforce {
    fn probabilities(&self) -> Vec<Vec<f64>> {
        let mut rest = self.logits.as_slice();
        let mut next = |n: &usize| {
            let (of_decision, after) = rest.split_at(*n);
            rest = after;
            softmax(of_decision)
        };
        self.choices.iter().map(&mut next).collect()
    }

    /// Gradient of the loss at one trial: minus the advantage times the log-probability, minus the
    /// weighted entropy.
    fn accumulate(&self, tokens: &[u16], advantage: f64, scale: f64, gradient: &mut [f64]) {
        let mut at = 0;
        for (p, token) in self.probabilities().iter().zip(tokens) {
            let entropy = super::numbers::entropy(p);
            for (choice, p) in p.iter().enumerate() {
                let taken = f64::from(u8::from(choice == usize::from(*token)));
                let surprise = libm::log(p.max(1e-12)) + entropy;
                let pull = advantage * (taken - p) - self.entropy * p * surprise;
                gradient[at + choice] -= scale * pull;
            }
            at += p.len();
        }
    }
}

impl Controller for Reinforce {
    fn propose(&mut self, trial: u64) -> Tokens {
        let mut draws = stream(self.seed, trial, Purpose::Propose);
        let token = |p: &Vec<f64>| draw(p, draws.uniform());
        self.probabilities().iter().map(token).collect()
    }

    fn observe(&mut self, batch: &[Observation]) {
        batch.iter().for_each(|o| assert_sample(&self.choices, o));
        let observed: Vec<(&Tokens, f64)> = batch
            .iter()
            .filter_map(|o| Some((&o.tokens, o.reward?)))
            .collect();
        if observed.is_empty() {
            return;
        }
        // The first batch has no history but itself.
        let n = observed.len() as f64;
        let own = observed.iter().map(|(_, reward)| reward).sum::<f64>() / n;
        let expected = self.baseline.mean.unwrap_or(own);
        for (_, reward) in &observed {
            self.baseline.update(*reward, self.decay);
        }
        let spread = self.baseline.spread();
        let mut gradient = vec![0.0; self.logits.len()];
        for (tokens, reward) in &observed {
            let advantage = ((reward - expected) / spread).clamp(-ADVANTAGE_LIMIT, ADVANTAGE_LIMIT);
            self.accumulate(tokens, advantage, 1.0 / n, &mut gradient);
        }
        // One step for a batch, the longer the more trials make its direction surer.
        let rates = vec![self.rate * libm::sqrt(n); self.logits.len()];
        self.adam.step(&mut self.logits, &gradient, &rates);
    }

    fn snapshot(&self) -> String {
        serde_json::json!(State {
            algorithm: self.name().to_owned(),
            baseline: self.baseline,
            steps: self.adam.steps,
            logits: encode_f32(&self.logits),
            first_moments: encode_f32(&self.adam.first),
            second_moments: encode_f32(&self.adam.second),
        })
        .to_string()
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        let state: State = serde_json::from_str(snapshot)?;
        super::same_algorithm(state.algorithm, self.name())?;
        let len = self.logits.len();
        let logits = decode_f32(&state.logits, len, "logits")?;
        let first = decode_f32(&state.first_moments, len, "first_moments")?;
        let second = decode_f32(&state.second_moments, len, "second_moments")?;
        self.logits = logits;
        self.adam = Adam {
            steps: state.steps,
            first,
            second,
        };
        self.baseline = state.baseline;
        Ok(())
    }

    fn name(&self) -> &'static str {
        ALGORITHM.name
    }

    fn diagnostics(&self) -> Diagnostics {
        let probabilities = self.probabilities();
        Diagnostics {
            entropy: relative_entropy(&probabilities),
            baseline: self.baseline.mean,
            probabilities,
        }
    }
}

//! Proximal policy optimisation of an LSTM policy: the controller of NASNet and MnasNet.
//!
//! The policy writes a network token by token ([`policy`]). After every batch, it is pushed toward
//! what earned more than the baseline (Schulman et al. 2017, equation 7), by [`Adam`].
//! Weights and moments are kept at 32-bit precision and computed with at 64, so that a snapshot is
//! exact and half as large.

mod policy;
mod settings;
#[cfg(test)]
mod tests;

use mnas_net::{Purpose, stream};
use serde::{Deserialize, Serialize};

use self::policy::{Policy, Weighting};
use self::settings::Settings;
pub(super) use self::settings::{DEFAULT, PAPER};
use super::adam::Adam;
use super::baseline::Baseline;
use super::numbers::{decode_f32, encode_f32, relative_entropy};
use super::{Controller, Diagnostics, Observation, RestoreError, Setup, assert_sample};
use crate::Tokens;

/// Samples drawn to estimate the probabilities that diagnostics show.
const DIAGNOSTIC_SAMPLES: usize = 16;

/// The stream that initial weights are drawn from; no batch has this number.
const INITIAL: u64 = u64::MAX;

struct Ppo {
    name: &'static str,
    settings: Settings,
    choices: Vec<usize>,
    seed: u64,
    policy: Policy,
    adam: Adam,
    /// Learning rate of each weight.
    rates: Vec<f64>,
    baseline: Baseline,
    /// Batches observed.
    batches: u64,
}

/// A trial of the batch that is learnt from.
struct Sample<'a> {
    tokens: &'a [u16],
    /// Log-probability of each token in the policy that proposed it.
    log_probs: Vec<f64>,
    /// How much better than expected it was.
    advantage: f64,
}

/// The whole state. Weights and moments are base64 of little-endian 32-bit floats.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    batches: u64,
    baseline: Baseline,
    steps: u64,
    weights: String,
    first_moments: String,
    second_moments: String,
}

impl Ppo {
    fn new(name: &'static str, settings: Settings, setup: &Setup) -> Ppo {
        let mut draws = stream(setup.seed, INITIAL, Purpose::Learn);
        let policy = Policy::new(&setup.choices, settings.units, settings.init, &mut draws);
        Ppo {
            name,
            choices: setup.choices.clone(),
            seed: setup.seed,
            adam: Adam::new(policy.weights.len()),
            rates: policy.rates(settings.learning_rate, settings.bias_rate),
            policy,
            baseline: Baseline::default(),
            batches: 0,
            settings,
        }
    }

    /// Rewards relative to what was expected, which is the moving average drawn toward the batch's
    /// own mean, in units of the rewards' spread.
    fn advantages(&mut self, rewards: &[f64]) -> Vec<f64> {
        let n = rewards.len() as f64;
        let sum: f64 = rewards.iter().sum();
        // The first batch has no history but itself.
        let past = self.baseline.mean.unwrap_or(sum / n);
        for reward in rewards {
            self.baseline.update(*reward, self.settings.baseline_decay);
        }
        let weight = self.settings.baseline_weight;
        let expected = (weight * past + sum) / (weight + n);
        let spread = match self.settings.normalize {
            true => self.baseline.spread(),
            false => 1.0,
        };
        let limit = self.settings.advantage_limit;
        rewards
            .iter()
            .map(|r| ((r - expected) / spread).clamp(-limit, limit))
            .collect()
    }

    /// Several passes over the batch, one Adam step per minibatch.
    fn learn(&mut self, samples: &[Sample<'_>]) {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        let mut draws = stream(self.seed, self.batches, Purpose::Learn);
        let mut gradient = vec![0.0; self.policy.weights.len()];
        for _ in 0..self.settings.epochs {
            draws.shuffle(&mut order);
            for minibatch in order.chunks(self.settings.minibatch) {
                gradient.fill(0.0);
                for sample in minibatch.iter().map(|i| &samples[*i]) {
                    let weighting = Weighting {
                        advantage: sample.advantage,
                        clip: self.settings.clip,
                        entropy: self.settings.entropy,
                        scale: 1.0 / minibatch.len() as f64,
                    };
                    self.policy.accumulate(
                        sample.tokens,
                        &sample.log_probs,
                        &weighting,
                        &mut gradient,
                    );
                }
                self.adam
                    .step(&mut self.policy.weights, &gradient, &self.rates);
            }
        }
    }
}

impl Controller for Ppo {
    fn propose(&mut self, trial: u64) -> Tokens {
        let mut draws = stream(self.seed, trial, Purpose::Propose);
        self.policy.sample(&mut draws).0
    }

    fn observe(&mut self, batch: &[Observation]) {
        batch.iter().for_each(|o| assert_sample(&self.choices, o));
        let observed: Vec<(&[u16], f64)> = batch
            .iter()
            .filter_map(|o| Some((o.tokens.as_slice(), o.reward?)))
            .collect();
        let rewards: Vec<f64> = observed.iter().map(|(_, reward)| *reward).collect();
        if !rewards.is_empty() {
            let advantages = self.advantages(&rewards);
            // The policy is still the one that proposed the batch: only observing changes it.
            let samples: Vec<Sample<'_>> = observed
                .iter()
                .zip(advantages)
                .map(|((tokens, _), advantage)| Sample {
                    log_probs: self.policy.log_probs(tokens),
                    tokens,
                    advantage,
                })
                .collect();
            self.learn(&samples);
        }
        self.batches += 1;
    }

    fn snapshot(&self) -> String {
        serde_json::json!(State {
            algorithm: self.name.to_owned(),
            batches: self.batches,
            baseline: self.baseline,
            steps: self.adam.steps,
            weights: encode_f32(&self.policy.weights),
            first_moments: encode_f32(&self.adam.first),
            second_moments: encode_f32(&self.adam.second),
        })
        .to_string()
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        let state: State = serde_json::from_str(snapshot)?;
        super::same_algorithm(state.algorithm, self.name)?;
        let len = self.policy.weights.len();
        let weights = decode_f32(&state.weights, len, "weights")?;
        let first = decode_f32(&state.first_moments, len, "first_moments")?;
        let second = decode_f32(&state.second_moments, len, "second_moments")?;
        self.policy.weights = weights;
        self.adam = Adam {
            steps: state.steps,
            first,
            second,
        };
        self.batches = state.batches;
        self.baseline = state.baseline;
        Ok(())
    }

    fn name(&self) -> &'static str {
        self.name
    }

    /// Probabilities are means over samples of the present policy.
    fn diagnostics(&self) -> Diagnostics {
        let mut draws = stream(self.seed, self.batches, Purpose::Sample);
        let mut means: Vec<Vec<f64>> = self.choices.iter().map(|n| vec![0.0; *n]).collect();
        for _ in 0..DIAGNOSTIC_SAMPLES {
            let (_, probabilities) = self.policy.sample(&mut draws);
            let sampled = probabilities.iter().flatten();
            for (mean, p) in means.iter_mut().flatten().zip(sampled) {
                *mean += p / DIAGNOSTIC_SAMPLES as f64;
            }
        }
        Diagnostics {
            entropy: relative_entropy(&means),
            baseline: self.baseline.mean,
            probabilities: means,
        }
    }
}

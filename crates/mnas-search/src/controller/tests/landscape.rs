//! Toy landscapes over a space like MnasNet's: rewards differ by a few hundredths between networks
//! and are measured with noise, as accuracies of short trainings do.

use mnas_net::{Purpose, Stream, stream};

/// Seven blocks of op, layers, kernel, width, squeeze and skip, as the built-in spaces have them.
pub(super) fn choices() -> Vec<usize> {
    [4, 3, 2, 3, 2, 3].repeat(7)
}

/// Standard deviation of a measurement's noise.
fn noise_scale() -> f64 {
    std::env::var("NOISE").map_or(0.005, |n| n.parse().unwrap())
}
/// Standard deviation of true rewards over random networks, before noise.
const SPREAD: f64 = 0.02;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Every choice has its own worth.
    Separable,
    /// Half of the variance is in pairs of choices, within a block and between neighbours.
    Pairwise,
    /// Capacity raises accuracy with diminishing returns and latency without: `ACC x (LAT/T)^-0.07`.
    /// The early blocks cost latency and the late ones bring accuracy, and squeeze-excitation only
    /// pays where the block is large.
    Latency,
}

pub(super) struct Landscape {
    kind: Kind,
    choices: Vec<usize>,
    single: Vec<Vec<f64>>,
    pairs: Vec<(usize, usize, Vec<f64>)>,
    centre: f64,
    scale: f64,
}

impl Landscape {
    pub(super) fn new(kind: Kind, seed: u64) -> Landscape {
        let choices = choices();
        let mut draws = stream(seed, 0, Purpose::Sample);
        let single = choices
            .iter()
            .map(|n| (0..*n).map(|_| draws.normal()).collect());
        let mut landscape = Landscape {
            kind,
            single: single.collect(),
            pairs: pairs(&choices, &mut draws),
            choices,
            centre: 0.0,
            scale: 1.0,
        };
        landscape.standardise(&mut draws);
        landscape
    }

    /// Brings random networks to mean 0.7 and the standard spread.
    fn standardise(&mut self, draws: &mut Stream) {
        let values: Vec<f64> = (0..2_000)
            .map(|_| {
                let tokens: Vec<u16> = self
                    .choices
                    .iter()
                    .map(|n| draws.below(*n) as u16)
                    .collect();
                self.raw(&tokens)
            })
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        self.scale = SPREAD / (variance / values.len() as f64).sqrt();
        self.centre = mean;
    }

    fn raw(&self, tokens: &[u16]) -> f64 {
        let at = |d: usize| usize::from(tokens[d]);
        let single: f64 = (0..tokens.len()).map(|d| self.single[d][at(d)]).sum();
        match self.kind {
            Kind::Separable => single,
            Kind::Pairwise => {
                let pair =
                    |(a, b, w): &(usize, usize, Vec<f64>)| w[at(*a) * self.choices[*b] + at(*b)];
                // Normal weights: each table's interaction has the variance of its entries.
                let singles = (self.choices.len() as f64).sqrt();
                let tables = (self.pairs.len() as f64).sqrt();
                single / singles + self.pairs.iter().map(pair).sum::<f64>() / tables
            }
            Kind::Latency => {
                let (mut capacity, mut latency) = (0.0, 0.0);
                for block in 0..7 {
                    let [op, layers, kernel, width, squeeze, skip] =
                        [0, 1, 2, 3, 4, 5].map(|k| at(6 * block + k) as f64);
                    let size = (1.0 + op) * (1.0 + 0.5 * layers) * (0.75 + 0.25 * width);
                    let pays = if size > 4.0 { 0.3 } else { -0.1 };
                    let early = 7.0 - block as f64;
                    latency +=
                        size * (1.0 + 0.4 * kernel) * (0.4 + 0.15 * early) * (1.0 + 0.1 * squeeze);
                    capacity +=
                        size.ln() * (1.0 + 0.25 * block as f64) + 0.4 * kernel + pays * squeeze
                            - 0.2 * (skip - 1.0).abs();
                }
                let accuracy = 1.0 - (-capacity / 12.0).exp();
                accuracy * (latency / 45.0).powf(-0.07)
            }
        }
    }

    /// True reward.
    pub(super) fn reward(&self, tokens: &[u16]) -> f64 {
        0.7 + (self.raw(tokens) - self.centre) * self.scale
    }

    /// What one short training would say.
    pub(super) fn measure(&self, tokens: &[u16], seed: u64, trial: u64) -> f64 {
        let noise = stream(seed, trial, Purpose::Measure).normal();
        self.reward(tokens) + noise_scale() * noise
    }
}

fn pairs(choices: &[usize], draws: &mut Stream) -> Vec<(usize, usize, Vec<f64>)> {
    let mut pairs = vec![];
    for a in 0..choices.len() {
        for b in [a + 1, a + 6] {
            if b < choices.len() {
                let table = (0..choices[a] * choices[b]).map(|_| draws.normal());
                pairs.push((a, b, table.collect()));
            }
        }
    }
    pairs
}

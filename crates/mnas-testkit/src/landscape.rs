//! Toy landscapes over a space: what a search algorithm must learn, at no cost per trial.
//!
//! True rewards of random networks lie around 0.7 with a spread of 0.02, and a measurement adds
//! noise of 0.005: what accuracies of short trainings look like.

use std::collections::VecDeque;

use mnas_net::{Purpose, Stream, stream};
use mnas_search::{ControllerSpec, Objective, ObjectiveKind, Observation, Setup, Space, build};

/// Standard deviation of a measurement's noise.
pub const NOISE: f64 = 0.005;
/// Standard deviation of the true rewards of random samples.
pub const SPREAD: f64 = 0.02;
/// Mean true reward of random samples.
pub const CENTRE: f64 = 0.7;

/// The objective that controllers are built for; a landscape gives rewards and nothing else.
pub const OBJECTIVE: Objective = Objective {
    kind: ObjectiveKind::SOFT,
    target_ms: 10.0,
};

/// What rewards depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every choice has a worth of its own.
    Separable,
    /// Half of the variance is in pairs of choices, within a block and between neighbours.
    Pairwise,
    /// Capacity raises accuracy with diminishing returns and latency without: `ACC x (LAT/T)^-0.07`.
    /// Early blocks cost latency, late ones bring accuracy, and squeeze-excitation pays in large
    /// blocks only, so that what helps on average misleads in the end.
    Latency,
}

/// Every kind.
pub const KINDS: [Kind; 3] = [Kind::Separable, Kind::Pairwise, Kind::Latency];

/// A landscape over the samples of a space with six decisions per block.
#[derive(Debug, Clone)]
pub struct Landscape {
    kind: Kind,
    choices: Vec<usize>,
    single: Vec<Vec<f64>>,
    pairs: Vec<Pair>,
    centre: f64,
    scale: f64,
}

/// Worth of two choices together.
#[derive(Debug, Clone)]
struct Pair {
    first: usize,
    second: usize,
    worth: Vec<f64>,
}

impl Landscape {
    /// The landscape of that kind and seed over the space.
    ///
    /// # Panics
    /// If the space doesn't have six decisions per block.
    pub fn new(kind: Kind, space: &Space, seed: u64) -> Landscape {
        let choices: Vec<usize> = space.decisions().iter().map(|d| d.choices.len()).collect();
        assert_eq!(choices.len() % 6, 0, "a block has six decisions");
        let mut draws = stream(seed, 0, Purpose::Sample);
        let normals = |n: usize, draws: &mut Stream| (0..n).map(|_| draws.normal()).collect();
        let single = choices.iter().map(|n| normals(*n, &mut draws)).collect();
        let mut pairs = vec![];
        for first in 0..choices.len() {
            for second in [first + 1, first + 6] {
                if second < choices.len() {
                    let worth = normals(choices[first] * choices[second], &mut draws);
                    pairs.push(Pair {
                        first,
                        second,
                        worth,
                    });
                }
            }
        }
        let mut landscape = Landscape {
            kind,
            choices,
            single,
            pairs,
            centre: 0.0,
            scale: 1.0,
        };
        let values: Vec<f64> = (0..2_000)
            .map(|_| landscape.raw(&space.sample(&mut draws)))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        landscape.centre = mean;
        landscape.scale = SPREAD / (squares / values.len() as f64).sqrt();
        landscape
    }

    /// The reward without noise.
    pub fn reward(&self, tokens: &[u16]) -> f64 {
        CENTRE + (self.raw(tokens) - self.centre) * self.scale
    }

    /// What a trial would measure.
    pub fn measure(&self, tokens: &[u16], seed: u64, trial: u64) -> f64 {
        self.reward(tokens) + NOISE * stream(seed, trial, Purpose::Measure).normal()
    }

    fn raw(&self, tokens: &[u16]) -> f64 {
        let at = |decision: usize| usize::from(tokens[decision]);
        let single = || -> f64 { (0..tokens.len()).map(|d| self.single[d][at(d)]).sum() };
        match self.kind {
            Kind::Separable => single(),
            Kind::Pairwise => {
                let worth = |p: &Pair| p.worth[at(p.first) * self.choices[p.second] + at(p.second)];
                // Both sums have unit variance before this, as every term is standard normal.
                single() / (self.choices.len() as f64).sqrt()
                    + self.pairs.iter().map(worth).sum::<f64>() / (self.pairs.len() as f64).sqrt()
            }
            Kind::Latency => latency_reward(tokens),
        }
    }
}

/// A caricature of a network's accuracy and latency; decisions of a block are operation, layers,
/// kernel, width, squeeze, skip.
fn latency_reward(tokens: &[u16]) -> f64 {
    let (mut capacity, mut latency) = (0.0, 0.0);
    for (block, decisions) in tokens.chunks_exact(6).enumerate() {
        let [op, layers, kernel, width, squeeze, skip] =
            [0, 1, 2, 3, 4, 5].map(|k| f64::from(decisions[k]));
        let size = (1.0 + op) * (1.0 + 0.5 * layers) * (0.75 + 0.25 * width);
        let (late, early) = (block as f64, 7.0 - block as f64);
        let squeeze_pays = if size > 4.0 { 0.3 } else { -0.1 };
        latency += size * (1.0 + 0.4 * kernel) * (0.4 + 0.15 * early) * (1.0 + 0.1 * squeeze);
        capacity += libm::log(size) * (1.0 + 0.25 * late) + 0.4 * kernel + squeeze_pays * squeeze
            - 0.2 * (skip - 1.0).abs();
    }
    let accuracy = 1.0 - libm::exp(-capacity / 12.0);
    accuracy * libm::pow(latency / 45.0, -0.07)
}

/// Runs a search and gives the true reward of every proposal, in order.
///
/// # Panics
/// If the controller can't be built.
pub fn search(
    controller: &ControllerSpec,
    space: &Space,
    landscape: &Landscape,
    seed: u64,
    sizes: (u64, u64),
) -> Vec<f64> {
    search_ahead(controller, space, landscape, seed, sizes, 0)
}

/// As [`search`] with batches that overlap: batch `b` is proposed once batch `b - 1 - staleness` is
/// observed.
///
/// # Panics
/// As [`search`].
pub fn search_ahead(
    controller: &ControllerSpec,
    space: &Space,
    landscape: &Landscape,
    seed: u64,
    (budget, batch): (u64, u64),
    staleness: usize,
) -> Vec<f64> {
    let setup = Setup::of(space, OBJECTIVE)
        .seed(seed)
        .planned(budget, batch);
    let mut controller = build(controller, &setup).expect("a known controller");
    let mut rewards = vec![];
    let mut open: VecDeque<Vec<Observation>> = VecDeque::new();
    let trials: Vec<u64> = (0..budget).collect();
    for batch in trials.chunks(batch as usize) {
        if open.len() > staleness
            && let Some(oldest) = open.pop_front()
        {
            controller.observe(&oldest);
        }
        let proposed = batch.iter().map(|trial| {
            let tokens = controller.propose(*trial);
            rewards.push(landscape.reward(&tokens));
            Observation {
                trial: *trial,
                reward: Some(landscape.measure(&tokens, seed, *trial)),
                tokens,
                accuracy: None,
                latency_ms: None,
            }
        });
        open.push_back(proposed.collect());
    }
    rewards
}

/// Mean of each quarter.
pub fn quarters(rewards: &[f64]) -> [f64; 4] {
    let n = rewards.len() / 4;
    [0, 1, 2, 3].map(|q| rewards[q * n..(q + 1) * n].iter().sum::<f64>() / n as f64)
}

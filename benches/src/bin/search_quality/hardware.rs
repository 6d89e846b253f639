//! Latencies of FBNet's space on real devices (Li et al. 2021, HW-NAS-Bench), with a stated
//! synthetic accuracy.
//!
//! The table holds 5,000 of 9^22 networks, so a device's latency is the least-squares sum of what each
//! operation costs in each layer; how much of the table's variance that explains is printed. Accuracy
//! is `1 - 0.6 exp(-C)` with `C = sum over layers of w_l v_op / 12`, where `v` is 0 for skip, and rises with
//! expansion and kernel (see `VALUE`), and `w_l = 0.5 + l / 22`: late layers count more. It is synthetic: it
//! stands for a smooth landscape with diminishing returns, not for FBNet's networks.

use std::path::Path;

use mnas_net::{Purpose, stream};
use mnas_search::{Objective, ObjectiveKind, Setup};

use crate::problem::{Measured, Problem};

const LAYERS: usize = 22;
const OPERATIONS: usize = 9;
/// Worth of k3_e1, k3_e1_g2, k3_e3, k3_e6, k5_e1, k5_e1_g2, k5_e3, k5_e6, skip.
const VALUE: [f64; OPERATIONS] = [0.55, 0.5, 0.85, 1.1, 0.65, 0.6, 0.95, 1.2, 0.0];
/// Devices whose latencies are used: a phone, a board, a server core.
const DEVICES: [&str; 3] = ["pixel3", "raspi4", "silver_4114"];

/// Soft and hard problems of each device; the target is the device's median latency.
pub(crate) fn problems(csv: &Path) -> Result<Vec<Problem>, String> {
    let text = std::fs::read_to_string(csv).map_err(|e| e.to_string())?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let rows: Vec<(Vec<u16>, Vec<&str>)> = lines
        .filter_map(|line| {
            let mut cells = line.split(',');
            let tokens = cells.next()?.split(' ').map(|t| t.parse().ok());
            Some((tokens.collect::<Option<Vec<u16>>>()?, cells.collect()))
        })
        .collect();
    let mut problems = vec![];
    for device in DEVICES {
        let column = header.iter().position(|h| *h == device);
        let column = column.ok_or(format!("{}: no column {device}", csv.display()))? - 1;
        let latency = |(tokens, cells): &(Vec<u16>, Vec<&str>)| {
            Some((tokens.clone(), cells.get(column)?.parse::<f64>().ok()?))
        };
        let samples: Vec<(Vec<u16>, f64)> = rows.iter().filter_map(latency).collect();
        let costs = Costs::fit(&samples);
        let mut sorted: Vec<f64> = samples.iter().map(|s| s.1).collect();
        sorted.sort_by(f64::total_cmp);
        let target_ms = sorted[sorted.len() / 2];
        eprintln!(
            "{device}: a sum over layers explains {:.4} of the variance of {} latencies; target {target_ms:.2} ms",
            costs.explained(&samples),
            samples.len()
        );
        for (kind, word) in [(ObjectiveKind::SOFT, "soft"), (ObjectiveKind::HARD, "hard")] {
            let objective = Objective { kind, target_ms };
            problems.push(problem(
                format!("fbnet-{device}-{word}"),
                objective,
                costs.clone(),
            ));
        }
    }
    Ok(problems)
}

fn problem(name: String, objective: Objective, costs: Costs) -> Problem {
    let choices = vec![OPERATIONS; LAYERS];
    let reward = {
        let costs = costs.clone();
        move |tokens: &[u16]| objective.reward(accuracy(tokens), costs.latency_ms(tokens))
    };
    Problem {
        name,
        setup: Setup::new(choices.clone(), objective),
        best: climb(&choices, &reward),
        front: None,
        measure: Box::new(move |tokens, seed, trial| {
            let (accuracy, latency_ms) = (accuracy(tokens), costs.latency_ms(tokens));
            // Half a percent of an accuracy is what short trainings scatter.
            let told = accuracy + 0.005 * stream(seed, trial, Purpose::Measure).normal();
            Measured {
                apart: Some((told, latency_ms)),
                reward: objective.reward(accuracy, latency_ms),
                told: objective.reward(told, latency_ms),
            }
        }),
    }
}

fn accuracy(tokens: &[u16]) -> f64 {
    let worth = |(layer, token): (usize, &u16)| {
        (0.5 + layer as f64 / LAYERS as f64) * VALUE[usize::from(*token)]
    };
    let capacity: f64 = tokens.iter().enumerate().map(worth).sum();
    1.0 - 0.6 * libm::exp(-capacity / 12.0)
}

/// What each operation costs in each layer, milliseconds.
#[derive(Debug, Clone)]
struct Costs {
    base: f64,
    of: Vec<[f64; OPERATIONS]>,
}

impl Costs {
    /// Least squares by going round: each layer's costs in turn are the means of what the others
    /// leave. Designs are nearly orthogonal, so it settles in a few rounds.
    fn fit(samples: &[(Vec<u16>, f64)]) -> Costs {
        let base = samples.iter().map(|s| s.1).sum::<f64>() / samples.len().max(1) as f64;
        let of = vec![[0.0; OPERATIONS]; LAYERS];
        let mut costs = Costs { base, of };
        for _ in 0..30 {
            for layer in 0..LAYERS {
                let mut sums = [(0.0, 0.0); OPERATIONS];
                for (tokens, latency_ms) in samples {
                    let token = usize::from(tokens[layer]);
                    let left = latency_ms - costs.latency_ms(tokens) + costs.of[layer][token];
                    sums[token] = (sums[token].0 + left, sums[token].1 + 1.0);
                }
                costs.of[layer] = sums.map(|(sum, n)| sum / f64::max(n, 1.0));
            }
        }
        costs
    }

    fn latency_ms(&self, tokens: &[u16]) -> f64 {
        let cost = |(layer, token): (usize, &u16)| self.of[layer][usize::from(*token)];
        let sum: f64 = tokens.iter().enumerate().map(cost).sum();
        (self.base + sum).max(0.01)
    }

    fn explained(&self, samples: &[(Vec<u16>, f64)]) -> f64 {
        let (mut left, mut all) = (0.0, 0.0);
        for (tokens, latency_ms) in samples {
            let (miss, off) = (latency_ms - self.latency_ms(tokens), latency_ms - self.base);
            left += miss * miss;
            all += off * off;
        }
        1.0 - left / all
    }
}

/// The highest value that steepest ascent in single and paired decisions finds from 60 random starts.
pub(crate) fn climb(choices: &[usize], value: &dyn Fn(&[u16]) -> f64) -> f64 {
    let mut best = f64::NEG_INFINITY;
    for start in 0..60 {
        let mut draws = stream(start, 0, Purpose::Sample);
        let mut at: Vec<u16> = choices.iter().map(|n| draws.below(*n) as u16).collect();
        let mut height = value(&at);
        loop {
            let before = height;
            for d in 0..choices.len() {
                improve(choices, value, &mut at, &mut height, &[d]);
            }
            if height > before {
                continue;
            }
            for d in 0..choices.len() {
                for e in d + 1..choices.len() {
                    improve(choices, value, &mut at, &mut height, &[d, e]);
                }
            }
            if height <= before {
                break;
            }
        }
        best = best.max(height);
    }
    best
}

/// Tries every combination of some decisions' choices.
fn improve(
    choices: &[usize],
    value: &dyn Fn(&[u16]) -> f64,
    at: &mut Vec<u16>,
    height: &mut f64,
    decisions: &[usize],
) {
    let combinations: usize = decisions.iter().map(|d| choices[*d]).product();
    for combination in 0..combinations {
        let mut left = combination;
        let mut other = at.clone();
        for d in decisions {
            other[*d] = (left % choices[*d]) as u16;
            left /= choices[*d];
        }
        let found = value(&other);
        if found > *height {
            (*at, *height) = (other, found);
        }
    }
}

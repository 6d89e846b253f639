//! What runs are judged by, each figure with a 95 % interval over seeds.

use std::collections::BTreeMap;

use mnas_net::{Purpose, stream};
use mnas_search::front;
use serde_json::json;

use crate::problem::Problem;
use crate::run::{Run, tokens};

/// Share of the best possible reward that counts as found.
const FOUND: f64 = 0.999;
/// Bootstrap samples of an interval.
const RESAMPLES: usize = 2_000;

/// Figures of one run.
struct Scores {
    /// Trials until a reward of [`FOUND`] of the best; one more than were made where it never came.
    found: f64,
    /// Best possible reward minus the best so far, after so many trials.
    regret: Vec<(usize, f64)>,
    /// Share of the true front's hypervolume, after so many trials.
    volume: Vec<(usize, f64)>,
    /// Mean reward of the last quarter of trials.
    last: f64,
    /// Seconds for each proposal, observing included.
    seconds: f64,
    /// Share of proposals that differ from all before.
    distinct: f64,
}

fn score(problem: &Problem, run: &Run) -> Scores {
    let measured: Vec<_> = run
        .samples
        .iter()
        .enumerate()
        .map(|(trial, sample)| (problem.measure)(&tokens(sample), run.seed, trial as u64))
        .collect();
    let mut best = f64::NEG_INFINITY;
    let curve: Vec<f64> = measured
        .iter()
        .map(|m| {
            best = best.max(m.reward);
            best
        })
        .collect();
    let found = curve.iter().position(|b| *b >= FOUND * problem.best);
    let n = curve.len();
    let marks = |all: &[usize]| all.iter().copied().filter(|k| *k <= n).collect::<Vec<_>>();
    let points: Vec<(f64, f64)> = measured.iter().filter_map(|m| m.apart).collect();
    let volume = problem.front.map_or(vec![], |f| {
        let share = |k: usize| front::hypervolume(&points[..k], f.reference) / f.volume;
        marks(&[50, 100, 200])
            .into_iter()
            .map(|k| (k, share(k)))
            .collect()
    });
    let quarter = &measured[n - n / 4..];
    let distinct: std::collections::BTreeSet<&String> = run.samples.iter().collect();
    Scores {
        found: found.map_or(n + 1, |at| at + 1) as f64,
        regret: marks(&[20, 50, 100, 300, 2000])
            .into_iter()
            .map(|k| (k, problem.best - curve[k - 1]))
            .collect(),
        volume,
        last: quarter.iter().map(|m| m.reward).sum::<f64>() / quarter.len().max(1) as f64,
        seconds: run.seconds / n.max(1) as f64,
        distinct: distinct.len() as f64 / n.max(1) as f64,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])
}

/// A statistic with its 95 % bootstrap interval over seeds.
fn with_interval(values: &[f64], of: fn(&[f64]) -> f64) -> [f64; 3] {
    let mut draws = stream(0, 0, Purpose::Sample);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let again: Vec<f64> = values
                .iter()
                .map(|_| values[draws.below(values.len())])
                .collect();
            of(&again)
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |q: f64| resampled[(q * (RESAMPLES - 1) as f64) as usize];
    [of(values), at(0.025), at(0.975)]
}

/// Prints a table of a problem, or a JSON line for each algorithm.
pub(crate) fn print(problem: &Problem, runs: &[Run], json: bool) {
    let mut by_algorithm: BTreeMap<&str, Vec<(u64, Scores)>> = BTreeMap::new();
    for run in runs {
        let scores = (run.seed, score(problem, run));
        by_algorithm.entry(&run.algorithm).or_default().push(scores);
    }
    if !json {
        println!(
            "\n{} (best possible reward {:.5})",
            problem.name, problem.best
        );
    }
    let random: BTreeMap<u64, f64> = by_algorithm.get("random").map_or(BTreeMap::new(), |all| {
        all.iter().map(|(seed, s)| (*seed, s.last)).collect()
    });
    for (algorithm, all) in &by_algorithm {
        let of = |f: &dyn Fn(&Scores) -> f64| all.iter().map(|(_, s)| f(s)).collect::<Vec<f64>>();
        let trials = runs
            .iter()
            .find(|r| r.algorithm == **algorithm)
            .map_or(0, |r| r.samples.len());
        let found = with_interval(&of(&|s| s.found), median);
        let last = with_interval(&of(&|s| s.last), mean);
        let above = all
            .iter()
            .filter(|(seed, s)| random.get(seed).is_some_and(|r| s.last > *r))
            .count();
        let marks = |series: &dyn Fn(&Scores) -> &Vec<(usize, f64)>| -> Vec<(usize, [f64; 3])> {
            let first = series(&all[0].1);
            let at = |i: usize| of(&|s: &Scores| series(s)[i].1);
            first
                .iter()
                .enumerate()
                .map(|(i, (k, _))| (*k, with_interval(&at(i), mean)))
                .collect()
        };
        let (regret, volume) = (marks(&|s| &s.regret), marks(&|s| &s.volume));
        let ms = 1e3 * mean(&of(&|s| s.seconds));
        let distinct = mean(&of(&|s| s.distinct));
        if json {
            let value = json!({ "problem": problem.name, "algorithm": algorithm, "seeds": all.len(), "trials": trials,
                "found_median": found, "regret_mean": regret, "hypervolume_mean": volume, "last_quarter_mean": last,
                "seeds_above_random": above, "distinct": distinct, "ms_per_trial": ms });
            println!("{value}");
            continue;
        }
        let shown = |k: &usize, v: &[f64; 3], digits: usize| {
            format!(
                " @{k} {:.digits$} [{:.digits$}, {:.digits$}]",
                v[0], v[1], v[2]
            )
        };
        let regret: String = regret.iter().map(|(k, v)| shown(k, v, 5)).collect();
        let volume: String = volume.iter().map(|(k, v)| shown(k, v, 4)).collect();
        println!(
            "  {algorithm:<18} {} seeds x {trials}: 99.9 % after {} [{}, {}]; regret{regret}{}; last quarter {:.4} [{:.4}, {:.4}]{}; distinct {distinct:.2}; {ms:.2} ms/trial",
            all.len(),
            found[0],
            found[1],
            found[2],
            if volume.is_empty() {
                String::new()
            } else {
                format!("; hypervolume{volume}")
            },
            last[0],
            last[1],
            last[2],
            if random.is_empty() {
                String::new()
            } else {
                format!(", above random in {above}")
            },
        );
    }
}

//! What a check found, and what to make of it.

use mnas_deploy::kendall_tau;
use mnas_net::{Purpose, cost, stream};
use mnas_search::Study;
use serde::Serialize;

use super::SEEDS;
use super::ledger::{Ledger, RunKey};
use crate::evaluate;
use crate::job::Net;
use crate::plan::Plan;

/// Least rank correlation of a short training that a search may rest on (`google/vertex-ai-nas`,
/// proxy-task design).
pub const TAU_MIN: f64 = 0.65;

/// Proposals of the short search for each network that is chosen: enough that the chosen ones can
/// lie apart.
const PROPOSALS: u64 = 3;

/// Resamples of the networks behind the interval.
const RESAMPLES: usize = 4000;

/// Stream of the resamples.
const STREAM: u64 = 1 << 40;

/// A network that was trained both ways.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedNet {
    /// Canonical text.
    pub spec: String,
    /// Latency on the plan's device, milliseconds.
    pub latency_ms: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Validation accuracy after the short training, 0..=1, mean of two seeds.
    pub proxy_accuracy: f64,
    /// Validation accuracy after the full training, 0..=1, mean of two seeds.
    pub full_accuracy: f64,
}

/// The accuracies of a network: after each of its short trainings, and the mean of its full ones.
#[derive(Debug, Clone)]
struct Ranked {
    proxies: Vec<f64>,
    full: f64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProxyCheck {
    /// Kendall's tau-b of the accuracies after one short training and the mean of the full ones;
    /// the mean of both short trainings' taus.
    pub tau: f64,
    /// 95 % interval of tau: percentile bootstrap over the networks, never narrower than that of
    /// Fieller, Hartley and Pearson.
    pub tau_interval: (f64, f64),
    /// Least tau that a search may rest on.
    pub tau_min: f64,
    /// The networks, by rising accuracy after the short training.
    pub networks: Vec<CheckedNet>,
    /// Networks of the short search among which they were chosen.
    pub candidates: u64,
    /// Trainings that failed.
    pub failed: u64,
    /// Standard deviation of one network's accuracy over seeds, after the short training.
    pub proxy_noise: Option<f64>,
    /// The same after the full training.
    pub full_noise: Option<f64>,
    /// Standard deviation of the networks' accuracies after the full training.
    pub full_spread: f64,
    /// Mean seconds of a short training, one worker.
    pub proxy_seconds: f64,
    /// Mean seconds of a full training, one worker.
    pub full_seconds: f64,
    /// What to do, a sentence each, the most important first.
    pub advice: Vec<String>,
}

impl ProxyCheck {
    pub(super) fn of(plan: &Plan, study: &Study, ledger: &Ledger, chosen: &[u64]) -> Self {
        let found = chosen
            .iter()
            .filter_map(|t| checked(plan, study, ledger, *t));
        let mut found: Vec<(CheckedNet, Ranked)> = found.collect();
        found.sort_by(|(a, _), (b, _)| a.proxy_accuracy.total_cmp(&b.proxy_accuracy));
        let (networks, ranked): (Vec<CheckedNet>, Vec<Ranked>) = found.into_iter().unzip();
        let proxy_seconds = ledger.mean_seconds(false).unwrap_or(0.0);
        let full: Vec<f64> = networks.iter().map(|n| n.full_accuracy).collect();
        let mut check = Self {
            tau: tau(&ranked),
            tau_interval: interval(&ranked, plan.seed),
            tau_min: TAU_MIN,
            candidates: super::points(study).len() as u64,
            failed: ledger.runs.iter().filter(|r| r.accuracy.is_none()).count() as u64,
            proxy_noise: noise(ledger, chosen, false),
            full_noise: noise(ledger, chosen, true),
            full_spread: variance(&full).sqrt(),
            proxy_seconds,
            full_seconds: ledger.mean_seconds(true).unwrap_or(0.0),
            networks,
            advice: vec![],
        };
        check.advice = check.advice();
        check
    }

    /// Proposals of the short search that finds `networks` networks.
    pub fn proposals(networks: usize) -> u64 {
        PROPOSALS * networks as u64
    }

    /// Whether a search may rest on the short training.
    pub fn good(&self) -> bool {
        self.tau >= self.tau_min
    }

    fn advice(&self) -> Vec<String> {
        let mut advice = vec![];
        let n = self.networks.len();
        if n < 3 {
            return vec![format!(
                "only {n} networks could be trained both ways, which says nothing; look at what failed"
            )];
        }
        let (low, high) = self.tau_interval;
        advice.push(match (self.good(), low >= self.tau_min, high < self.tau_min) {
            (true, true, _) => "the short training ranks networks well enough to search with".into(),
            (true, false, _) => format!(
                "the short training seems to rank networks well enough; the interval from {low:.2} to {high:.2} says how sure that is, and more --networks narrow it"
            ),
            (false, _, true) => format!(
                "the short training doesn't rank networks: raise epochs or images under [proxy] until tau reaches {:.2}",
                self.tau_min
            ),
            (false, _, false) => format!(
                "tau is under {:.2}: raise epochs or images under [proxy], or check with more --networks",
                self.tau_min
            ),
        });
        if let Some(noise) = self.full_noise.filter(|n| self.full_spread < 2.0 * n) {
            advice.push(format!(
                "the networks differ by {:.2} points (standard deviation) after the full training, and one network under other seeds by {:.2}: much of their order is luck, whatever the short training does",
                100.0 * self.full_spread,
                100.0 * noise
            ));
        }
        if self.proxy_seconds > 0.5 * self.full_seconds {
            advice.push(format!(
                "the short training takes {:.0} % of the full one's time: search with the full one, or shorten it",
                100.0 * self.proxy_seconds / self.full_seconds.max(1e-9)
            ));
        }
        if self.failed > 0 {
            advice.push(format!(
                "{} training(s) failed; where more than a third do, lower the learning rate",
                self.failed
            ));
        }
        advice
    }
}

fn checked(
    plan: &Plan,
    study: &Study,
    ledger: &Ledger,
    trial: u64,
) -> Option<(CheckedNet, Ranked)> {
    let found = study.trial(trial)?;
    let graph = evaluate::graph(&Net {
        name: String::new(),
        spec: found.spec.clone(),
        input: plan.data.shape,
        classes: plan.data.classes.len(),
    });
    let all = |key: fn(u64, u32) -> RunKey| -> Option<Vec<f64>> {
        SEEDS
            .map(|seed| ledger.accuracy(key(trial, seed)))
            .collect()
    };
    let (proxies, full) = (all(RunKey::proxy)?, mean(&all(RunKey::full)?));
    let net = CheckedNet {
        macs: cost(&graph.ok()?).macs,
        spec: found.spec.clone(),
        latency_ms: found.latency_ms()?,
        proxy_accuracy: mean(&proxies),
        full_accuracy: full,
    };
    Some((net, Ranked { proxies, full }))
}

/// Mean over the short trainings of Kendall's tau with the full one.
fn tau(networks: &[Ranked]) -> f64 {
    let of = |run: usize| {
        let pairs = networks.iter().map(|n| (n.proxies[run], n.full));
        kendall_tau(&pairs.collect::<Vec<_>>())
    };
    let taus: Vec<f64> = (0..SEEDS.count()).map(of).collect();
    mean(&taus)
}

/// 2.5 % and 97.5 % points of tau over resamples of the networks, and at least the interval of Fieller,
/// Hartley and Pearson 1957 ("Tests for rank correlation coefficients. I") with a pair the other way
/// round: resamples of pairs that all agree agree too, which is no certainty.
fn interval(networks: &[Ranked], seed: u64) -> (f64, f64) {
    let n = networks.len() as f64;
    if n <= 4.0 {
        return (-1.0, 1.0);
    }
    let mut random = stream(seed, STREAM, Purpose::Sample);
    let mut taus: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = networks
                .iter()
                .map(|_| networks[random.below(networks.len())].clone());
            tau(&drawn.collect::<Vec<_>>())
        })
        .collect();
    taus.sort_by(f64::total_cmp);
    let (low, high) = (taus[RESAMPLES / 40], taus[RESAMPLES - 1 - RESAMPLES / 40]);
    let most = 1.0 - 4.0 / (n * (n - 1.0));
    let z = tau(networks).clamp(-most, most).atanh();
    let reach = 1.96 * (0.437 / (n - 4.0)).sqrt();
    (low.min((z - reach).tanh()), high.max((z + reach).tanh()))
}

/// Standard deviation over seeds, pooled over the networks.
fn noise(ledger: &Ledger, chosen: &[u64], full: bool) -> Option<f64> {
    let (mut squares, mut free) = (0.0, 0.0);
    for trial in chosen {
        let own = ledger
            .runs
            .iter()
            .filter(|r| r.key.trial == *trial && r.key.full == full);
        let own: Vec<f64> = own.filter_map(|r| r.accuracy).collect();
        let more = own.len().saturating_sub(1) as f64;
        squares += more * variance(&own);
        free += more;
    }
    (free > 0.0).then(|| (squares / free).sqrt())
}

/// Of a sample; 0 where it has fewer than two values.
fn variance(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, mean(values));
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)
}

/// 0 where there are no values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_truth_and_narrow_with_more_networks() {
        let ranked = |proxy: f64, full: f64| Ranked {
            proxies: vec![proxy; 2],
            full,
        };
        let line = |n: usize| -> Vec<Ranked> {
            // Every third value is moved down: tau is high, not 1.
            let full = |i: usize| i as f64 - if i % 3 == 2 { 2.5 } else { 0.0 };
            (0..n).map(|i| ranked(i as f64, full(i))).collect()
        };
        let (few, many) = (line(10), line(60));
        let width = |(low, high): (f64, f64)| high - low;
        for pairs in [&few, &many] {
            let (low, high) = interval(pairs, 1);
            let tau = tau(pairs);
            assert!(low < tau && tau < high, "{low} {tau} {high}");
            assert_eq!(interval(pairs, 1), (low, high));
        }
        assert!(width(interval(&many, 1)) < 0.5 * width(interval(&few, 1)));
        let agreeing: Vec<Ranked> = (0..6).map(|i| ranked(i.into(), i.into())).collect();
        let (low, high) = interval(&agreeing, 1);
        assert!(low < 0.65 && high <= 1.0, "{low} {high}");
        assert_eq!(interval(&agreeing[..4], 1), (-1.0, 1.0));
    }

    #[test]
    fn advice_follows_the_figures() {
        let net = |proxy, full| CheckedNet {
            spec: String::new(),
            latency_ms: 1.0,
            macs: 1,
            proxy_accuracy: proxy,
            full_accuracy: full,
        };
        let check = |tau, interval, full_noise| {
            let mut check = ProxyCheck {
                tau,
                tau_interval: interval,
                tau_min: TAU_MIN,
                networks: vec![net(0.5, 0.6), net(0.6, 0.7), net(0.7, 0.8)],
                candidates: 9,
                failed: 0,
                proxy_noise: None,
                full_noise,
                full_spread: 0.02,
                proxy_seconds: 1.0,
                full_seconds: 10.0,
                advice: vec![],
            };
            check.advice = check.advice();
            check
        };
        let starts = |c: &ProxyCheck, text: &str| assert!(c.advice[0].starts_with(text), "{c:?}");
        let good = check(0.9, (0.7, 1.0), Some(0.001));
        starts(&good, "the short training ranks networks well enough");
        assert!(good.good() && good.advice.len() == 1);
        starts(&check(0.7, (0.2, 0.9), None), "the short training seems to");
        starts(
            &check(0.2, (-0.2, 0.5), None),
            "the short training doesn't rank",
        );
        starts(&check(0.5, (0.1, 0.8), None), "tau is under 0.65");
        let luck = check(0.9, (0.7, 1.0), Some(0.015));
        assert!(luck.advice[1].contains("luck"), "{luck:?}");
    }
}

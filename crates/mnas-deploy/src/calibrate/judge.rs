//! How well predictions agree with measurements, and whether that is good enough.

use serde::Serialize;

/// Agreement of predicted with measured latencies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Networks compared.
    pub networks: usize,
    /// Mean of the absolute relative errors (0.05 = 5 %).
    pub mape: f64,
    /// Kendall's rank correlation, tau-b, `-1..=1`.
    pub kendall_tau: f64,
    /// Share of the networks predicted within 10 %.
    pub within_10_percent: f64,
}

impl Agreement {
    /// Fewest networks that a judgement may rest on.
    pub const NETWORKS_MIN: usize = 10;
    /// Greatest mean error of a good predictor.
    pub const MAPE_MAX: f64 = 0.10;
    /// Least rank correlation of a good predictor.
    pub const TAU_MIN: f64 = 0.75;
    /// Least share within 10 % of a good predictor.
    pub const WITHIN_MIN: f64 = 0.6;

    /// Compares pairs of a measured and a predicted latency.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Self {
        let errors: Vec<f64> = pairs.iter().map(|(m, p)| (p / m - 1.0).abs()).collect();
        let count = errors.len().max(1) as f64;
        let within = errors.iter().filter(|e| **e <= 0.10).count();
        Self {
            networks: pairs.len(),
            mape: errors.iter().sum::<f64>() / count,
            kendall_tau: kendall_tau(pairs),
            within_10_percent: within as f64 / count,
        }
    }

    /// Why a predictor of this agreement must not be used; `None` = it may.
    pub fn objection(&self) -> Option<String> {
        if self.networks < Self::NETWORKS_MIN {
            let least = Self::NETWORKS_MIN;
            return Some(format!(
                "only {} networks judge it; {least} are needed",
                self.networks
            ));
        }
        let checks = [
            (
                self.mape <= Self::MAPE_MAX,
                "mean error",
                self.mape,
                "at most",
                Self::MAPE_MAX,
            ),
            (
                self.kendall_tau >= Self::TAU_MIN,
                "Kendall tau",
                self.kendall_tau,
                "at least",
                Self::TAU_MIN,
            ),
            (
                self.within_10_percent >= Self::WITHIN_MIN,
                "share within 10 %",
                self.within_10_percent,
                "at least",
                Self::WITHIN_MIN,
            ),
        ];
        let failed: Vec<String> = checks
            .iter()
            // A figure that is no number fulfils no bound.
            .filter(|c| !c.0)
            .map(|(_, what, got, bound, limit)| {
                format!("{what} {got:.3}, {bound} {limit} is needed")
            })
            .collect();
        (!failed.is_empty()).then(|| failed.join("; "))
    }
}

/// Kendall's rank correlation of pairs. Tau-b: concordant less discordant pairs, over the pairs that are tied in neither.
pub fn kendall_tau(pairs: &[(f64, f64)]) -> f64 {
    let (mut score, mut left, mut right) = (0.0, 0.0, 0.0);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[..i] {
            let sign = |x: f64, y: f64| x.partial_cmp(&y).map_or(0.0, |o| f64::from(o as i8));
            let (m, p) = (sign(a.0, b.0), sign(a.1, b.1));
            score += m * p;
            left += m * m;
            right += p * p;
        }
    }
    if left > 0.0 && right > 0.0 {
        score / (left * right).sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let a = Agreement::of(&[(1.0, 1.125), (2.0, 1.875), (4.0, 3.0), (10.0, 10.0)]);
        assert!((a.mape - (0.125 + 0.0625 + 0.25) / 4.0).abs() < 1e-12);
        assert_eq!(a.kendall_tau, 1.0);
        assert_eq!(a.within_10_percent, 0.5);
        let one_swap = Agreement::of(&[(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)]);
        assert!((one_swap.kendall_tau - 1.0 / 3.0).abs() < 1e-12);
        // Ties: five of six pairs differ on the left.
        let tied = Agreement::of(&[(1.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
        assert!((tied.kendall_tau - 5.0 / 30f64.sqrt()).abs() < 1e-12);
        assert_eq!(Agreement::of(&[(1.0, 5.0), (2.0, 5.0)]).kendall_tau, 0.0);
    }

    #[test]
    fn what_is_not_good_is_said() {
        let good: Vec<(f64, f64)> = (1..=12)
            .map(|i| (f64::from(i), f64::from(i) * 1.02))
            .collect();
        assert_eq!(Agreement::of(&good).objection(), None);
        let few = Agreement::of(&good[..5]).objection().unwrap();
        assert!(few.contains("only 5 networks"), "{few}");
        let high: Vec<(f64, f64)> = good.iter().map(|(m, _)| (*m, 1.3 * m)).collect();
        let why = Agreement::of(&high).objection().unwrap();
        assert_eq!(
            why,
            "mean error 0.300, at most 0.1 is needed; share within 10 % 0.000, at least 0.6 is needed"
        );
        let broken: Vec<(f64, f64)> = good.iter().map(|(m, _)| (*m, f64::NAN)).collect();
        assert!(Agreement::of(&broken).objection().is_some());
    }
}

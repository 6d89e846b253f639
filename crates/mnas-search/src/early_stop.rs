//! Trainings that are cut short: what the loss early on forecasts, and who isn't worth going on with.

use serde::{Deserialize, Serialize};

use crate::objective::Objective;
use crate::study::Study;
use crate::trial::Metrics;

/// When a training is cut short: its loss after a share of it forecasts an accuracy so low that its
/// reward won't be among the best.
///
/// The forecast rests on the trials of batches that were observed when the trial's own was proposed,
/// so that neither the number of workers nor a resume changes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Point of the learning curve that is looked at: 3 is three tenths of the training.
    pub point: usize,
    /// A training goes on where its reward may be among so many best.
    pub best: usize,
    /// Standard deviations of the forecast's error that "may" allows.
    pub deviations: f64,
    /// Trained networks before the first forecast.
    pub grace: usize,
}

impl EarlyStop {
    /// Replayed on twelve studies of 108 to 400 trials on Fashion-MNIST, it would have saved 30 % of
    /// the training time at no loss of the best network (`benches/early_stop.py`).
    pub const MEASURED: EarlyStop = EarlyStop {
        point: 3,
        best: 3,
        deviations: 1.5,
        grace: 24,
    };

    /// What the first `batches` batches of a study tell; nothing before there are enough of them, or
    /// where the loss tells nothing of the accuracy.
    pub fn forecast(&self, study: &Study, batches: u32) -> Option<Forecast> {
        let objective = study.objective()?;
        let seen = study.done().filter(|t| t.batch < batches);
        let seen: Vec<&Metrics> = seen.filter_map(|t| t.metrics()).collect();
        let points: Vec<(f64, f64)> = seen
            .iter()
            .filter_map(|m| Some((self.loss(&m.curve)?, m.accuracy)))
            .collect();
        if points.len() < self.grace.max(3) {
            return None;
        }
        let mut rewards: Vec<f64> = seen
            .iter()
            .map(|m| objective.reward(m.accuracy, m.latency.median_ms))
            .collect();
        rewards.sort_by(|a, b| b.total_cmp(a));
        let least_reward = *rewards.get(self.best.saturating_sub(1))?;
        let (intercept, slope, deviation) = line(&points);
        (slope < 0.0).then_some(Forecast {
            intercept,
            slope,
            margin: self.deviations * deviation,
            least_reward,
            objective,
        })
    }

    /// The loss that the forecast is made of.
    pub fn loss(&self, curve: &[crate::trial::CurvePoint]) -> Option<f64> {
        let point = curve.get(self.point.checked_sub(1)?)?;
        Some(point.loss).filter(|l| l.is_finite())
    }
}

/// A line from an early loss to the final accuracy, and the reward that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    intercept: f64,
    /// Accuracy per loss; negative.
    slope: f64,
    margin: f64,
    least_reward: f64,
    objective: Objective,
}

impl Forecast {
    /// The accuracy that a loss forecasts, 0..=1.
    pub fn accuracy(&self, loss: f64) -> f64 {
        (self.intercept + self.slope * loss).clamp(0.0, 1.0)
    }

    /// Greatest loss at which a network of this latency may still be among the best.
    pub fn loss_max(&self, latency_ms: f64) -> f64 {
        // Every reward is a line in the accuracy.
        let none = self.objective.reward(0.0, latency_ms);
        let all = self.objective.reward(1.0, latency_ms);
        let needed = (self.least_reward - none) / (all - none);
        (needed - self.margin - self.intercept) / self.slope
    }
}

/// Least squares: intercept, slope, and the standard deviation of what is left.
fn line(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let n = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (x, y) = (x / n, y / n);
    let (mut xx, mut xy) = (0.0, 0.0);
    for p in points {
        xx += (p.0 - x) * (p.0 - x);
        xy += (p.0 - x) * (p.1 - y);
    }
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    let intercept = y - slope * x;
    let left: f64 = points
        .iter()
        .map(|p| p.1 - intercept - slope * p.0)
        .map(|r| r * r)
        .sum();
    (intercept, slope, libm::sqrt(left / (n - 2.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectiveKind;

    fn forecast(kind: ObjectiveKind) -> Forecast {
        let points = [(1.0, 0.72), (1.2, 0.68), (1.4, 0.66), (1.6, 0.62)];
        let (intercept, slope, deviation) = line(&points);
        Forecast {
            intercept,
            slope,
            margin: deviation,
            least_reward: 0.7,
            objective: Objective {
                kind,
                target_ms: 2.0,
            },
        }
    }

    #[test]
    fn a_line_by_hand() {
        let (intercept, slope, deviation) = line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]);
        assert!((intercept - 1.0).abs() < 1e-12 && (slope - 2.0).abs() < 1e-12);
        assert!(deviation < 1e-12);
        let (_, slope, deviation) = line(&[(0.0, 1.0), (0.0, -1.0), (2.0, 1.0), (2.0, -1.0)]);
        assert!(slope.abs() < 1e-12 && (deviation - 2f64.sqrt()).abs() < 1e-12);
    }

    /// At the greatest loss allowed, the forecast and its margin give just the reward that counts.
    #[test]
    fn the_limit_is_where_the_reward_is_just_reached() {
        for kind in [
            ObjectiveKind::SOFT,
            ObjectiveKind::HARD,
            ObjectiveKind::ABSOLUTE,
        ] {
            let f = forecast(kind);
            for latency_ms in [1.0, 2.0, 3.5] {
                let loss = f.loss_max(latency_ms);
                let accuracy = f.intercept + f.slope * loss + f.margin;
                let reward = f.objective.reward(accuracy, latency_ms);
                assert!(
                    (reward - 0.7).abs() < 1e-9,
                    "{kind:?} {latency_ms} {reward}"
                );
            }
            // A slower network must promise more.
            assert!(f.loss_max(3.5) <= f.loss_max(2.0));
        }
    }
}

use super::*;
use crate::trial::{Failure, LatencyRecord, LatencySource, Limit, Metrics};

fn objective(kind: ObjectiveKind) -> Objective {
    Objective {
        kind,
        target_ms: 80.0,
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn rewards_follow_the_papers() {
    let general = ObjectiveKind::Soft {
        alpha: -0.05,
        beta: -0.5,
    };
    // Kind, latency over target, reward over accuracy (for `Absolute`: reward minus accuracy).
    let cases = [
        (ObjectiveKind::SOFT, 0.5, 2f64.powf(0.07)),
        (ObjectiveKind::SOFT, 2.0, 2f64.powf(-0.07)),
        (ObjectiveKind::HARD, 0.5, 1.0),
        (ObjectiveKind::HARD, 2.0, 0.5),
        (general, 0.5, 2f64.powf(0.05)),
        (general, 2.0, 2f64.powf(-0.5)),
    ];
    for (kind, ratio, factor) in cases {
        let reward = objective(kind).reward(0.75, 80.0 * ratio);
        assert!(
            close(reward, 0.75 * factor),
            "{kind:?} at {ratio}: {reward}"
        );
    }
    for (ratio, price) in [(0.5, -0.05), (1.0, 0.0), (2.0, -0.1)] {
        let reward = objective(ObjectiveKind::ABSOLUTE).reward(0.75, 80.0 * ratio);
        assert!(close(reward, 0.75 + price), "absolute at {ratio}: {reward}");
    }
}

#[test]
fn at_the_target_the_reward_is_the_accuracy() {
    for name in ["soft", "hard", "absolute"] {
        let kind = ObjectiveKind::named(name).unwrap();
        assert_eq!(objective(kind).reward(0.7, 80.0), 0.7, "{name}");
    }
    assert_eq!(ObjectiveKind::named("firm"), None);
}

/// MnasNet, section 3.1: alpha = beta = -0.07 because doubling the latency usually brings 5 %
/// relative accuracy; two such networks should earn alike. The paper solves it to -0.07, rounded.
#[test]
fn twice_the_latency_weighs_five_percent_of_accuracy() {
    let soft = objective(ObjectiveKind::SOFT);
    for latency in [20.0, 80.0, 300.0] {
        let (slow, fast) = (
            soft.reward(0.7 * 1.05, 2.0 * latency),
            soft.reward(0.7, latency),
        );
        assert!((slow / fast - 1.0).abs() < 0.001, "{slow} {fast}");
    }
    let exact = -(1.05f64.ln() / 2f64.ln());
    assert!((exact - -0.07).abs() < 0.0005);
}

#[test]
fn outcomes_without_accuracy_have_their_rewards() {
    let source = LatencySource::Predicted { table: "t".into() };
    let latency = LatencyRecord::from_samples(vec![160.0], 0, false, source).unwrap();
    let hard = objective(ObjectiveKind::HARD);
    let failed = |kind| {
        Outcome::Failed(Failure {
            kind,
            message: String::new(),
        })
    };
    let cases = [
        (
            Outcome::Done(Metrics {
                accuracy: 0.8,
                latency: latency.clone(),
                params: 1,
                macs: 1,
                curve: vec![],
                train_seconds: 0.0,
                measure_seconds: 0.0,
            }),
            Some(0.4),
        ),
        (
            Outcome::TooSlow {
                latency,
                accuracy: 0.1,
            },
            Some(0.05),
        ),
        (
            Outcome::Infeasible {
                reason: Limit::Params,
                value: 2,
                allowed: 1,
            },
            Some(0.0),
        ),
        (failed(FailureKind::Diverged), Some(0.0)),
        (failed(FailureKind::OutOfMemory), Some(0.0)),
        (failed(FailureKind::Crashed), Some(0.0)),
        (failed(FailureKind::Export), Some(0.0)),
        (failed(FailureKind::Device), None),
        (failed(FailureKind::UnstableLatency), None),
        (
            Outcome::Lost {
                attempts: 3,
                message: String::new(),
            },
            None,
        ),
    ];
    for (outcome, reward) in cases {
        assert_eq!(hard.outcome_reward(&outcome), reward, "{outcome:?}");
    }
}

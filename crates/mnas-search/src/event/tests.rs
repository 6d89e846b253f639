use std::fmt::Write as _;

use super::*;
use crate::trial::{FailureKind, LatencySource, Limit, Metrics};

fn latency() -> LatencyRecord {
    let source = LatencySource::Measured {
        device: "host:rten".into(),
        engine: "rten 0.27.0".into(),
    };
    LatencyRecord::from_samples(vec![4.5, 4.0, 5.0, 4.25], 1, false, source).unwrap()
}

fn curve() -> Vec<CurvePoint> {
    vec![CurvePoint {
        epoch: 0.5,
        loss: 1.25,
        accuracy: Some(0.5),
    }]
}

fn outcomes() -> Vec<Outcome> {
    let predicted = LatencyRecord {
        source: LatencySource::Predicted {
            table: "pixel1".into(),
        },
        ..latency()
    };
    vec![
        Outcome::Done(Metrics {
            accuracy: 0.875,
            latency: latency(),
            params: 1_000,
            macs: 2_000,
            curve: curve(),
            train_seconds: 12.5,
            measure_seconds: 0.25,
        }),
        Outcome::TooSlow {
            latency: predicted,
            accuracy: 0.1,
        },
        Outcome::Stopped {
            latency: latency(),
            accuracy: 0.625,
            curve: curve(),
            train_seconds: 3.5,
        },
        Outcome::Infeasible {
            reason: Limit::FileBytes,
            value: 9_000_000,
            allowed: 8_000_000,
        },
        Outcome::Failed(Failure {
            kind: FailureKind::Diverged,
            message: "loss is NaN at step 12".into(),
        }),
        Outcome::Lost {
            attempts: 3,
            message: "worker was killed".into(),
        },
    ]
}

fn entry(name: &str, kind: FinalKind) -> FinalEntry {
    FinalEntry {
        name: name.into(),
        kind,
        spec: "stem_k3_s1_c8\nhead_c8".into(),
        hash: "0123456789abcdef".into(),
    }
}

fn finals() -> Vec<Event> {
    let finalist = entry("trial 17", FinalKind::Finalist { trial: 17 });
    let reference = entry("mnasnet-a1-small", FinalKind::Reference);
    let done = FinalOutcome::Done {
        validation_accuracy: 0.9,
        test_accuracy: Some(0.89),
        test_top5: None,
        int8: None,
        latency: latency(),
        params: 1_000,
        macs: 2_000,
        curve: curve(),
        files: vec!["trial-17.onnx".into()],
    };
    let failed = FinalOutcome::Failed(Failure {
        kind: FailureKind::OutOfMemory,
        message: "needs 9 GB".into(),
    });
    vec![
        Event::FinalStarted {
            finalists: vec![finalist.clone(), reference.clone()],
        },
        Event::FinalDone {
            result: FinalResult {
                entry: finalist,
                outcome: done,
            },
        },
        Event::FinalDone {
            result: FinalResult {
                entry: reference,
                outcome: failed,
            },
        },
        Event::Ended { time_ms: 1_800_000 },
    ]
}

/// Every variant of every enum that is stored.
fn all() -> Vec<Event> {
    let mut events = vec![
        Event::Started {
            version: VERSION,
            plan: serde_json::json!({ "objective": crate::ObjectiveKind::SOFT, "trials": 100 }),
            seed: u64::MAX,
            space: "stem_k3_s1_c{8,16}\nhead_c8".into(),
            time_ms: 1_700_000,
        },
        Event::Target {
            target_ms: 4.5,
            reference: Some("mobilenet-v2-small".into()),
            latency: Some(latency()),
        },
        Event::Proposed {
            batch: 0,
            proposals: vec![Proposal {
                trial: 0,
                tokens: vec![1],
                spec: "stem_k3_s1_c16\nhead_c8".into(),
                hash: "0123456789abcdef".into(),
                duplicate_of: None,
            }],
        },
        Event::Retried {
            trial: 0,
            attempt: 2,
            reason: "worker was killed".into(),
        },
    ];
    events.extend(outcomes().into_iter().map(|outcome| Event::Finished {
        trial: 0,
        attempt: 2,
        outcome,
    }));
    events.extend([
        Event::Observed {
            batch: 0,
            rewards: vec![(0, Some(0.875)), (1, None)],
            snapshot: "{}".into(),
            diagnostics: Diagnostics {
                entropy: Some(1.0),
                baseline: None,
                probabilities: vec![vec![0.5, 0.5]],
            },
        },
        Event::Extended { trials: 200 },
        Event::Stopped {
            reason: "interrupted".into(),
        },
    ]);
    events.extend(finals());
    events
}

/// Stores hold this text. A change here needs a new [`VERSION`] and a way to read the old form.
#[test]
fn format_is_pinned() {
    let mut text = format!("version {VERSION}\n");
    for event in all() {
        writeln!(text, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    insta::assert_snapshot!("events", text);
}

#[test]
fn what_is_written_is_read_back() {
    for event in all() {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}

#[test]
fn numbers_survive_exactly_and_a_diverged_loss_stays_readable() {
    let exact = 0.1 + 0.2;
    let point = CurvePoint {
        epoch: exact,
        loss: f64::NAN,
        accuracy: None,
    };
    let text = serde_json::to_string(&point).unwrap();
    let read: CurvePoint = serde_json::from_str(&text).unwrap();
    assert_eq!(read.epoch.to_bits(), exact.to_bits());
    assert!(read.loss.is_nan());
}

#[test]
fn latency_statistics_come_from_the_samples() {
    let record = latency();
    assert_eq!(
        (record.median_ms, record.p25_ms, record.iqr_ms),
        (4.375, 4.1875, 0.4375)
    );
    let of = |samples: Vec<f64>| LatencyRecord::from_samples(samples, 0, false, latency().source);
    assert_eq!(of(vec![3.0]).unwrap().median_ms, 3.0);
    for unusable in [vec![], vec![1.0, f64::NAN], vec![0.0], vec![f64::INFINITY]] {
        assert_eq!(of(unusable), None);
    }
}

/// Stores written before a network's 8-bit form could fail have the accuracy alone.
#[test]
fn what_8_bits_gave_is_told_apart_by_its_fields() {
    let accuracy = r#"{"test_accuracy":0.9,"test_top5":1.0,"engine":"LiteRT","calibration":"mse"}"#;
    let failure = r#"{"kind":"export","message":"stem.conv gives values that are not finite"}"#;
    for (text, is_tested) in [(accuracy, true), (failure, false)] {
        let outcome: Int8Outcome = serde_json::from_str(text).unwrap();
        assert_eq!(
            matches!(outcome, Int8Outcome::Tested(_)),
            is_tested,
            "{text}"
        );
        assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
    }
    assert!(serde_json::from_str::<Int8Outcome>("{}").is_err());
}

use super::*;
use crate::event::{FinalKind, FinalOutcome, Proposal, VERSION};
use crate::trial::{Failure, FailureKind, LatencySource, Limit, Metrics};

fn latency(ms: f64) -> LatencyRecord {
    let source = LatencySource::Predicted { table: "t".into() };
    LatencyRecord::from_samples(vec![ms], 0, false, source).unwrap()
}

fn done(accuracy: f64, ms: f64) -> Outcome {
    Outcome::Done(Metrics {
        accuracy,
        latency: latency(ms),
        params: 1,
        macs: 1,
        curve: vec![],
        train_seconds: 1.0,
        measure_seconds: 1.0,
    })
}

fn lost() -> Outcome {
    Outcome::Lost {
        attempts: 3,
        message: "gone".into(),
    }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Diverged,
        message: "NaN".into(),
    })
}

fn started() -> Event {
    Event::Started {
        version: VERSION,
        plan: serde_json::json!({ "objective": ObjectiveKind::HARD, "trials": 8 }),
        seed: 5,
        space: "stem_k3_s1_c{8,16}\nhead_c8".into(),
        time_ms: 100,
    }
}

fn target() -> Event {
    Event::Target {
        target_ms: 10.0,
        reference: None,
        latency: None,
    }
}

/// Proposals as `(hash, duplicate_of)`, numbered from `first`.
fn proposed(batch: u32, first: u64, networks: &[(&str, Option<u64>)]) -> Event {
    let proposal = |(i, (hash, duplicate_of)): (usize, &(&str, Option<u64>))| Proposal {
        trial: first + i as u64,
        tokens: vec![0],
        spec: format!("network {hash}"),
        hash: (*hash).to_owned(),
        duplicate_of: *duplicate_of,
    };
    Event::Proposed {
        batch,
        proposals: networks.iter().enumerate().map(proposal).collect(),
    }
}

fn finished(trial: u64, attempt: u32, outcome: Outcome) -> Event {
    Event::Finished {
        trial,
        attempt,
        outcome,
    }
}

fn retried(trial: u64, attempt: u32) -> Event {
    Event::Retried {
        trial,
        attempt,
        reason: "gone".into(),
    }
}

fn observed(batch: u32, rewards: &[(u64, Option<f64>)]) -> Event {
    Event::Observed {
        batch,
        rewards: rewards.to_vec(),
        snapshot: format!("after {batch}"),
        diagnostics: Diagnostics::default(),
    }
}

fn entry(name: &str) -> FinalEntry {
    FinalEntry {
        name: name.into(),
        kind: FinalKind::Reference,
        spec: "s".into(),
        hash: "h".into(),
    }
}

fn final_done(name: &str) -> Event {
    Event::FinalDone {
        result: FinalResult {
            entry: entry(name),
            outcome: FinalOutcome::Failed(Failure {
                kind: FailureKind::Export,
                message: "x".into(),
            }),
        },
    }
}

/// A study with two observed batches, duplicates within and across them.
fn events() -> Vec<Event> {
    vec![
        started(),
        target(),
        proposed(
            0,
            0,
            &[("a", None), ("b", None), ("a", Some(0)), ("c", None)],
        ),
        finished(1, 1, done(0.6, 5.0)),
        finished(0, 1, done(0.8, 12.0)),
        finished(3, 1, lost()),
        observed(
            0,
            &[(0, Some(0.7)), (1, Some(0.6)), (2, Some(0.7)), (3, None)],
        ),
        proposed(
            1,
            4,
            &[("b", Some(1)), ("c", None), ("d", None), ("e", None)],
        ),
        finished(5, 1, done(0.5, 6.0)),
        finished(6, 1, failed()),
        finished(
            7,
            1,
            Outcome::TooSlow {
                latency: latency(99.0),
                accuracy: 0.1,
            },
        ),
        observed(
            1,
            &[
                (4, Some(0.6)),
                (5, Some(0.5)),
                (6, Some(0.0)),
                (7, Some(0.01)),
            ],
        ),
    ]
}

fn fold(events: &[Event]) -> Study {
    Study::fold(events).unwrap()
}

#[test]
fn a_study_is_what_its_events_say() {
    let study = fold(&events());
    let counts = Counts {
        proposals: 8,
        distinct: 6,
        duplicates: 2,
        trained: 3,
        too_slow: 1,
        stopped: 0,
        infeasible: 0,
        failed: 1,
        lost: 1,
        pending: 0,
    };
    assert_eq!(study.counts(), counts);
    let ids = |trials: Vec<&Trial>| trials.iter().map(|t| t.id).collect::<Vec<_>>();
    // Trial 5 (0.5 at 6 ms) is dominated by trial 1 (0.6 at 5 ms); duplicates aren't listed.
    assert_eq!(ids(study.front()), [1, 0]);
    assert_eq!(study.best().unwrap().id, 0);
    assert_eq!(study.best_within_target().unwrap().id, 1);
    assert_eq!(study.trial(2).unwrap().accuracy(), Some(0.8));
    assert_eq!(
        study.trial(4).unwrap().outcome,
        study.trial(1).unwrap().outcome
    );
    assert_eq!(study.trial(7).unwrap().latency_ms(), Some(99.0));
    assert_eq!(
        (study.trial(7).unwrap().accuracy(), study.trial(8)),
        (None, None)
    );
    assert_eq!(study.objective().unwrap().reward(0.8, 20.0), 0.4);
    assert_eq!(
        (study.budget(), study.seed(), study.started_ms()),
        (Some(8), 5, 100)
    );
    assert_eq!(
        (study.snapshot(), study.open_batch()),
        (Some("after 1"), None)
    );
    assert_eq!(study.batches()[1].trials(), 4..8);
    let seen = study.observations(1).unwrap();
    assert_eq!(
        seen.iter().map(|o| o.reward).collect::<Vec<_>>(),
        [Some(0.6), Some(0.5), Some(0.0), Some(0.01)]
    );
    assert_eq!(
        (seen[0].accuracy, seen[0].latency_ms),
        (Some(0.6), Some(5.0))
    );
    assert_eq!(study.observations(2), None);
}

#[test]
fn every_prefix_folds_and_equals_the_study_built_step_by_step() {
    let events = events();
    let mut grown = fold(&events[..1]);
    for (n, event) in events.iter().enumerate().skip(1) {
        grown.apply(event).unwrap();
        assert_eq!(grown, fold(&events[..=n]));
    }
}

#[test]
fn a_lost_network_is_evaluated_when_proposed_again() {
    let study = fold(&events());
    assert_eq!(study.original("c"), Some(5), "trial 3 was lost");
    assert_eq!(study.original("a"), Some(0));
    assert_eq!(study.original("z"), None);
}

/// Each case: events after the start, what `trial 0` then holds, and how many results are stale.
#[test]
fn only_the_attempt_that_counts_counts() {
    let open = || {
        vec![
            started(),
            target(),
            proposed(0, 0, &[("a", None), ("a", Some(0))]),
        ]
    };
    let cases: Vec<(Vec<Event>, u32, Option<Outcome>, usize)> = vec![
        (
            vec![finished(0, 1, done(0.5, 1.0))],
            1,
            Some(done(0.5, 1.0)),
            0,
        ),
        // A second result of the same attempt, and one of an attempt that was given up.
        (
            vec![finished(0, 1, failed()), finished(0, 1, done(0.5, 1.0))],
            1,
            Some(failed()),
            1,
        ),
        (
            vec![retried(0, 2), finished(0, 1, done(0.5, 1.0))],
            2,
            None,
            1,
        ),
        (
            vec![
                retried(0, 2),
                finished(0, 1, failed()),
                finished(0, 2, done(0.5, 1.0)),
            ],
            2,
            Some(done(0.5, 1.0)),
            1,
        ),
        // What was lost may be tried again; what is known may not be overruled.
        (
            vec![finished(0, 1, lost()), finished(0, 2, done(0.5, 1.0))],
            2,
            Some(done(0.5, 1.0)),
            0,
        ),
        (vec![finished(0, 1, lost()), retried(0, 2)], 2, None, 0),
        (
            vec![finished(0, 1, done(0.5, 1.0)), finished(0, 2, failed())],
            1,
            Some(done(0.5, 1.0)),
            1,
        ),
        // Once observed, the past stays.
        (
            vec![
                finished(0, 1, lost()),
                observed(0, &[(0, None), (1, None)]),
                finished(0, 2, done(0.5, 1.0)),
            ],
            1,
            Some(lost()),
            1,
        ),
    ];
    for (tail, attempt, outcome, stale) in cases {
        let mut events = open();
        events.extend(tail);
        let study = fold(&events);
        let trial = study.trial(0).unwrap();
        assert_eq!(
            (trial.attempt, &trial.outcome),
            (attempt, &outcome),
            "{events:?}"
        );
        assert_eq!(study.stale().len(), stale, "{events:?}");
        assert_eq!(study.trial(1).unwrap().outcome, outcome, "its duplicate");
    }
}

/// Applies an event to a prefix of the study above; the error must be the one given, and the study
/// must not have changed.
fn check_refused(prefix: usize, event: Event, error: &str) {
    let mut study = fold(&events()[..prefix]);
    let before = study.clone();
    let found = study.apply(&event).unwrap_err();
    assert_eq!(found.to_string(), error);
    assert_eq!(study, before, "changed by {error}");
}

#[test]
fn what_cannot_follow_is_refused() {
    let bad_target = |target_ms| Event::Target {
        target_ms,
        reference: None,
        latency: None,
    };
    let cases = [
        (
            1,
            started(),
            "a study starts with one Started event, and only with it",
        ),
        (
            1,
            bad_target(0.0),
            "the target of 0 ms isn't a positive number",
        ),
        (
            1,
            bad_target(f64::NAN),
            "the target of NaN ms isn't a positive number",
        ),
        (2, target(), "the target is already known"),
        (
            2,
            proposed(1, 0, &[("a", None)]),
            "batch 1 can't come now, batch 0 can",
        ),
        (2, proposed(0, 0, &[]), "batch 0 is empty"),
        (
            2,
            proposed(0, 1, &[("a", None)]),
            "trial 1 can't come now, trial 0 can",
        ),
        (
            2,
            proposed(0, 0, &[("a", None), ("a", None)]),
            "trial 1 has the network of Some(0), but says it duplicates None",
        ),
        (
            7,
            proposed(1, 4, &[("c", Some(3))]),
            "trial 4 has the network of None, but says it duplicates Some(3)",
        ),
        (
            3,
            proposed(1, 4, &[("z", None)]),
            "batch 0 isn't observed yet",
        ),
        (3, finished(9, 1, failed()), "there is no trial 9"),
        (
            3,
            finished(2, 1, failed()),
            "trial 2 is a duplicate and has no attempts of its own",
        ),
        (
            3,
            finished(0, 1, done(f64::NAN, 1.0)),
            "trial 0 has a result that isn't a finite number",
        ),
        (
            3,
            retried(0, 1),
            "attempt 1 of trial 0 can't begin, attempt 1 counts",
        ),
        (
            5,
            retried(0, 2),
            "attempt 2 of trial 0 can't begin, attempt 1 counts",
        ),
        (
            3,
            observed(0, &[(0, None), (1, None), (2, None), (3, None)]),
            "trial 0 has no outcome yet",
        ),
        (6, observed(1, &[]), "batch 1 can't come now, batch 0 can"),
        (7, observed(0, &[]), "batch 0 can't come now, batch 1 can"),
        (
            6,
            observed(0, &[(0, None)]),
            "rewards of batch 0 don't list its trials in order",
        ),
        (
            6,
            observed(0, &[(0, Some(0.7)), (1, None), (2, Some(0.7)), (3, None)]),
            "the reward of trial 1 contradicts its outcome",
        ),
        (
            6,
            observed(
                0,
                &[(0, Some(0.7)), (1, Some(0.6)), (2, Some(0.6)), (3, None)],
            ),
            "the reward of trial 2 contradicts its outcome",
        ),
        (
            6,
            observed(
                0,
                &[
                    (0, Some(0.7)),
                    (1, Some(0.6)),
                    (2, Some(0.7)),
                    (3, Some(0.1)),
                ],
            ),
            "the reward of trial 3 contradicts its outcome",
        ),
        (
            11,
            observed(
                1,
                &[
                    (4, Some(0.5)),
                    (5, Some(0.5)),
                    (6, Some(0.0)),
                    (7, Some(0.01)),
                ],
            ),
            "the reward of trial 4 contradicts its outcome",
        ),
        (
            6,
            observed(
                0,
                &[
                    (0, Some(f64::INFINITY)),
                    (1, Some(0.6)),
                    (2, None),
                    (3, None),
                ],
            ),
            "trial 0 has a result that isn't a finite number",
        ),
        (
            7,
            Event::Extended { trials: 3 },
            "3 proposals are fewer than the 4 there are",
        ),
        (
            12,
            final_done("r"),
            "\"r\" isn't waited for in the final round",
        ),
    ];
    for (prefix, event, error) in cases {
        check_refused(prefix, event, error);
    }
}

#[test]
fn folding_names_the_event_that_does_not_fit() {
    assert_eq!(Study::fold(&[]), Err((0, FoldError::Start)));
    assert_eq!(Study::fold(&[target()]), Err((0, FoldError::Start)));
    let mut all = events();
    all.insert(5, target());
    assert_eq!(Study::fold(&all), Err((5, FoldError::SecondTarget)));
    let newer = Event::Started {
        version: VERSION + 1,
        plan: serde_json::Value::Null,
        seed: 0,
        space: String::new(),
        time_ms: 0,
    };
    let known = VERSION;
    assert_eq!(
        Study::fold(&[newer]),
        Err((
            0,
            FoldError::Newer {
                found: known + 1,
                known
            }
        ))
    );
}

#[test]
fn infeasible_networks_are_counted_and_off_the_front() {
    let outcome = Outcome::Infeasible {
        reason: Limit::Params,
        value: 2,
        allowed: 1,
    };
    let study = fold(&[
        started(),
        proposed(0, 0, &[("a", None)]),
        finished(0, 1, outcome),
        observed(0, &[(0, Some(0.0))]),
    ]);
    assert_eq!((study.counts().infeasible, study.front().len()), (1, 0));
    assert_eq!((study.best(), study.objective()), (None, None));
}

#[test]
fn the_final_round_waits_for_its_entries_and_an_extension_reopens_the_study() {
    let mut study = fold(&events());
    study
        .apply(&Event::Stopped {
            reason: "interrupted".into(),
        })
        .unwrap();
    assert_eq!(study.stopped(), Some("interrupted"));
    let finalists = vec![entry("x"), entry("y")];
    let twice = Event::FinalStarted {
        finalists: vec![entry("x"), entry("x")],
    };
    assert_eq!(study.apply(&twice), Err(FoldError::Final("x".into())));
    study.apply(&Event::FinalStarted { finalists }).unwrap();
    study.apply(&final_done("y")).unwrap();
    assert_eq!(
        study.apply(&final_done("y")),
        Err(FoldError::Final("y".into()))
    );
    assert_eq!((study.finalists().len(), study.finals().len()), (2, 1));
    study.apply(&Event::Ended { time_ms: 900 }).unwrap();
    assert_eq!(study.ended_ms(), Some(900));
    assert_eq!(
        study.apply(&proposed(2, 8, &[("z", None)])),
        Err(FoldError::Ended)
    );
    study.apply(&finished(7, 1, failed())).unwrap();
    assert_eq!(study.stale().len(), 1, "too late, and recorded");
    study.apply(&Event::Extended { trials: 16 }).unwrap();
    assert_eq!(
        (study.budget(), study.ended_ms(), study.stopped()),
        (Some(16), None, None)
    );
    study.apply(&proposed(2, 8, &[("z", None)])).unwrap();
    study
        .apply(&Event::Stopped {
            reason: "again".into(),
        })
        .unwrap();
}

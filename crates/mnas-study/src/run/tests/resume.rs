//! Invariant 5: for every prefix of a study's events, resuming proposes what the run that was not
//! interrupted proposed.

use mnas_search::Event;

use super::{course, kind, kinds};
use crate::fakes::{Bench, Faults, Simulated, plan};
use crate::run::Extend;
use crate::store::Memory;

#[test]
fn every_prefix_leads_to_the_same_end() {
    for algorithm in ["ppo", "evolution", "random"] {
        let mut plan = plan();
        plan.controller.algorithm = algorithm.into();
        plan.trials = 28;
        let mut whole = Bench::new(&plan);
        let summary = whole.complete();
        let expected = course(&whole.study());
        assert!(
            summary.ended && expected.len() == 28,
            "{algorithm}: {summary:?}"
        );
        for cut in 1..=whole.store.events().len() {
            let prefix = Memory::of(whole.store.events()[..cut].to_vec());
            let mut resumed = Bench::on(prefix);
            let again = resumed.complete();
            assert_eq!(
                course(&resumed.study()),
                expected,
                "{algorithm} cut after {cut}"
            );
            assert_eq!(
                (again.winner, again.ended),
                (summary.winner, true),
                "{algorithm} {cut}"
            );
        }
    }
}

#[test]
fn a_replay_of_all_events_equals_the_snapshot() {
    for algorithm in ["ppo", "evolution", "random"] {
        let mut plan = plan();
        plan.controller.algorithm = algorithm.into();
        let mut whole = Bench::new(&plan);
        whole.complete();
        let third = |s: &&crate::store::Stored| kind(&s.event) == "observed";
        let cut = whole
            .store
            .events()
            .iter()
            .filter(third)
            .nth(2)
            .unwrap()
            .seq as usize;
        let mut events = whole.store.events()[..cut].to_vec();
        for stored in &mut events {
            if let Event::Observed { snapshot, .. } = &mut stored.event {
                snapshot.clear();
            }
        }
        let mut replayed = Bench::on(Memory::of(events));
        replayed.complete();
        assert_eq!(
            course(&replayed.study()),
            course(&whole.study()),
            "{algorithm}"
        );
        let last = |b: &Bench| b.study().snapshot().map(String::from);
        assert!(last(&whole).is_some_and(|s| !s.is_empty()));
        assert_eq!(last(&replayed), last(&whole), "{algorithm}");
    }
}

#[test]
fn tokens_that_replay_otherwise_are_refused() {
    let mut whole = Bench::new(&plan());
    whole.complete();
    let mut events = whole.store.events()[..3].to_vec();
    let Event::Proposed { proposals, .. } = &mut events[2].event else {
        panic!("{events:?}")
    };
    assert!(proposals[1].duplicate_of.is_none());
    proposals[1].tokens[0] ^= 1;
    let mut other = Bench::on(Memory::of(events));
    let mut executor = other.executor(1);
    let error = other.run(&mut executor, None).unwrap_err().to_string();
    assert!(
        error.contains("replayed, trial 1 would be another network"),
        "{error}"
    );
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let run = |workers, order| {
        let mut bench = Bench::new(&plan());
        let mut executor = Simulated::new(workers, order, Faults::NONE, &bench.clock);
        let summary = bench.run(&mut executor, None).unwrap();
        let finals = bench.study().finals().to_vec();
        (course(&bench.study()), summary.winner, finals)
    };
    let one = run(1, 0);
    for (workers, order) in [(2, 1), (3, 2), (8, 3), (8, 4)] {
        assert_eq!(run(workers, order), one, "{workers} workers");
    }
}

#[test]
fn a_stop_at_any_moment_is_clean_and_changes_nothing() {
    let mut whole = Bench::new(&plan());
    whole.complete();
    let expected = course(&whole.study());
    let mut stops_seen = 0;
    for after in (1..80).step_by(3) {
        let mut bench = Bench::new(&plan());
        let mut executor = bench.executor(3);
        executor.stop_after = Some((after, bench.stop.clone()));
        let summary = bench.run(&mut executor, None).unwrap();
        if summary.ended {
            continue;
        }
        stops_seen += 1;
        assert_eq!(
            summary.stopped.as_deref(),
            Some("stopped by request"),
            "after {after}"
        );
        assert_eq!(kinds(&bench).last(), Some(&"stopped"), "after {after}");
        bench.stop = crate::stop::Stop::new();
        let resumed = bench.complete();
        assert!(
            resumed.ended && resumed.stopped.is_none(),
            "after {after}: {resumed:?}"
        );
        assert_eq!(course(&bench.study()), expected, "after {after}");
    }
    assert!(stops_seen > 10, "only {stops_seen} runs were stopped");
}

#[test]
fn a_study_that_ended_is_left_alone_and_can_be_extended() {
    let mut plan = plan();
    plan.trials = 16;
    let mut bench = Bench::new(&plan);
    bench.complete();
    let events = bench.store.events().len();
    assert!(bench.complete().ended);
    assert_eq!(
        bench.store.events().len(),
        events,
        "an ended study took events"
    );

    let mut executor = bench.executor(2);
    let summary = bench
        .run(&mut executor, Some(Extend { trials: 40 }))
        .unwrap();
    assert_eq!(summary.counts.proposals, 40);
    let finals = kinds(&bench)
        .iter()
        .filter(|k| **k == "final_started")
        .count();
    assert_eq!(
        finals, 2,
        "the extension's trials take part in a final stage of their own"
    );

    let mut straight = Bench::new(&super::resume::plan());
    straight.complete();
    let long = straight.study();
    assert_eq!(course(&bench.study())[..16], course(&long)[..16]);

    let shrunk = bench
        .run(&mut executor, Some(Extend { trials: 3 }))
        .unwrap_err();
    assert!(shrunk.to_string().contains("fewer than"), "{shrunk}");
}

#[test]
fn other_images_or_another_device_are_refused() {
    let check = |expected: &str, change: &dyn Fn(&mut Simulated)| {
        let mut bench = Bench::new(&plan());
        let mut executor = bench.executor(1);
        change(&mut executor);
        let error = bench.run(&mut executor, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(kinds(&bench), ["started", "stopped"]);
    };
    check(
        "the images changed since the study began: planned f00d, found beef",
        &|e| {
            e.evaluator.fingerprint = "beef".into();
        },
    );
    check(
        "the device changed since the study began: planned table:formula",
        &|e| {
            e.evaluator.device.engine = "rten 9.9".into();
        },
    );
}

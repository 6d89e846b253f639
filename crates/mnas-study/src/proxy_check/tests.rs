use std::cell::Cell;
use std::sync::Arc;

use super::pick::spread;
use super::*;
use crate::clock::SystemClock;
use crate::evaluate::Evaluator;
use crate::executor::InProcess;
use crate::fakes::{Formula, plan};
use crate::run::started;
use crate::store::{Memory, Store};

#[test]
fn chosen_networks_lie_apart_in_accuracy_and_latency() {
    // Latency follows accuracy, but for two networks that are better and worse than it tells.
    let mut points: Vec<(u64, f64, f64)> = (0..20)
        .map(|i| (i + 100, f64::from(i as u8) / 20.0, f64::from(i as u8)))
        .collect();
    points[5].2 = 18.5;
    points[15].2 = 0.5;
    let chosen = spread(&points, 6);
    assert_eq!(chosen.len(), 6);
    assert!(chosen.is_sorted(), "by rising accuracy: {chosen:?}");
    for needed in [100, 119, 105, 115] {
        assert!(chosen.contains(&needed), "{needed} of {chosen:?}");
    }
    assert_eq!(spread(&points, 50).len(), 20);
    assert_eq!(spread(&points[..1], 3), [100]);
    assert!(spread(&[], 3).is_empty());
}

const NETWORKS: usize = 5;

fn fresh() -> Memory {
    let mut store = Memory::new();
    let started = started(&short_search(&plan(), NETWORKS), 0).unwrap();
    store.append(0, &[started]).unwrap();
    store
}

/// A check in `dir` whose run is stopped once `jobs` jobs were done.
fn check(dir: &Path, store: &mut Memory, jobs: u64) -> Result<Option<ProxyCheck>, StudyError> {
    let stop = Stop::new();
    let done = Cell::new(0);
    let mut observer = |update: &Update| {
        if let Update::JobDone { .. } = update {
            done.set(done.get() + 1);
            if done.get() == jobs {
                stop.request();
            }
        }
    };
    let evaluator = || -> Box<dyn Evaluator> {
        Box::new(Formula {
            diverges_in: 0,
            ..Formula::new()
        })
    };
    let mut executor = InProcess::new(2, Arc::new(evaluator));
    let rig = Rig {
        store,
        executor: &mut executor,
        clock: &SystemClock,
        dir: StudyDir::new(dir),
        cache_dir: dir.join("cache"),
        stop: &stop,
        observer: &mut observer,
    };
    check_on(rig, NETWORKS)
}

#[test]
fn a_check_that_is_stopped_goes_on_to_the_same_result() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = check(whole.path(), &mut fresh(), u64::MAX)
        .unwrap()
        .unwrap();
    assert_eq!(expected.networks.len(), NETWORKS);
    assert!(
        expected.candidates >= 5 && expected.failed == 0,
        "{expected:?}"
    );
    let noise = (expected.proxy_noise.unwrap(), expected.full_noise.unwrap());
    assert!(noise.0 >= 0.0 && noise.1 >= 0.0);
    let accuracies = expected.networks.iter().map(|n| n.proxy_accuracy);
    assert!(accuracies.is_sorted());

    let (mut store, mut runs) = (fresh(), 0);
    let found = loop {
        runs += 1;
        assert!(runs < 50, "the check doesn't move on");
        if let Some(found) = check(parts.path(), &mut store, 16).unwrap() {
            break found;
        }
    };
    assert!(runs > 2, "{runs} runs");
    let without_time = |mut c: ProxyCheck| {
        (c.proxy_seconds, c.full_seconds) = (0.0, 0.0);
        c.advice.clear();
        c
    };
    assert_eq!(without_time(found), without_time(expected));
}

#[test]
fn a_check_of_another_plan_has_no_place_there() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), &short_search(&plan(), 4)).unwrap();
    let env = RunEnv {
        program: "none".into(),
        args: vec![],
        cache_dir: folder.path().join("cache"),
        extend: None,
    };
    let dir = folder.path();
    let found = proxy_check(dir, &plan(), NETWORKS, &env, &Stop::new(), &mut |_| {});
    assert!(
        matches!(found, Err(StudyError::OtherCheck { .. })),
        "{found:?}"
    );
}

#[test]
fn a_ledger_that_cannot_be_read_is_refused_before_the_search() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy-check.json"), "{}").unwrap();
    let mut store = fresh();
    let found = check(folder.path(), &mut store, u64::MAX);
    assert!(
        matches!(found, Err(StudyError::OtherCheck { .. })),
        "{found:?}"
    );
    assert_eq!(store.events().len(), 1, "nothing was searched");
}

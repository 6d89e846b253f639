//! What every store does; a new one gets these tests by one line.

use mnas_search::{Diagnostics, Event, Failure, FailureKind, Outcome, Proposal};

use super::{SNAPSHOTS_KEPT, Store, StoreError};

pub(super) fn proposed(batch: u32) -> Event {
    let proposal = |trial| Proposal {
        trial,
        tokens: vec![1, 2],
        spec: "stem_k3_s2_c8\nhead_c16".into(),
        hash: format!("{trial:016x}"),
        duplicate_of: None,
    };
    let first = u64::from(batch) * 2;
    Event::Proposed {
        batch,
        proposals: vec![proposal(first), proposal(first + 1)],
    }
}

pub(super) fn finished(trial: u64, attempt: u32) -> Event {
    let failure = Failure {
        kind: FailureKind::Diverged,
        message: "\u{221e} \"quoted\"\n".into(),
    };
    Event::Finished {
        trial,
        attempt,
        outcome: Outcome::Failed(failure),
    }
}

pub(super) fn observed(batch: u32) -> Event {
    Event::Observed {
        batch,
        rewards: vec![(u64::from(batch), Some(0.1 + 0.2))],
        snapshot: format!("state after {batch}"),
        diagnostics: Diagnostics::default(),
    }
}

pub(super) fn stopped(reason: &str) -> Event {
    Event::Stopped {
        reason: reason.into(),
    }
}

/// Runs the suite on stores that `make` makes; each is empty.
pub(super) fn check(make: &mut dyn FnMut() -> Box<dyn Store>) {
    appends_in_order(&mut *make());
    refuses_repeats_whole(&mut *make());
    keeps_the_newest_snapshots(&mut *make());
}

fn appends_in_order(store: &mut dyn Store) {
    assert_eq!(store.read_from(1).unwrap(), vec![]);
    assert_eq!(store.append(5, &[proposed(0), finished(0, 1)]).unwrap(), 2);
    assert_eq!(store.append(9, &[]).unwrap(), 2, "nothing appended");
    assert_eq!(store.append(7, &[stopped("a"), stopped("a")]).unwrap(), 4);
    let all = store.read_from(1).unwrap();
    let seqs: Vec<(u64, u64)> = all.iter().map(|s| (s.seq, s.time_ms)).collect();
    assert_eq!(seqs, [(1, 5), (2, 5), (3, 7), (4, 7)]);
    let events: Vec<Event> = all.iter().map(|s| s.event.clone()).collect();
    assert_eq!(
        events,
        [proposed(0), finished(0, 1), stopped("a"), stopped("a")]
    );
    assert_eq!(store.read_from(3).unwrap(), all[2..]);
    assert_eq!(store.read_from(5).unwrap(), vec![]);
}

fn refuses_repeats_whole(store: &mut dyn Store) {
    store.append(1, &[proposed(0), finished(0, 1)]).unwrap();
    for (again, named) in [
        (finished(0, 1), "finished event of trial 0, attempt 1"),
        (proposed(0), "proposed event of batch 0"),
    ] {
        // The first event of the append must not stay either.
        let error = store.append(2, &[stopped("lost"), again]).unwrap_err();
        assert!(matches!(error, StoreError::Duplicate { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let twice = store
        .append(2, &[finished(1, 1), finished(1, 1)])
        .unwrap_err();
    assert!(matches!(twice, StoreError::Duplicate { .. }), "{twice:?}");
    assert_eq!(store.read_from(1).unwrap().len(), 2);
    // Another attempt of the trial is another event.
    assert_eq!(
        store.append(3, &[finished(0, 2), finished(1, 1)]).unwrap(),
        4
    );
}

fn keeps_the_newest_snapshots(store: &mut dyn Store) {
    let batches = SNAPSHOTS_KEPT as u32 + 3;
    for batch in 0..batches {
        store.append(0, &[observed(batch)]).unwrap();
    }
    for stored in store.read_from(1).unwrap() {
        let Event::Observed {
            batch,
            snapshot,
            rewards,
            ..
        } = stored.event
        else {
            panic!()
        };
        let kept = batch + SNAPSHOTS_KEPT as u32 >= batches;
        let expected = if kept {
            format!("state after {batch}")
        } else {
            String::new()
        };
        assert_eq!(snapshot, expected, "batch {batch}");
        assert_eq!(
            rewards,
            [(u64::from(batch), Some(0.1 + 0.2))],
            "floats survive exactly"
        );
    }
}

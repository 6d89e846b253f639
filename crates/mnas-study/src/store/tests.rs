//! The suite on both stores, and what can happen to a file.

use std::path::{Path, PathBuf};

use sqlx::{Connection, SqliteConnection};

use super::conformance::{self, finished, observed, proposed, stopped};
use super::{Memory, Sqlite, Store, StoreError};

#[test]
fn memory_conforms() {
    conformance::check(&mut || Box::new(Memory::new()));
}

#[test]
fn sqlite_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    conformance::check(&mut || {
        n += 1;
        Box::new(Sqlite::create(&dir.path().join(format!("{n}.db"))).unwrap())
    });
}

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

/// A store with three events.
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.db");
    let mut store = Sqlite::create(&path).unwrap();
    store
        .append(1, &[proposed(0), finished(0, 1), observed(0)])
        .unwrap();
    Fixture { _dir: dir, path }
}

/// Runs SQL behind the store's back.
fn tamper(path: &Path, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_file_is_reopened_and_goes_on() {
    let f = fixture();
    let mut store = Sqlite::open(&f.path).unwrap();
    assert_eq!(store.append(2, &[stopped("x")]).unwrap(), 4);
    drop(store);
    let all = Sqlite::open_read_only(&f.path)
        .unwrap()
        .read_from(1)
        .unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[2].event, observed(0));
}

#[test]
fn a_reader_follows_a_writer_and_cannot_write() {
    let f = fixture();
    let mut writer = Sqlite::open(&f.path).unwrap();
    let mut reader = Sqlite::open_read_only(&f.path).unwrap();
    assert_eq!(reader.read_from(1).unwrap().len(), 3);
    writer.append(2, &[stopped("x")]).unwrap();
    assert_eq!(reader.read_from(4).unwrap().len(), 1);
    let error = reader.append(3, &[stopped("y")]).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn two_writers_are_told_apart() {
    let f = fixture();
    let mut first = Sqlite::open(&f.path).unwrap();
    let mut second = Sqlite::open(&f.path).unwrap();
    first.append(2, &[stopped("first")]).unwrap();
    let error = second.append(2, &[stopped("second")]).unwrap_err();
    assert!(
        matches!(error, StoreError::Conflict { seq: 4 }),
        "{error:?}"
    );
    assert_eq!(second.read_from(1).unwrap().len(), 4);
    assert_eq!(
        second.append(3, &[stopped("third")]).unwrap(),
        5,
        "after reading it may go on"
    );
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.db");
    let check = |what: &str, expected: &dyn Fn(&StoreError) -> bool| {
        for opened in [Sqlite::open(&path), Sqlite::open_read_only(&path)] {
            let error = opened.unwrap_err();
            assert!(expected(&error), "{what}: {error:?}");
        }
    };
    let not_a_study = |e: &StoreError| matches!(e, StoreError::NotAStudy { .. });
    check("no file", &|e| matches!(e, StoreError::Missing { .. }));
    std::fs::write(
        &path,
        "a letter to grandmother, long enough to look like something ".repeat(40),
    )
    .unwrap();
    check("text", &not_a_study);
    std::fs::write(&path, "").unwrap();
    check("an empty file", &not_a_study);
    std::fs::remove_file(&path).unwrap();
    tamper(&path, "CREATE TABLE recipes (name TEXT)");
    check("another database", &not_a_study);
    let error = Sqlite::create(&path).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error:?}");
}

#[test]
fn a_newer_store_is_refused() {
    let f = fixture();
    tamper(&f.path, "UPDATE mnas_store SET version = 99");
    for opened in [Sqlite::open(&f.path), Sqlite::open_read_only(&f.path)] {
        let error = opened.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 99,
                    known: 1,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn damage_is_found() {
    let f = fixture();
    let mut bytes = std::fs::read(&f.path).unwrap();
    let page = 4096;
    assert!(bytes.len() > 3 * page, "{} bytes", bytes.len());
    let end = bytes.len();
    bytes[page..end].fill(0xa5);
    std::fs::write(&f.path, bytes).unwrap();
    let error = Sqlite::open(&f.path).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn an_event_that_cannot_be_read_is_named() {
    let f = fixture();
    tamper(
        &f.path,
        "UPDATE events SET body = '{\"sung\":1}' WHERE seq = 2",
    );
    let error = Sqlite::open(&f.path).unwrap().read_from(1).unwrap_err();
    assert!(
        matches!(error, StoreError::Body { seq: 2, .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().starts_with("event 2 can't be read"),
        "{error}"
    );
}

#[test]
fn a_full_disk_loses_nothing_that_was_stored() {
    let f = fixture();
    let mut store = Sqlite::open(&f.path).unwrap();
    store.limit_pages(2);
    let large = "x".repeat(1 << 20);
    let error = store
        .append(2, &[stopped("small"), stopped(&large)])
        .unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(store.read_from(1).unwrap().len(), 3);
    drop(store);
    let mut store = Sqlite::open(&f.path).unwrap();
    assert_eq!(store.append(3, &[stopped("again")]).unwrap(), 4);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no such folder").join("study.db");
    let error = Sqlite::create(&path).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("no such folder"), "{error}");
}

#[test]
fn a_light_reading_leaves_samples_out_and_nothing_else() {
    use mnas_search::{CurvePoint, Event, LatencyRecord, LatencySource, Metrics, Outcome};
    let latency = |samples: Vec<f64>| {
        let source = LatencySource::Measured {
            device: "a \"samples_ms\":[1, 2] device".into(),
            engine: "e".into(),
        };
        LatencyRecord::from_samples(samples, 0, false, source).unwrap()
    };
    let event = |trial, outcome| Event::Finished {
        trial,
        attempt: 1,
        outcome,
    };
    let done = Outcome::Done(Metrics {
        accuracy: 0.5,
        latency: latency(vec![1.0, 2.5, 3.0]),
        params: 1,
        macs: 2,
        curve: vec![CurvePoint {
            epoch: 1.0,
            loss: 0.5,
            accuracy: Some(0.5),
        }],
        train_seconds: 1.0,
        measure_seconds: 1.0,
    });
    let slow = Outcome::TooSlow {
        latency: latency(vec![7.0]),
        accuracy: 0.1,
    };
    let lost = Outcome::Lost {
        attempts: 2,
        message: "said \"samples_ms\":[ and died".into(),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::create(&dir.path().join("study.db")).unwrap();
    let events = [
        proposed(0),
        event(0, done),
        event(1, slow),
        event(2, lost),
        observed(0),
    ];
    store.append(1, &events).unwrap();
    let mut whole = store.read_from(1).unwrap();
    let light = store.read_light(1, 100).unwrap();
    assert_eq!(
        light.iter().map(|l| l.samples).collect::<Vec<u32>>(),
        [0, 3, 1, 0, 0]
    );
    for stored in &mut whole {
        match &mut stored.event {
            Event::Finished { outcome, .. } => match outcome {
                Outcome::Done(m) => m.latency.samples_ms.clear(),
                Outcome::TooSlow { latency, .. } => latency.samples_ms.clear(),
                _ => {}
            },
            Event::Observed { snapshot, .. } => snapshot.clear(),
            _ => {}
        }
    }
    let light: Vec<_> = light.into_iter().map(|l| l.stored).collect();
    assert_eq!(light, whole);
    assert_eq!(store.read_light(4, 1).unwrap()[0].stored, whole[3]);
    let trial: Vec<u64> = store
        .read_trial(1, 0)
        .unwrap()
        .iter()
        .map(|s| s.seq)
        .collect();
    assert_eq!(trial, [1, 3, 5]);
}

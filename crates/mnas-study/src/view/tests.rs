use super::*;
use crate::fakes::{Bench, plan};
use crate::run::create;
use crate::store::Sqlite;

/// A finished study in a folder.
fn folder() -> Bench {
    let mut bench = Bench::new(&plan());
    bench.complete();
    let mut store = Sqlite::create(&StudyDir::new(bench.dir.path()).store()).unwrap();
    for stored in bench.store.events() {
        store
            .append(stored.time_ms, std::slice::from_ref(&stored.event))
            .unwrap();
    }
    bench
}

#[test]
fn a_study_reads_back_from_its_folder() {
    let bench = folder();
    let (loaded, study) = (load(bench.dir.path()).unwrap(), bench.study());
    assert_eq!(loaded, study);
    assert_eq!(best(&loaded).map(|t| t.id), best(&study).map(|t| t.id));
}

#[test]
fn networks_open_by_number_name_or_as_the_best() {
    let bench = folder();
    let dir = bench.dir.path();
    let winner = winner(&bench.study()).unwrap();
    let opened = open_net(dir, "best").unwrap();
    assert_eq!(opened.name, winner.to_string());
    assert_eq!(opened.data, plan().data);
    assert!(opened.weights.is_some());
    for name in [winner.to_string(), format!("trial {winner}")] {
        assert_eq!(open_net(dir, &name).unwrap().spec, opened.spec);
    }
    let study = bench.study();
    let reference = study
        .finalists()
        .iter()
        .find(|e| e.name.starts_with("mobilenet"))
        .unwrap();
    let of_reference = open_net(dir, &reference.name).unwrap();
    assert_eq!(of_reference.spec.to_string(), reference.spec);
    assert!(of_reference.weights.is_some());
    // A trial that wasn't trained in full has a text and no weights.
    let other = study
        .trials()
        .iter()
        .find(|t| study.finalists().iter().all(|e| e.hash != t.hash));
    let other = open_net(dir, &other.unwrap().id.to_string()).unwrap();
    assert!(other.weights.is_none());
    for missing in ["99", "trial 99", "resnet"] {
        let error = open_net(dir, missing).unwrap_err();
        assert!(
            matches!(error, OpenNetError::NoNet { last: 39, .. }),
            "{error:?}"
        );
    }
}

#[test]
fn weights_that_cannot_be_read_are_named() {
    let bench = folder();
    let winner = winner(&bench.study()).unwrap().to_string();
    std::fs::write(weights_path(bench.dir.path(), &winner), "torn").unwrap();
    let error = open_net(bench.dir.path(), "best").unwrap_err();
    assert!(matches!(error, OpenNetError::Weights { .. }), "{error:?}");
}

#[test]
fn a_new_study_has_its_plan_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), &plan()).unwrap();
    let study = load(dir.path()).unwrap();
    assert_eq!(super::plan(&study).unwrap(), plan());
    let text = std::fs::read_to_string(StudyDir::new(dir.path()).plan()).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan());
    assert!(matches!(
        open_net(dir.path(), "best"),
        Err(OpenNetError::NothingDone)
    ));
    let again = create(dir.path(), &plan()).unwrap_err();
    let exists = crate::store::StoreError::Exists {
        place: StudyDir::new(dir.path()).store().display().to_string(),
    };
    assert_eq!(again.to_string(), exists.to_string());
}

#[test]
fn making_a_study_that_was_cut_off_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    Sqlite::create(&StudyDir::new(dir.path()).store()).unwrap();
    create(dir.path(), &plan()).unwrap();
    assert_eq!(super::plan(&load(dir.path()).unwrap()).unwrap(), plan());
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), &plan()).unwrap();
    let _lock = crate::lock::DirLock::acquire(dir.path()).unwrap();
    let env = crate::run::RunEnv::this_program("cache".into()).unwrap();
    let error =
        crate::run::run(dir.path(), &env, &crate::stop::Stop::new(), &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, StudyError::Lock(crate::lock::LockError::Held { .. })),
        "{error:?}"
    );
    assert_eq!(error.cause(), crate::error::Cause::Store);
}

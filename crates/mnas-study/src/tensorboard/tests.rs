//! Files that a run leaves, a run that is cut off at any byte, and files that are gone.

use std::collections::BTreeMap;
use std::path::Path;

use super::TensorBoard;
use super::file::{Event, read};
use crate::fakes::{Bench, plan};
use crate::plan::Plan;

fn with_board() -> Plan {
    Plan {
        tensorboard: true,
        ..plan()
    }
}

/// Values by tag, in order, of the only file of a run.
fn curves(folder: &Path) -> BTreeMap<String, Vec<(i64, f32)>> {
    let mut found = BTreeMap::new();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1, "one file in {}", folder.display());
    let bytes = std::fs::read(files[0].as_ref().unwrap().path()).unwrap();
    let (events, whole) = read(&bytes);
    assert_eq!(whole, bytes.len(), "no torn record is left");
    assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
    for Event { step, summary, .. } in events {
        for value in summary.into_iter().flat_map(|s| s.value) {
            let curve: &mut Vec<(i64, f32)> = found.entry(value.tag).or_default();
            curve.push((step, value.simple_value.unwrap()));
        }
    }
    found
}

#[test]
fn a_run_leaves_the_curves_of_its_trials_and_finalists() {
    let mut bench = Bench::new(&with_board());
    bench.complete();
    let study = bench.study();
    let board = bench.dir.path().join("tensorboard");
    let search = curves(&board.join("search"));
    let rewarded: Vec<(i64, f32)> = study
        .trials()
        .iter()
        .filter_map(|t| Some((t.id as i64, t.reward? as f32)))
        .collect();
    assert_eq!(search["reward"], rewarded);
    assert_eq!(search["best_reward"].len(), study.trials().len());
    assert!(search["best_reward"].windows(2).all(|w| w[0].1 <= w[1].1));
    let best = rewarded.iter().map(|r| r.1).fold(f32::MIN, f32::max);
    assert_eq!(search["best_reward"].last().unwrap().1, best);
    let count = |of: fn(&mnas_search::Trial) -> Option<f64>| {
        study.trials().iter().filter(|t| of(t).is_some()).count()
    };
    assert_eq!(
        search["accuracy"].len(),
        count(mnas_search::Trial::accuracy)
    );
    assert_eq!(
        search["latency_ms"].len(),
        count(mnas_search::Trial::latency_ms)
    );
    for result in study.finals() {
        let run = board
            .join("finals")
            .join(result.entry.name.replace(' ', "-"));
        let curve = curves(&run);
        assert!(!curve["loss"].is_empty(), "{}", result.entry.name);
        assert!(curve["loss"].windows(2).all(|w| w[0].0 < w[1].0));
    }
}

#[test]
fn a_file_cut_off_anywhere_is_made_whole() {
    let mut bench = Bench::new(&with_board());
    bench.complete();
    let (study, events) = (bench.study(), bench.store.events());
    let folder = bench.dir.path().join("tensorboard/search");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let whole = std::fs::read(file.path()).unwrap();
    let check = |left: &[u8], what: &str| {
        std::fs::write(file.path(), left).unwrap();
        let board = bench.dir.path().join("tensorboard");
        TensorBoard::open(board, &study, events).unwrap();
        assert!(std::fs::read(file.path()).unwrap() == whole, "{what}");
    };
    check(&whole, "nothing is written twice");
    for cut in (0..whole.len()).step_by(97) {
        check(&whole[..cut], &format!("cut at {cut}"));
    }
    let mut broken = whole.clone();
    let at = broken.len() / 2;
    broken[at] ^= 1;
    check(&broken, "a broken record and what follows it");
}

#[test]
fn a_folder_that_cannot_be_written_does_not_end_the_study() {
    let mut bench = Bench::new(&with_board());
    std::fs::write(bench.dir.path().join("tensorboard"), "a file in its place").unwrap();
    bench.complete();
    assert!(bench.study().ended_ms().is_some());
    let warned = bench.updates.iter().any(|u| match u {
        crate::update::Update::Warning { message } => message.contains("TensorBoard"),
        _ => false,
    });
    assert!(warned);
}

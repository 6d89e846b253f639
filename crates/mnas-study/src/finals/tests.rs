//! Which trials go on, and which network wins.

use mnas_search::{FinalKind, FinalOutcome, Study};

use super::pick::choose;
use crate::evaluate::keys;
use crate::fakes::{Bench, plan};
use crate::plan::Target;
use crate::view;

fn searched(target_ms: f64, seed: u64, trials: u64) -> Study {
    let mut plan = plan();
    plan.target = Target::Fixed { target_ms };
    plan.seed = seed;
    plan.trials = trials;
    plan.too_slow = 100.0;
    plan.finalists = 0;
    let mut bench = Bench::new(&plan);
    bench.complete();
    bench.study()
}

#[test]
fn finalists_are_the_front_and_the_best_rewards_within_the_target() {
    let study = searched(0.6, 3, 40);
    let (chosen, met) = choose(&study, 5);
    assert!(met && chosen.len() == 5);
    let within = |t: &&mnas_search::Trial| t.latency_ms().unwrap() <= 0.6;
    assert!(chosen.iter().all(within));
    // The first is the most accurate network within the target.
    let best = study
        .done()
        .filter(within)
        .max_by(|a, b| a.accuracy().unwrap().total_cmp(&b.accuracy().unwrap()));
    assert_eq!(chosen[0].id, best.unwrap().id);
    let front: Vec<u64> = study.front().iter().map(|t| t.id).collect();
    assert!(chosen[..3].iter().all(|t| front.contains(&t.id)));
    let rewards: Vec<f64> = chosen[3..].iter().map(|t| t.reward.unwrap()).collect();
    assert!(rewards.is_sorted_by(|a, b| a >= b), "{rewards:?}");
    let mut ids: Vec<u64> = chosen.iter().map(|t| t.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert_eq!(choose(&study, 0).0.len(), 0);
    assert_eq!(choose(&study, 1).0[0].id, chosen[0].id);
}

#[test]
fn where_nothing_meets_the_target_the_best_rewards_go_on() {
    // The space's fastest network takes 0.157 ms; a short search misses it.
    let met = |study: &Study| study.done().any(|t| t.latency_ms().unwrap() <= 0.17);
    let study = (0..20)
        .map(|seed| searched(0.17, seed, 8))
        .find(|s| !met(s))
        .unwrap();
    let (chosen, met) = choose(&study, 2);
    assert!(!met && chosen.len() == 2);
    assert_eq!(chosen[0].id, study.best().unwrap().id);
}

#[test]
fn the_winner_is_the_most_accurate_finalist_that_meets_the_target() {
    let mut plan = plan();
    plan.finalists = 4;
    let mut bench = Bench::new(&plan);
    let before = { Bench::new(&plan).study() };
    assert_eq!(view::winner(&before), None);
    let summary = bench.complete();
    let study = bench.study();
    let finalists = study
        .finals()
        .iter()
        .filter_map(|r| match (&r.entry.kind, &r.outcome) {
            (
                FinalKind::Finalist { trial },
                FinalOutcome::Done {
                    validation_accuracy,
                    latency,
                    ..
                },
            ) => Some((*trial, *validation_accuracy, latency.median_ms)),
            _ => None,
        });
    let within = finalists.filter(|(_, _, ms)| *ms <= 0.6);
    let best = within.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(summary.winner, Some(best.0));
    assert_eq!(view::winner(&study), summary.winner);
}

/// Whoever finds a file alone must be able to use it and to tell where it is from.
#[test]
fn a_finalist_s_files_say_what_they_are() {
    let mut plan = plan();
    plan.finalists = 2;
    let mut bench = Bench::new(&plan);
    bench.complete();
    let study = bench.study();
    let mut read = 0;
    for result in study.finals() {
        let FinalKind::Finalist { trial } = result.entry.kind else {
            continue;
        };
        let FinalOutcome::Done {
            validation_accuracy,
            test_accuracy,
            latency,
            files,
            ..
        } = &result.outcome
        else {
            panic!("{result:?}")
        };
        let say = |key: &str, value: String| (key.to_string(), value);
        let expected = [
            say(keys::SPEC, result.entry.spec.clone()),
            say(
                keys::STUDY,
                crate::dir::StudyDir::new(bench.dir.path()).name(),
            ),
            say(keys::TRIAL, trial.to_string()),
            say(keys::VALIDATION_ACCURACY, validation_accuracy.to_string()),
            say(keys::TEST_ACCURACY, test_accuracy.unwrap().to_string()),
            say(keys::LATENCY_MS, latency.median_ms.to_string()),
            say(keys::LATENCY_SOURCE, "predicted by table:formula".into()),
        ];
        for file in files {
            let bytes = std::fs::read(bench.dir.path().join(file)).unwrap();
            let extra = if file.ends_with(".safetensors") {
                mnas_net::Weights::from_safetensors(&bytes)
                    .unwrap()
                    .metadata
            } else {
                let (_, meta) = mnas_deploy::read_model(bytes).unwrap();
                assert_eq!(meta.name, result.entry.name, "{file}");
                assert_eq!(meta.classes, plan.data.classes, "{file}");
                assert_eq!(meta.normalize_mean, plan.data.normalize.mean, "{file}");
                assert_eq!(meta.normalize_std, plan.data.normalize.std, "{file}");
                meta.extra
            };
            for (key, value) in &expected {
                assert_eq!(extra.get(key), Some(value), "{key} of {file}");
            }
            read += 1;
        }
    }
    // Weights, ONNX and TFLite of two finalists.
    assert_eq!(read, 6);
}

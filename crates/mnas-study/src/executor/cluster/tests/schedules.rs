//! Fault schedules by seed. `MNAS_TEST_SCHEDULES=10000` runs so many, `MNAS_TEST_SCHEDULE=SEED`
//! replays one and tells what happened.

use mnas_search::Outcome;

use super::super::simulation::{Faults, RunEnd, Scene, World};
use super::{Course, course, expected, results, seconds, small_plan, study};
use crate::error::StudyError;
use crate::plan::Plan;

const SCHEDULES: u64 = 1_000;
/// Runs of one study: kills are fewer, and the rest are a store's failures.
const RUNS_MAX: u32 = 80;

/// The plans of the schedules, and what each proposes where nothing is lost for good.
fn plans() -> Vec<(Plan, Course)> {
    let mut plans = vec![];
    for (algorithm, staleness) in [
        ("evolution", 0),
        ("ppo", 0),
        ("random", 0),
        ("evolution", 1),
        ("ppo", 2),
    ] {
        let mut plan = small_plan();
        plan.controller.algorithm = algorithm.into();
        plan.staleness = staleness;
        plan.batch = if staleness > 0 { 4 } else { 8 };
        let expected = expected(&plan);
        plans.push((plan, expected));
    }
    plans
}

struct Told {
    kills: u64,
    restarts: u64,
    stale: u64,
    lost: u64,
    zombies: u64,
}

/// Runs one schedule to its end and checks what must hold.
fn check(seed: u64, plans: &[(Plan, Course)], told: &mut Told) -> Scene {
    let (plan, expected) = &plans[(seed % plans.len() as u64) as usize];
    let mut plan = plan.clone();
    // In a third of the schedules, trials may be lost for good.
    let lossy = seed.is_multiple_of(3);
    plan.attempts_max = if lossy { 2 } else { 1_000 };
    let faults = Faults::of(seed);
    let nodes = 1 + (seed / 7 % 5) as usize;
    let world = World::new(seed, nodes, faults, seconds);
    let mut scene = Scene::new(&plan, world, nodes + (seed / 35 % 2) as usize);
    scene.per_job = [None, Some(1), Some(3)][(seed / 3 % 3) as usize];
    let again = format!("schedule {seed} (replay: MNAS_TEST_SCHEDULE={seed})");
    for run in 0.. {
        assert!(run < RUNS_MAX, "{again}: no end in sight");
        match scene.run() {
            RunEnd::Returned(Ok(summary)) if summary.ended => break,
            RunEnd::Killed => told.kills += 1,
            // What an operator would look into and resume.
            RunEnd::Returned(Err(
                StudyError::Store(_)
                | StudyError::Executor(_)
                | StudyError::JobLost { .. }
                | StudyError::Data { .. }
                | StudyError::Device { .. },
            )) => told.restarts += 1,
            other => panic!("{again}: {other:?}"),
        }
    }
    let study = study(&scene);
    assert_eq!(study.trials().len(), 16, "{again}");
    if !lossy {
        assert_eq!(course(&study), *expected, "{again}");
    }
    let results = results(&scene);
    assert!(results.values().all(|n| *n == 1), "{again}: {results:?}");
    let mut counted = 0;
    for trial in study.trials().iter().filter(|t| t.duplicate_of.is_none()) {
        assert!(trial.outcome.is_some(), "{again}: trial {}", trial.id);
        assert!(
            results.contains_key(&(trial.id, trial.attempt)),
            "{again}: trial {}",
            trial.id
        );
        counted += 1;
        // The result that counts is the one of the attempt that counts.
        if let Some(Outcome::Done(metrics)) = &trial.outcome {
            let attempt = f64::from(trial.attempt);
            assert_eq!(
                metrics.train_seconds, attempt,
                "{again}: trial {}",
                trial.id
            );
        }
    }
    assert_eq!(results.len(), counted + study.stale().len(), "{again}");
    told.stale += study.stale().len() as u64;
    told.lost += study.counts().lost;
    told.zombies += scene.shared.world().zombies;
    scene
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|e| panic!("{variable}={value}: {e}")),
    )
}

#[test]
fn every_schedule_of_faults_ends_with_each_trial_once() {
    let plans = plans();
    let mut told = Told {
        kills: 0,
        restarts: 0,
        stale: 0,
        lost: 0,
        zombies: 0,
    };
    if let Some(seed) = number("MNAS_TEST_SCHEDULE") {
        let scene = check(seed, &plans, &mut told);
        for stored in scene.store.events() {
            println!("{} {} {:?}", stored.seq, stored.time_ms, stored.event);
        }
        return;
    }
    let schedules = number("MNAS_TEST_SCHEDULES").unwrap_or(SCHEDULES);
    for seed in 0..schedules {
        check(seed, &plans, &mut told);
    }
    let Told {
        kills,
        restarts,
        stale,
        lost,
        zombies,
    } = told;
    println!(
        "{schedules} schedules: {kills} kills, {restarts} failed runs, {stale} late results \
         recorded, {zombies} answers of jobs given up, {lost} trials lost for good"
    );
    assert!(
        kills > schedules && stale * 20 > schedules && lost > 0,
        "the faults don't bite"
    );
}

#[test]
fn a_schedule_replays() {
    let plans = plans();
    let run = |seed| {
        let mut told = Told {
            kills: 0,
            restarts: 0,
            stale: 0,
            lost: 0,
            zombies: 0,
        };
        check(seed, &plans, &mut told).store.events().to_vec()
    };
    for seed in [11, 12, 13, 14, 15] {
        assert_eq!(run(seed), run(seed), "schedule {seed}");
    }
}

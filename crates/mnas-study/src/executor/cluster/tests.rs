//! The loop and the cluster executor on a simulated cluster.

mod projection;
mod schedules;

use std::collections::BTreeMap;

use mnas_net::Stream;
use mnas_search::{Event, Outcome, Study};

use super::simulation::{Faults, RunEnd, Scene, World};
use crate::executor::Attempt;
use crate::fakes::{Bench, plan};
use crate::plan::Plan;
use crate::view;

/// 1 to 9 s for a training, a tenth of it for the rest.
fn seconds(attempt: &Attempt, draws: &mut Stream) -> u64 {
    let ms = 1_000 + draws.below(8_000) as u64;
    if attempt.id.0.ends_with("train") {
        ms
    } else {
        ms / 10
    }
}

type Course = Vec<(u64, Vec<u16>, Option<f64>)>;

fn course(study: &Study) -> Course {
    let trials = study.trials().iter();
    trials.map(|t| (t.id, t.tokens.clone(), t.reward)).collect()
}

fn study(scene: &Scene) -> Study {
    view::fold(scene.store.events()).unwrap()
}

/// What the local executor's stand-in makes of a plan.
fn expected(plan: &Plan) -> Course {
    let mut bench = Bench::new(plan);
    assert!(bench.complete().ended);
    course(&bench.study())
}

fn small_plan() -> Plan {
    let mut plan = plan();
    plan.controller.algorithm = "evolution".into();
    plan.trials = 16;
    plan.finalists = 0;
    plan.failures.first = 0;
    plan.failures.window = 0;
    plan
}

#[test]
fn a_cluster_of_any_size_proposes_what_one_machine_does() {
    for algorithm in ["ppo", "evolution", "random"] {
        let mut plan = small_plan();
        plan.controller.algorithm = algorithm.into();
        plan.finalists = 2;
        let expected = expected(&plan);
        for (seed, nodes, jobs_max, per_job) in [
            (0, 1, 1, None),
            (1, 3, 3, Some(1)),
            (2, 3, 5, Some(4)),
            (3, 16, 16, None),
        ] {
            let world = World::new(seed, nodes, Faults::none(), seconds);
            let mut scene = Scene::new(&plan, world, jobs_max);
            scene.per_job = per_job;
            let RunEnd::Returned(Ok(summary)) = scene.run() else {
                panic!("{algorithm} {seed}")
            };
            assert!(summary.ended, "{summary:?}");
            assert_eq!(course(&study(&scene)), expected, "{algorithm} on {nodes}");
            let world = scene.shared.world();
            assert!(world.jobs_most <= jobs_max, "{} jobs", world.jobs_most);
            assert!(world.keeps_apart || !world.disturbed);
            assert!(world.bundles.is_empty(), "bundles are left");
            assert!(study(&scene).stale().is_empty());
        }
    }
}

/// The controller dies while trainings run; the next one takes them over.
#[test]
fn jobs_that_run_are_taken_over() {
    let plan = small_plan();
    let expected = expected(&plan);
    let (mut taken_over, mut calm) = (0, 0);
    for kill in (20..400).step_by(7) {
        let mut faults = Faults::none();
        faults.kills = vec![kill];
        let mut scene = Scene::new(&plan, World::new(2, 4, faults, seconds), 4);
        match scene.run() {
            RunEnd::Killed => {}
            RunEnd::Returned(Ok(summary)) if summary.ended => {
                calm += 1;
                continue;
            }
            other => panic!("killed after {kill}: {other:?}"),
        }
        let before = study(&scene);
        let open = before.trials().iter();
        let open = open.filter(|t| t.duplicate_of.is_none() && t.outcome.is_none());
        let open: Vec<u64> = open.map(|t| t.id).collect();
        let RunEnd::Returned(Ok(summary)) = scene.run() else {
            panic!("killed after {kill}")
        };
        assert!(summary.ended, "killed after {kill}");
        let after = study(&scene);
        assert_eq!(course(&after), expected, "killed after {kill}");
        let kept = |t: &&u64| after.trials()[**t as usize].attempt == 1;
        taken_over += open.iter().filter(kept).count();
    }
    assert!(taken_over > 20, "{taken_over} attempts were taken over");
    assert!(calm < 40, "{calm} runs ended before the kill");
}

/// What a node that was cut off says later is recorded, and doesn't count.
#[test]
fn what_comes_too_late_is_recorded_and_ignored() {
    let mut plan = small_plan();
    plan.attempts_max = 1000;
    let expected = expected(&plan);
    let mut stale = 0;
    for seed in 0..40 {
        let mut faults = Faults::none();
        (faults.node_ms, faults.cut) = (30_000.0, 1.0);
        let mut scene = Scene::new(&plan, World::new(seed, 4, faults, seconds), 4);
        let RunEnd::Returned(Ok(_)) = scene.run() else {
            panic!("schedule {seed}")
        };
        let study = study(&scene);
        assert_eq!(course(&study), expected, "schedule {seed}");
        for late in study.stale() {
            let trial = &study.trials()[late.trial as usize];
            assert!(late.attempt < trial.attempt, "{late:?}");
            let Outcome::Lost { message, .. } = &late.outcome else {
                assert!(matches!(late.outcome, Outcome::Failed(_)), "{late:?}");
                continue;
            };
            assert!(message.contains("came after attempt"), "{message}");
        }
        stale += study.stale().len();
    }
    assert!(stale > 10, "{stale} late results: the cuts don't bite");
}

/// How many results count of each trial, by the events alone.
fn results(scene: &Scene) -> BTreeMap<(u64, u32), u32> {
    let mut results = BTreeMap::new();
    for stored in scene.store.events() {
        if let Event::Finished { trial, attempt, .. } = &stored.event {
            *results.entry((*trial, *attempt)).or_default() += 1;
        }
    }
    results
}

/// A cluster that refuses jobs ends the study with its words; one out of reach does so in time.
#[test]
fn a_poison_trial_stops_and_a_lost_cluster_is_named() {
    let mut plan = small_plan();
    plan.attempts_max = 3;
    plan.failures.window = 4;
    let mut faults = Faults::none();
    faults.silent = 1.0;
    let mut scene = Scene::new(&plan, World::new(1, 4, faults, seconds), 4);
    let RunEnd::Returned(Err(error)) = scene.run() else {
        panic!("a cluster that never answers was of use")
    };
    assert!(
        error.to_string().contains("its answer is missing")
            || error.to_string().contains("ended well"),
        "{error}"
    );

    let mut faults = Faults::none();
    faults.submit_lost = 1.0;
    let mut scene = Scene::new(&plan, World::new(1, 4, faults, seconds), 4);
    let RunEnd::Returned(Err(error)) = scene.run() else {
        panic!("a cluster out of reach was of use")
    };
    let error = error.to_string();
    assert!(
        error.starts_with("submitting jobs to the cluster was out of reach for 6"),
        "{error}"
    );
}

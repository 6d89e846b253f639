//! Two hundred studies on workers that are lost, crash, and answer late or twice, stopped and
//! killed on the way, each by its own seed.

use super::course;
use crate::error::StudyError;
use crate::fakes::{Bench, Faults, Simulated, plan};
use crate::stop::Stop;
use crate::store::Memory;

/// A seed's faults: from none to 15 % of attempts.
fn faults(seed: u64) -> Faults {
    let share = |of: u64| (seed / of % 4) as f64 * 0.05;
    Faults {
        lost: share(1),
        crashed: share(4),
        stale: share(16) * 2.0,
    }
}

#[test]
fn studies_survive_their_workers() {
    let (mut restarts, mut lost, mut ended) = (0, 0, 0);
    for seed in 0..200 {
        let mut plan = plan();
        plan.seed = seed;
        plan.trials = 24;
        plan.attempts_max = 2 + (seed % 2) as u32;
        plan.failures.share = 1.0;
        plan.failures.first = 0;
        plan.controller.algorithm = if seed % 2 == 0 { "evolution" } else { "random" }.into();
        let mut bench = Bench::new(&plan);
        let workers = 1 + (seed % 4) as usize;
        for round in 0u64.. {
            assert!(round < 60, "seed {seed}: no end in sight");
            let draw = seed * 100 + round;
            let mut executor = Simulated::new(workers, draw, faults(seed), &bench.clock);
            executor.stop_after = (round < 5).then(|| (5 + draw % 17, bench.stop.clone()));
            match bench.run(&mut executor, None) {
                Ok(summary) if summary.ended => break,
                // It was stopped, or a job that the study can't do without was lost too often.
                Ok(_) | Err(StudyError::JobLost { .. }) => {}
                Err(StudyError::Data { .. } | StudyError::Device { .. }) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
            restarts += 1;
            bench.stop = Stop::new();
            // Every other end is a kill, of which the store keeps none of the last words.
            if round % 2 == 1 {
                let events = bench.store.events();
                let lost = (draw as usize % 4).min(events.len() - 1);
                bench.store = Memory::of(events[..events.len() - lost].to_vec());
            }
        }
        let study = bench.study();
        assert_eq!(study.trials().len(), 24, "seed {seed}");
        assert!(
            study.open_batch().is_none() && study.ended_ms().is_some(),
            "seed {seed}"
        );
        for trial in study.trials() {
            assert!(trial.outcome.is_some(), "seed {seed} trial {}", trial.id);
        }
        lost += study.counts().lost;
        ended += 1;
    }
    assert_eq!(ended, 200);
    assert!(
        restarts > 600 && lost > 20,
        "{restarts} restarts, {lost} lost: the faults don't bite"
    );
}

#[test]
fn faults_that_are_overcome_change_nothing() {
    let mut plan = plan();
    plan.attempts_max = 50;
    let mut calm = Bench::new(&plan);
    calm.complete();
    for seed in 0..20 {
        let mut bench = Bench::new(&plan);
        let faults = Faults {
            lost: 0.2,
            crashed: 0.1,
            stale: 0.3,
        };
        let mut executor = Simulated::new(3, seed, faults, &bench.clock);
        bench.run(&mut executor, None).unwrap();
        assert_eq!(course(&bench.study()), course(&calm.study()), "seed {seed}");
        assert!(!bench.study().retries().is_empty());
    }
}

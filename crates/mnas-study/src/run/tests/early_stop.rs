//! Trainings that are cut short: fewer seconds, the same best network, and nothing that depends on
//! who is quick or when the run was interrupted.

use mnas_search::{EarlyStop, Outcome, Study};

use super::course;
use crate::fakes::{Bench, Faults, Simulated, plan};
use crate::plan::Plan;
use crate::store::Memory;

fn early() -> Plan {
    let mut plan = plan();
    plan.trials = 80;
    plan.controller.algorithm = "random".into();
    plan.early_stop = Some(EarlyStop {
        grace: 12,
        ..EarlyStop::MEASURED
    });
    plan
}

fn train_seconds(study: &Study) -> f64 {
    let seconds = study.trials().iter().filter(|t| t.duplicate_of.is_none());
    let seconds = seconds.map(|t| match &t.outcome {
        Some(Outcome::Done(m)) => m.train_seconds,
        Some(Outcome::Stopped { train_seconds, .. }) => *train_seconds,
        _ => 0.0,
    });
    seconds.sum()
}

#[test]
fn the_best_network_is_found_in_less_time() {
    let (mut whole, mut cut) = (
        Bench::new(&Plan {
            early_stop: None,
            ..early()
        }),
        Bench::new(&early()),
    );
    whole.complete();
    let summary = cut.complete();
    let (whole, cut) = (whole.study(), cut.study());
    assert!(summary.counts.stopped > 10, "{:?}", summary.counts);
    assert!(train_seconds(&cut) < 0.9 * train_seconds(&whole));
    // Proposals of a random search don't depend on rewards, so the two can be compared.
    assert_eq!(cut.best().map(|t| t.id), whole.best().map(|t| t.id));
    for trial in cut.trials() {
        if let Some(Outcome::Stopped { accuracy, .. }) = trial.outcome {
            assert!(trial.metrics().is_none() && trial.reward.is_some());
            let trained = whole.trials()[trial.id as usize].accuracy().unwrap();
            assert!((accuracy - trained).abs() < 0.1, "{accuracy} {trained}");
        }
    }
}

#[test]
fn neither_workers_nor_interruptions_change_it() {
    let run = |workers, order| {
        let mut bench = Bench::new(&early());
        let mut executor = Simulated::new(workers, order, Faults::NONE, &bench.clock);
        bench.run(&mut executor, None).unwrap();
        bench
    };
    let whole = run(1, 0);
    let expected = course(&whole.study());
    let outcomes = |b: &Bench| -> Vec<Option<Outcome>> {
        b.study()
            .trials()
            .iter()
            .map(|t| t.outcome.clone())
            .collect()
    };
    for (workers, order) in [(2, 1), (8, 3)] {
        let other = run(workers, order);
        assert_eq!(course(&other.study()), expected);
        assert_eq!(outcomes(&other), outcomes(&whole));
    }
    for cut in (1..=whole.store.events().len()).step_by(7) {
        let mut resumed = Bench::on(Memory::of(whole.store.events()[..cut].to_vec()));
        resumed.complete();
        assert_eq!(course(&resumed.study()), expected, "cut after {cut}");
        assert_eq!(outcomes(&resumed), outcomes(&whole), "cut after {cut}");
    }
}

/// Batches that overlap know less when they are proposed; their forecasts too.
#[test]
fn overlapping_batches_forecast_from_what_they_saw() {
    let plan = Plan {
        staleness: 2,
        ..early()
    };
    let run = |workers, order| {
        let mut bench = Bench::new(&plan);
        let mut executor = Simulated::new(workers, order, Faults::NONE, &bench.clock);
        let summary = bench.run(&mut executor, None).unwrap();
        assert!(summary.counts.stopped > 0);
        course(&bench.study())
    };
    assert_eq!(run(8, 5), run(1, 0));
}

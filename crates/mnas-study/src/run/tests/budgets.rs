//! Trials, time, failures and the target: when a search stops.

use mnas_search::Event;

use super::kinds;
use crate::error::StudyError;
use crate::fakes::{Bench, plan};
use crate::plan::{PlanError, Target};
use crate::run::Extend;
use crate::store::Memory;

#[test]
fn time_ends_the_search_before_a_batch_that_would_overrun() {
    let mut plan = plan();
    plan.trials = 1000;
    plan.finalists = 0;
    plan.seconds_max = Some(50.0);
    let mut bench = Bench::new(&plan);
    let summary = bench.complete();
    assert!(summary.ended);
    assert!(summary.search_seconds <= 50.0, "{}", summary.search_seconds);
    let batches = bench.study().batches().len();
    // A batch of 8 takes 8 to 16 simulated seconds, one per job.
    assert!((3..=6).contains(&batches), "{batches} batches");
    assert!(
        summary.search_seconds > 50.0 - 16.0,
        "{}",
        summary.search_seconds
    );
}

#[test]
fn time_while_nothing_ran_does_not_count() {
    let mut plan = plan();
    plan.trials = 1000;
    plan.finalists = 0;
    plan.seconds_max = Some(50.0);
    let mut straight = Bench::new(&plan);
    let expected = straight.complete().counts.proposals;
    // Killed after its 20th event, and resumed a day later.
    let cut = 20;
    let mut killed = Bench::on(Memory::of(straight.store.events()[..cut].to_vec()));
    killed.clock.advance_ms(24 * 3600 * 1000);
    let summary = killed.complete();
    assert!(summary.search_seconds <= 50.0);
    assert!(
        kinds(&killed)[cut..].starts_with(&["stopped", "retried"]),
        "{:?}",
        kinds(&killed)
    );
    let proposals = summary.counts.proposals;
    assert!(
        proposals + 8 >= expected && proposals > 8,
        "{proposals} of {expected}"
    );
}

#[test]
fn an_extension_brings_new_time() {
    let mut plan = plan();
    plan.trials = 1000;
    plan.finalists = 0;
    plan.seconds_max = Some(30.0);
    let mut bench = Bench::new(&plan);
    let before = bench.complete().counts.proposals;
    let mut executor = bench.executor(3);
    let after = bench
        .run(&mut executor, Some(Extend { trials: 2000 }))
        .unwrap();
    assert!(after.counts.proposals > before);
    assert!(after.search_seconds <= 30.0);
}

#[test]
fn a_search_where_everything_fails_stops() {
    let mut plan = plan();
    plan.trials = 1000;
    let mut bench = Bench::new(&plan);
    let mut executor = bench.executor(2);
    executor.evaluator.diverges_in = 1;
    let error = bench.run(&mut executor, None).unwrap_err();
    let StudyError::TooManyFailures {
        failed,
        evaluated,
        ref last,
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        failed == evaluated && (10..20).contains(&evaluated),
        "{error}"
    );
    assert_eq!(last, "training diverged");
    assert_eq!(kinds(&bench).last(), Some(&"stopped"));
    // Once the reason is gone, the study goes on.
    let resumed = bench.complete();
    assert!(resumed.ended && resumed.counts.proposals == 1000);
}

#[test]
fn a_window_of_failures_stops_a_search_that_began_well() {
    let mut plan = plan();
    plan.trials = 1000;
    plan.finalists = 0;
    plan.controller.algorithm = "random".into();
    plan.too_slow = 100.0;
    let mut bench = Bench::new(&plan);
    let mut executor = bench.executor(2);
    executor.evaluator.diverges_in = 0;
    executor.stop_after = Some((60, bench.stop.clone()));
    assert!(!bench.run(&mut executor, None).unwrap().ended);
    assert_eq!(bench.study().counts().failed, 0);
    bench.stop = crate::stop::Stop::new();
    let mut executor = bench.executor(2);
    executor.evaluator.diverges_in = 1;
    let error = bench.run(&mut executor, None).unwrap_err();
    assert!(
        matches!(
            error,
            StudyError::TooManyFailures {
                evaluated: 20,
                failed: 11..,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_target_that_no_network_reaches_is_refused_at_once() {
    let mut plan = plan();
    plan.target = Target::Fixed { target_ms: 0.11 };
    let mut bench = Bench::new(&plan);
    let mut executor = bench.executor(2);
    let error = bench.run(&mut executor, None).unwrap_err();
    let StudyError::TargetUnreachable {
        target_ms,
        fastest_ms,
        ref spec,
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        target_ms == 0.11 && fastest_ms > 0.11 && fastest_ms < 0.3,
        "{error}"
    );
    assert_eq!(spec.lines().next(), Some("stem_k3_s2_c8"));
    assert_eq!(executor.performed, 3, "two openings and one measurement");
    assert_eq!(kinds(&bench), ["started", "stopped"]);
}

#[test]
fn the_smallest_network_is_found() {
    // Every sample of the space, measured by the formula, is at least as slow.
    let mut plan = plan();
    plan.target = Target::Fixed { target_ms: 0.11 };
    let mut bench = Bench::new(&plan);
    let mut executor = bench.executor(1);
    let error = bench.run(&mut executor, None).unwrap_err();
    let StudyError::TargetUnreachable { fastest_ms, .. } = error else {
        panic!("{error}")
    };
    let space = plan.space().unwrap();
    for i in 0..500 {
        let mut draw = mnas_net::stream(1, i, mnas_net::Purpose::Sample);
        let spec = space.decode(&space.sample(&mut draw)).unwrap();
        let macs = mnas_net::cost(&spec.graph(plan.data.input(), 4).unwrap()).macs;
        assert!(0.1 + macs as f64 / 2e5 >= fastest_ms - 1e-12, "{spec}");
    }
}

#[test]
fn a_plan_that_cannot_work_is_refused() {
    let check = |expected: &str, change: &dyn Fn(&mut crate::plan::Plan)| {
        let mut plan = plan();
        change(&mut plan);
        let error: PlanError = plan.check().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("trials is 0", &|p| p.trials = 0);
    check("batch is 0", &|p| p.batch = 0);
    check("too_slow is 0.5", &|p| p.too_slow = 0.5);
    check("too_slow is NaN", &|p| p.too_slow = f64::NAN);
    check("target_ms is -1", &|p| {
        p.target = Target::Fixed { target_ms: -1.0 }
    });
    check("seconds_max is 0", &|p| p.seconds_max = Some(0.0));
    check("failures.share is 2", &|p| p.failures.share = 2.0);
    check("data.classes is 1", &|p| p.data.classes.truncate(1));
    check("nonet is no network of the zoo", &|p| {
        p.references = vec!["nonet".into()]
    });
    check("search space test: line 1", &|p| {
        p.space.text = "stem_k{3".into()
    });
    check("unknown algorithm", &|p| {
        p.controller.algorithm = "wizard".into()
    });
    check("recipe: ", &|p| p.full.epochs = -1.0);
    check("measuring plan: runs", &|p| p.measure_final.runs = 1);
    assert!(plan().check().is_ok());
}

#[test]
fn a_plan_survives_its_event() {
    let bench = Bench::new(&plan());
    assert_eq!(crate::view::plan(&bench.study()).unwrap(), plan());
    let Event::Started { seed, .. } = &bench.store.events()[0].event else {
        panic!()
    };
    assert_eq!(*seed, plan().seed);
    // The fold reads these two keys itself.
    assert_eq!(bench.study().budget(), Some(40));
    let mut done = bench;
    done.complete();
    assert!(done.study().objective().is_some());
}

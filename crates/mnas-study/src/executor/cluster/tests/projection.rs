//! What a search of the paper's size would do to a cluster and to the controller.

use std::process::Command;

use mnas_net::Stream;

use super::super::simulation::{Faults, RunEnd, Scene, World};
use super::{small_plan, study};
use crate::executor::Attempt;
use crate::plan::Plan;

/// About 52 min a training, which is 4.5 days of 64 accelerators over 8,000 models
/// (MnasNet, 2019, section 5), by a factor of two up or down; 20 s a measurement.
fn paper_like(attempt: &Attempt, draws: &mut Stream) -> u64 {
    if attempt.id.0.ends_with("train") {
        let factor = 2f64.powf(2.0 * draws.uniform() - 1.0);
        return (52.0 * 60e3 * factor) as u64;
    }
    20_000
}

fn large_plan(trials: u64, batch: u32, staleness: u32) -> Plan {
    let mut plan = small_plan();
    plan.controller.algorithm = "random".into();
    // More networks than are proposed, so that few are duplicates.
    plan.space.text = "stem_k3_s2_c8\n\
        {cn,ds,ir_e3}_r{1,2,3}_k{3,5}_s2_c{8,16,24}_se{0,0.25}\n\
        {cn,ds,ir_e3}_r{1,2,3}_k{3,5}_s1_c{8,16,24}_se{0,0.25}\n\
        {cn,ds,ir_e3}_r{1,2,3}_k{3,5}_s2_c{8,16,24}_se{0,0.25}\nhead_c16\n"
        .into();
    plan.target = crate::plan::Target::Fixed { target_ms: 1e3 };
    (plan.trials, plan.batch, plan.staleness) = (trials, batch, staleness);
    plan
}

/// Share of the workers' time that went into attempts, hours in all, and most jobs at a time.
fn utilisation(plan: &Plan, workers: usize, seed: u64, faults: Faults) -> (f64, f64, usize) {
    let world = World::new(seed, workers, faults, paper_like);
    let mut scene = Scene::new(plan, world, workers);
    let RunEnd::Returned(Ok(summary)) = scene.run() else {
        panic!("the study did not end")
    };
    assert!(summary.ended && study(&scene).trials().len() as u64 == plan.trials);
    let world = scene.shared.world();
    let hours = world.now_ms as f64 / 3.6e6;
    let share = world.busy_ms as f64 / (world.now_ms as f64 * workers as f64);
    (share, hours, world.jobs_most)
}

#[test]
fn batches_that_overlap_keep_a_thousand_workers_busy() {
    let mut shares = vec![];
    for (batch, staleness) in [(1000, 0), (1000, 1), (500, 3)] {
        let plan = large_plan(8_000, batch, staleness);
        // Even seeds keep measuring apart by themselves, as a farm of phones does.
        let (share, hours, _) = utilisation(&plan, 1_000, 0, Faults::none());
        println!(
            "8,000 trials on 1,000 workers, batches of {batch}, staleness {staleness}: \
             {:.1} % busy, {hours:.1} h",
            share * 100.0
        );
        shares.push(share);
    }
    assert!(
        shares[1] > shares[0] + 0.05 && shares[2] > shares[0] + 0.05,
        "{shares:?}"
    );
    assert!(shares[1] > 0.75, "{shares:?}");
}

/// Set in the process that is measured.
const CHILD: &str = "MNAS_TEST_MEMORY_CHILD";

/// Most memory of a controller with 10,000 trials and 1,000 jobs in flight, in a process of its
/// own, so that other tests don't count.
#[test]
fn a_controller_of_ten_thousand_trials_is_small() {
    if std::env::var_os(CHILD).is_some() {
        let plan = large_plan(10_000, 1_000, 1);
        let (_, _, jobs_most) = utilisation(&plan, 1_000, 0, Faults::none());
        assert_eq!(jobs_most, 1_000);
        return;
    }
    if !std::path::Path::new("/proc/self/status").exists() {
        println!("skipped: a_controller_of_ten_thousand_trials_is_small (needs /proc)");
        return;
    }
    let name = "executor::cluster::tests::projection::a_controller_of_ten_thousand_trials_is_small";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most_kib = 0u64;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse().ok());
        most_kib = most_kib.max(kib.unwrap_or(0));
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    assert!(child.wait().unwrap().success());
    println!(
        "10,000 trials, 1,000 jobs in flight: {} MiB at most",
        most_kib / 1024
    );
    assert!((1..200 * 1024).contains(&most_kib), "{most_kib} KiB");
}

//! Worker processes and whole studies in them. This program is its own worker: with a role as its
//! first argument it plays it, otherwise it runs its tests, as the standard harness would.

#[path = "processes/durability.rs"]
mod durability;
#[path = "processes/harness.rs"]
mod harness;
#[path = "processes/scripted.rs"]
mod scripted;
#[path = "processes/study.rs"]
mod study;
#[path = "processes/workers.rs"]
mod workers;

use std::process::ExitCode;

use harness::test;

const TESTS: &[harness::Test] = &[
    test!(workers::a_worker_is_reused),
    test!(workers::a_panic_is_a_crash_and_gets_a_fresh_worker),
    test!(workers::deaths_are_told_apart),
    test!(workers::a_late_job_is_ended),
    test!(workers::a_cancelled_job_is_ended),
    test!(workers::workers_run_side_by_side),
    test!(workers::a_worker_ends_with_its_input),
    test!(workers::what_is_no_worker_is_refused),
    test!(durability::what_was_acknowledged_outlives_a_kill),
    test!(study::a_killed_search_leaves_no_worker_and_goes_on),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("scripted-worker") => scripted::worker(),
        Some("old-worker") => scripted::old_worker(),
        Some("worker") => mnas_study::worker_main(mnas_deploy::DEVICES),
        Some("append") => durability::append(&args[1]),
        Some("search") => study::search(&args[1], &args[2]),
        _ => harness::run(TESTS, &args),
    }
}

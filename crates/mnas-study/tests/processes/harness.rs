//! What `cargo test` and `cargo nextest` expect of a test program.

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
pub(crate) struct Test {
    pub name: &'static str,
    pub run: fn(),
}

macro_rules! test {
    ($($path:tt)+) => {
        $crate::harness::Test { name: stringify!($($path)+), run: $($path)+ }
    };
}
pub(crate) use test;

/// Lists or runs the tests that the arguments choose.
pub(crate) fn run(tests: &[Test], args: &[String]) -> ExitCode {
    let flag = |name: &str| args.iter().any(|a| a == name);
    let mut skipped: Vec<&str> = vec![];
    let mut filters: Vec<&str> = vec![];
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--skip" => skipped.extend(rest.next().map(String::as_str)),
            "--format" | "--test-threads" | "--color" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter),
        }
    }
    let matches = |name: &str, filter: &str| match flag("--exact") {
        true => name == filter,
        false => name.contains(filter),
    };
    let chosen = tests.iter().filter(|t| {
        let wanted = filters.is_empty() || filters.iter().any(|f| matches(t.name, f));
        wanted && !skipped.iter().any(|s| matches(t.name, s))
    });
    // None is ever ignored.
    let chosen: Vec<&Test> = if flag("--ignored") {
        vec![]
    } else {
        chosen.collect()
    };
    if flag("--list") {
        chosen.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for test in &chosen {
        let passed = catch_unwind(test.run).is_ok();
        println!(
            "test {} ... {}",
            test.name,
            if passed { "ok" } else { "FAILED" }
        );
        failed += usize::from(!passed);
    }
    println!(
        "\ntest result: {} passed; {failed} failed",
        chosen.len() - failed
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! Every algorithm passes the suite for search algorithms.

use std::collections::BTreeMap;

use mnas_search::{ALGORITHMS, ControllerSpec, Space};
use mnas_testkit::controller;

fn check(algorithm: &str) {
    let spec = ControllerSpec {
        algorithm: algorithm.into(),
        settings: BTreeMap::new(),
    };
    let space = Space::builtin("mnasnet").expect("a built-in space");
    controller::check(&spec, &space);
}

#[test]
fn every_algorithm_conforms() {
    assert!(ALGORITHMS.len() >= 4);
    for algorithm in ALGORITHMS {
        check(algorithm.name);
    }
}

//! Every device that exists here keeps the contract of devices.

use std::path::PathBuf;

use mnas_deploy::{DEVICES, MeasurePlan, open};
use mnas_testkit::device::{check_device, network, weights};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

#[test]
fn devices_of_this_machine() {
    let found: Vec<_> = DEVICES.iter().flat_map(|kind| kind.probe()).collect();
    let names: Vec<&str> = found.iter().map(|d| &*d.name).collect();
    if cfg!(feature = "rten") {
        assert!(names.contains(&"host:rten"), "{names:?}");
    }
    for engine in ["host:litert", "host:ort"] {
        if !names.contains(&engine) {
            println!("skipped: {engine}: {}", open(engine).err().unwrap());
        }
    }
    for info in &found {
        let mut device = open(&info.name).unwrap();
        assert_eq!(device.info(), info);
        check_device(&mut *device);
    }
}

#[test]
fn predictors() {
    for scheme in ["table", "linear"] {
        let name = format!(
            "{scheme}:{}",
            data(&format!("example-{scheme}.toml")).display()
        );
        let mut device = open(&name).unwrap();
        assert_eq!(device.info().name, name);
        check_device(&mut *device);
    }
}

#[cfg(unix)]
#[test]
fn a_program() {
    let name = format!("command:{}", data("meter.sh").display());
    let mut device = open(&name).unwrap();
    check_device(&mut *device);
}

/// Samples of a fast network are of several runs, and the plan's count is kept exactly.
#[cfg(feature = "rten")]
#[test]
fn fast_networks_are_repeated_within_a_sample() {
    let graph = network(8, 8);
    let weights = weights(&graph);
    let candidate = mnas_deploy::Candidate {
        name: "tiny",
        spec: "",
        graph: &graph,
        weights: &weights,
    };
    let mut device = open("host:rten").unwrap();
    let plan = MeasurePlan {
        seconds_max: 20.0,
        ..MeasurePlan::search()
    };
    let samples = device
        .measure(&[candidate], &plan)
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(samples.times_ms.len(), plan.runs);
    let sample_ms = samples.median_ms() * f64::from(samples.runs_per_sample);
    assert!(samples.runs_per_sample > 1, "{samples:?}");
    assert!(sample_ms > 0.1, "{sample_ms} ms per sample");
}

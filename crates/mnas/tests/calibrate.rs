//! `mnas device calibrate` by the built binary: a good predictor, one that isn't, and wrong requests.

#![cfg(unix)]

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::os::unix::fs::PermissionsExt;

use common::{json, mnas};

/// Answers each request with a time of its own that has nothing to do with the network.
const CHANCE: &str = r#"#!/bin/sh
while read -r line; do
    case $line in
    *'"request":"hello"'*)
        printf '{"protocol":1,"device":"dice","engine":"dice 1","format":"onnx"}\n' ;;
    *)
        id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
        one=$((1 + id * 7919 % 97))
        times=$one
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do times="$times,$one"; done
        printf '{"id":%s,"times_ms":[%s]}\n' "$id" "$times" ;;
    esac
done
"#;

fn arguments<'a>(device: &'a str, out: &'a str) -> Vec<&'a str> {
    let fixed = "device calibrate --space mnasnet-small --networks 12 --held-out 12 --parts 4";
    let mut arguments: Vec<&str> = fixed.split(' ').collect();
    arguments.extend(["--device", device, "--out", out]);
    arguments
}

/// The program's times are the model file's size, which is all but linear in the parameters.
#[test]
fn a_device_that_adds_up_gets_a_predictor_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let meter = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mnas-deploy/tests/data/meter.sh"
    );
    let device = format!("command:{meter}");
    let answer = json(folder.path(), &arguments(&device, "size.toml"));
    assert_eq!(answer["good"], true);
    assert!(answer["held_out"]["mape"].as_f64().unwrap() < 0.03);
    let written = std::fs::read_to_string(folder.path().join("size.toml")).unwrap();
    assert!(written.starts_with("# mnas ") && !written.contains("unfit"));
    let chart = std::fs::read_to_string(folder.path().join("size.svg")).unwrap();
    assert!(chart.starts_with("<svg"));
    let net = [
        "measure",
        "mnasnet-a1-small",
        "--image-size",
        "32",
        "--device",
        "linear:size.toml",
    ];
    let predicted = json(folder.path(), &net);
    assert_eq!(predicted["networks"][0]["predicted"], true);
    assert!(predicted["networks"][0]["stated_error"].as_f64().is_some());
}

#[test]
fn a_device_without_a_law_is_refused_and_its_file_marked() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("dice.sh");
    std::fs::write(&program, CHANCE).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let device = format!("command:{}", program.display());
    let refused = mnas(folder.path(), &arguments(&device, "dice.toml"));
    assert_eq!(refused.status.code(), Some(4));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("not a good predictor") && told.contains("mean error"),
        "{told}"
    );
    let opened = mnas(
        folder.path(),
        &[
            "measure",
            "mnasnet-a1-small",
            "--device",
            "linear:dice.toml",
        ],
    );
    assert_eq!(opened.status.code(), Some(4));
    assert!(
        String::from_utf8(opened.stderr)
            .unwrap()
            .contains("judged unfit")
    );
}

#[test]
fn requests_that_make_no_sense_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], expected: &str| {
        let out = mnas(folder.path(), arguments);
        let told = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    };
    check(&arguments("pixel1", "x.toml"), "pixel1 predicts latencies");
    let mut few = arguments("host:rten", "x.toml");
    for argument in few.iter_mut().filter(|a| **a == "12") {
        *argument = "3";
    }
    check(&few, "at least 10 of each");
    assert!(!folder.path().join("x.toml").exists());
}

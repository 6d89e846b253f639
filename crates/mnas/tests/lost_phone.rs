//! A study whose phone is unplugged in the middle: what was being measured is tried again and then
//! left unobserved, and the study goes on when the phone is back.

#![cfg(unix)]

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{command, json, study};
use mnas_testkit::adbd::{Adbd, program};
use serde_json::Value;

/// An agent that gives every network a millisecond, except that it hangs on trial 1 while the file
/// `healed` isn't there; it touches `seen` then.
fn agent(folder: &Path) -> String {
    format!(
        r#"#!/bin/sh
while read -r line; do
    case $line in
    *'"request":"hello"'*) printf '{{"protocol":1,"device":"d","engine":"e","format":"onnx"}}\n' ; continue ;;
    *'"name":"trial 1"'*) if [ ! -e '{0}/healed' ]; then touch '{0}/seen'; exec cat >/dev/null; fi ;;
    esac
    field() {{ printf '%s' "$line" | sed "s/.*\"$1\":\"\{{0,1\}}\([^,\"}}]*\).*/\1/"; }}
    times=1
    runs=$(field runs)
    while [ "$runs" -gt 1 ]; do times="$times,1"; runs=$((runs - 1)); done
    printf '{{"id":%s,"model_sha256":"%s","times_ms":[%s]}}\n' "$(field id)" "$(field model_sha256)" "$times"
done
"#,
        folder.display()
    )
}

fn states(folder: &Path) -> Vec<String> {
    let out = command(folder, &["report", "s", "--json"])
        .output()
        .unwrap();
    let view: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    let trials = view["trials"].as_array().cloned().unwrap_or_default();
    trials
        .iter()
        .map(|t| t["state"].as_str().unwrap_or_default().to_string())
        .collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{what} never came"
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_study_survives_its_phone() {
    if Command::new("adb").arg("version").output().is_err() {
        println!("skipped: adb isn't installed (Debian's package adb)");
        return;
    }
    let (_kept, folder) = study();
    let root = folder.join("phone");
    std::fs::create_dir_all(&root).unwrap();
    let phone = Adbd::start(&root, "Stand In 1");
    program(&folder.join("mnas-agent"), &agent(&folder));
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let adb = |args: &[&str]| {
        let mut adb = Command::new("adb");
        adb.args(args)
            .env("ANDROID_ADB_SERVER_PORT", port.to_string())
            .env("HOME", &folder);
        assert!(adb.output().unwrap().status.success(), "adb {args:?}");
    };
    adb(&["connect", &phone.serial()]);
    let device = format!("adb:{}", phone.serial());
    let mut search = command(
        &folder,
        &["search", "study.toml", "--device", &device, "--json"],
    )
    .env("ANDROID_ADB_SERVER_PORT", port.to_string())
    .env("HOME", &folder)
    .env("MNAS_AGENT", folder.join("mnas-agent"))
    .env("MNAS_DEVICE_WAIT_S", "0")
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    until("trial 1", || folder.join("seen").exists());
    phone.unplug();
    until("its loss", || states(&folder).iter().any(|s| s == "lost"));
    std::fs::write(folder.join("healed"), "").unwrap();
    phone.plug();
    let status = search.wait().unwrap();
    adb(&["kill-server"]);
    assert!(status.success(), "{status}");
    let view = json(&folder, &["report", "s"]);
    let trials = view["trials"].as_array().unwrap();
    let of = |state: &str| {
        trials
            .iter()
            .filter(|t| t["state"] == state)
            .collect::<Vec<_>>()
    };
    let (done, lost) = (of("done"), of("lost"));
    assert_eq!(trials.len(), 6);
    assert!(!lost.is_empty() && !done.is_empty(), "{trials:?}");
    for trial in &lost {
        // One that repeats a lost one takes its outcome over.
        let retried = trial["attempt"].as_u64() > Some(1) || !trial["duplicate_of"].is_null();
        assert!(trial["reward"].is_null() && retried, "{trial}");
    }
    assert!(done.iter().all(|t| t["latency_ms"] == 1.0), "{done:?}");
}

//! The built binary, end to end: answers, exit codes, and a whole small study.

mod common;

use std::path::Path;

use common::{json, mnas, study};
use serde_json::Value;

/// Exit code and standard error of a command that fails.
fn failure(folder: &Path, args: &[&str]) -> (i32, String) {
    let out = mnas(folder, args);
    (
        out.status.code().unwrap(),
        String::from_utf8(out.stderr).unwrap(),
    )
}

#[test]
fn cost_is_golden() {
    let folder = tempfile::tempdir().unwrap();
    let cost = json(folder.path(), &["cost", "mnasnet-a1"]);
    assert_eq!(
        (cost["params"].as_u64(), cost["macs"].as_u64()),
        (Some(3_887_038), Some(311_579_072))
    );
    let zoo = json(folder.path(), &["zoo"]);
    assert!(
        zoo.as_array()
            .unwrap()
            .iter()
            .any(|e| e["name"] == "mnasnet-a2" && e["spec"].is_null())
    );
    let space = json(
        folder.path(),
        &["space", "mnasnet-small", "--samples", "20"],
    );
    assert!(space["size_log10"].as_f64().unwrap() > 15.0);
}

#[test]
fn mistakes_have_one_message_and_the_documented_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "trials = 3\ntrails = 4\n").unwrap();
    std::fs::write(
        folder.path().join("bad.space"),
        "stem_k3_s1_c8\nir_r1_k3_s1_zz3\nhead_c64\n",
    )
    .unwrap();
    std::fs::create_dir_all(folder.path().join("pets/cat")).unwrap();
    std::fs::create_dir_all(folder.path().join("pets/dog")).unwrap();
    for (args, code, words) in [
        (&["cost", "mnasnet-z9"][..], 2, "no network is called"),
        (&["cost", "stem_k3_s2_c8; qq_r1; head_c8"], 2, "line"),
        (&["search", "bad.toml"], 2, "line 2"),
        (&["search", "--space", "bad.space"], 2, "line 2"),
        (&["search", "--trials", "0"], 2, "must be more than 0"),
        (&["proxy-check", "--networks", "2"], 2, "at least 3"),
        (&["search", "--image-size", "4"], 2, "8 to 1024"),
        (&["search", "--data", "nowhere"], 3, "nowhere"),
        (&["search", "--data", "pets"], 3, "pets"),
        (
            &["measure", "mnasnet-a1", "--device", "toaster"],
            4,
            "no device is called",
        ),
        (&["report", "nowhere"], 5, "nowhere"),
        (&["resume", "nowhere"], 5, "nowhere"),
        (&["frobnicate"], 2, "frobnicate"),
    ] {
        let (got, stderr) = failure(folder.path(), args);
        assert_eq!(got, code, "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
    assert!(
        !folder.path().join("mnas-study").exists(),
        "a refused search leaves nothing"
    );
}

#[test]
fn a_study_from_search_to_prediction() {
    let (_kept, folder) = study();
    let view = json(&folder, &["search", "study.toml"]);
    let trials = view["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 6);
    for key in [
        "trial",
        "attempt",
        "state",
        "spec",
        "accuracy",
        "latency_ms",
        "reward",
    ] {
        assert!(trials[0].get(key).is_some(), "trials have {key}");
    }
    assert!(view["front"].is_array() && view["best"].is_object());
    assert!(folder.join("s/study.db").is_file() && folder.join("s/report.html").is_file());

    // The same seed proposes the same networks, whatever the number of workers.
    let again = json(
        &folder,
        &["search", "study.toml", "--dir", "s2", "--workers", "1"],
    );
    let specs = |view: &Value| -> Vec<String> {
        view["trials"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["spec"].to_string())
            .collect()
    };
    assert_eq!(specs(&view), specs(&again));

    // A finished study is extended.
    let more = json(&folder, &["resume", "s2", "--trials", "9"]);
    assert_eq!(specs(&more)[..6], specs(&view)[..]);
    assert_eq!(specs(&more).len(), 9);

    let tested = json(&folder, &["eval", "s:best", "--data", "fashion-mnist-10k"]);
    assert_eq!(tested["images"], 2000);
    json(
        &folder,
        &["export", "s:best", "--format", "onnx", "--out", "best.onnx"],
    );
    let image = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mnas-train/fixtures/gray.jpg"
    );
    let ours = json(&folder, &["predict", "s:best", image]);
    let file = json(&folder, &["predict", "best.onnx", image]);
    let top = |v: &Value| v["predictions"][0]["top"][0].clone();
    let probability = |v: &Value| top(v)["probability"].as_f64().unwrap();
    assert_eq!(top(&ours)["class"], top(&file)["class"]);
    assert!((probability(&ours) - probability(&file)).abs() < 1e-4);
}

#[test]
fn a_proxy_check_trains_both_ways_and_only_once() {
    let (_kept, folder) = study();
    let args = ["proxy-check", "study.toml", "--networks", "3"];
    let check = json(&folder, &args);
    let tau = check["tau"].as_f64().unwrap();
    let interval = |i: usize| check["tau_interval"][i].as_f64().unwrap();
    assert!(
        (-1.0..=1.0).contains(&tau) && interval(0) <= interval(1),
        "{check}"
    );
    assert_eq!(check["networks"].as_array().unwrap().len(), 3);
    assert!(
        check["proxy_noise"].as_f64() >= Some(0.0) && check["full_noise"].as_f64() >= Some(0.0)
    );
    assert!(!check["advice"][0].as_str().unwrap().is_empty());
    // Everything is in the folder: the same command trains nothing, so that even seconds are equal.
    assert_eq!(json(&folder, &args), check);
    let (code, stderr) = failure(&folder, &["proxy-check", "study.toml", "--networks", "4"]);
    assert!(code == 5 && stderr.contains("another"), "{code} {stderr}");
    let text = String::from_utf8(mnas(&folder, &args).stdout).unwrap();
    assert!(
        text.contains("Kendall tau") && text.contains("ds_r"),
        "{text}"
    );
}

#[test]
fn a_network_of_the_zoo_is_a_space_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let space = json(
        folder.path(),
        &["space", "mnasnet-a1-small", "--samples", "3"],
    );
    assert_eq!(space["size_log10"].as_f64(), Some(0.0));
    assert!(space["decisions"].as_array().unwrap().is_empty());
}

#[test]
fn a_network_is_trained_alone() {
    let folder = tempfile::tempdir().unwrap();
    let net = "stem_k3_s2_c8; ds_r1_k3_s2_c16; head_c32";
    for recipe in ["muon", "proxy"] {
        let args = [
            "train",
            net,
            "--data",
            "fashion-mnist-10k",
            "--recipe",
            recipe,
            "--epochs",
            "2",
        ];
        let trained = json(folder.path(), &args);
        assert!(
            trained["validation_accuracy"].as_f64().unwrap() > 0.2,
            "{recipe}: {trained}"
        );
    }
    let tested = json(
        folder.path(),
        &["eval", "trained.safetensors", "--data", "fashion-mnist-10k"],
    );
    assert!(tested["top5"].as_f64() >= tested["top1"].as_f64());
    let (code, stderr) = failure(folder.path(), &["eval", net, "--data", "fashion-mnist-10k"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_chosen_network_is_trained_on_all_images() {
    let folder = tempfile::tempdir().unwrap();
    let train = |more: &[&str]| {
        let net = "stem_k3_s2_c8; head_c16";
        let args = [
            "train",
            net,
            "--data",
            "fashion-mnist-10k",
            "--epochs",
            "0.1",
        ];
        json(folder.path(), &[&args, more].concat())
    };
    let held_out = train(&["--mirror", "true", "--shift", "2"]);
    assert!(held_out["validation_accuracy"].is_f64(), "{held_out}");
    let all = train(&["--with-validation"]);
    assert!(all["validation_accuracy"].is_null(), "{all}");
    assert!(
        all["train_images"].as_u64() > held_out["train_images"].as_u64(),
        "{held_out}\n{all}"
    );
}

#[test]
fn settings_of_a_recipe_are_replaced_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let base = [
        "train",
        "stem_k3_s2_c8; head_c16",
        "--data",
        "fashion-mnist-10k",
        "--epochs",
        "0.1",
    ];
    let curve = |more: &[&str]| json(folder.path(), &[&base, more].concat())["curve"].to_string();
    let settings = [
        ["--batch", "64"],
        ["--learning-rate", "0.1"],
        ["--weight-decay", "0.01"],
        ["--cutout", "8"],
    ];
    let mut curves = vec![curve(&[])];
    curves.extend(settings.iter().map(|s| curve(s)));
    for (i, a) in curves.iter().enumerate() {
        assert!(curves[i + 1..].iter().all(|b| a != b), "{curves:?}");
    }
    for (setting, name) in [
        (["--batch", "0"], "batch"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--weight-decay", "2"], "weight_decay"),
    ] {
        let (code, stderr) = failure(folder.path(), &[&base[..], &setting].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(&format!("recipe: {name} = ")), "{stderr}");
    }
}

//! A study in the programs that people open it with: pandas, Optuna and its dashboard, TensorBoard.
//! `MNAS_INTERCHANGE_PYTHON` is a Python that has them (`cargo xtask test` makes one).

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::path::Path;
use std::process::Command;

use common::{json, mnas, study};

/// Runs a part of `interchange/readers.py` on a folder with the study `s`, or tells that it is
/// skipped.
fn read(part: &str, folder: &Path) -> bool {
    let Some(python) = std::env::var_os("MNAS_INTERCHANGE_PYTHON") else {
        println!("skipped: {part} (MNAS_INTERCHANGE_PYTHON isn't set)");
        return false;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interchange/readers.py");
    let out = Command::new(python)
        .args([script, part])
        .current_dir(folder)
        .output()
        .unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{part}: {told}");
    assert!(told.contains(&format!("{part}: good")), "{part}: {told}");
    true
}

#[test]
fn other_programs_open_a_study() {
    let (_kept, folder) = study();
    let view = json(&folder, &["search", "study.toml"]);
    let text = serde_json::to_string(&view).unwrap();
    std::fs::write(folder.join("view.json"), text).unwrap();
    for (to, file) in [
        ("csv", "s/trials.csv"),
        ("jsonl", "s/trials.jsonl"),
        ("parquet", "s/trials.parquet"),
        ("optuna", "s/optuna.db"),
        ("mine.db", "mine.db"),
    ] {
        let done = json(&folder, &["export-study", "s", "--to", to]);
        assert_eq!(done["trials"], 6);
        assert_eq!(done["to"], file);
        assert!(folder.join(file).is_file(), "{file}");
    }
    // A table is written anew; an Optuna file only on request.
    json(&folder, &["export-study", "s", "--to", "csv"]);
    let refused = mnas(&folder, &["export-study", "s", "--to", "mine.db"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--replace"));
    json(
        &folder,
        &["export-study", "s", "--to", "mine.db", "--replace"],
    );

    let parts = ["pandas", "optuna", "optuna_dashboard", "tensorboard"];
    let read: Vec<bool> = parts.iter().map(|part| read(part, &folder)).collect();

    // Resumed, the study goes on in its event files.
    json(&folder, &["resume", "s", "--trials", "9"]);
    let text = json(&folder, &["report", "s"]).to_string();
    std::fs::write(folder.join("view.json"), text).unwrap();
    if read.iter().all(|r| *r) {
        assert!(self::read("tensorboard", &folder));
    }
}

#[test]
fn destinations_that_make_no_sense_are_refused() {
    let (_kept, folder) = study();
    let search = ["search", "study.toml", "--trials", "3"];
    json(&folder, &search);
    for (args, code, words) in [
        (
            &["export-study", "s", "--to", "xlsx"][..],
            2,
            "names no format",
        ),
        (&["export-study", "s"], 2, "--to"),
        (&["export-study", "nowhere", "--to", "csv"], 5, "nowhere"),
        (
            &["export-study", "s", "--to", "no/folder/t.db"],
            5,
            "no/folder",
        ),
        (
            &["export-study", "s", "--to", "mlflow:https://x.org"],
            2,
            "https",
        ),
        (
            &["export-study", "s", "--to", "mlflow:http://127.0.0.1:9"],
            5,
            "server running",
        ),
        (
            &["export-study", "s", "--to", "no/folder/t.csv"],
            5,
            "no/folder",
        ),
        (&["compare", "s"], 2, "--published FILE"),
        (&["compare", "s", "nowhere"], 5, "nowhere"),
        (
            &["compare", "s", "s", "--published", "nowhere.toml"],
            2,
            "nowhere.toml",
        ),
        (
            &["compare", "s", "s", "--published", "study.toml"],
            2,
            "unknown field",
        ),
    ] {
        let out = mnas(&folder, args);
        let told = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}

#[test]
fn studies_are_compared_and_reported_in_every_form() {
    let (_kept, folder) = study();
    json(&folder, &["search", "study.toml", "--trials", "3"]);
    let other = [
        "search",
        "study.toml",
        "--trials",
        "3",
        "--seed",
        "1",
        "--dir",
        "t",
    ];
    json(&folder, &other);
    let published = "title = \"A paper\"\ncarries_over = \"The order.\"\n\
        [[row]]\nname = \"Net\"\naccuracy = 0.75\nlatency_ms = 78.0\nsource = \"Table 1\"\n";
    std::fs::write(folder.join("paper.toml"), published).unwrap();
    let args = [
        "compare",
        "s",
        "t",
        "--html",
        "c.html",
        "--published",
        "paper.toml",
    ];
    let compared = json(&folder, &args);
    assert_eq!(compared["groups"].as_array().unwrap().len(), 1);
    assert_eq!(compared["differences"][0]["setting"], "seed");
    assert_eq!(compared["published"]["row"][0]["name"], "Net");
    let page = std::fs::read_to_string(folder.join("c.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("A paper"));
    let alone = json(&folder, &["compare", "s", "--published", "paper.toml"]);
    assert_eq!(alone["studies"].as_array().unwrap().len(), 1);
    assert_eq!(alone["published"]["row"][0]["name"], "Net");
    let text = mnas(&folder, &["compare", "s", "t"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("hypervol."));

    json(
        &folder,
        &["report", "s", "--markdown", "--figures", "figures"],
    );
    let markdown = std::fs::read_to_string(folder.join("s/report.md")).unwrap();
    assert!(markdown.contains("| Network |"), "{markdown}");
    let drawn: Vec<String> = std::fs::read_dir(folder.join("figures"))
        .unwrap()
        .map(|f| f.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let ending = |e: &str| drawn.iter().filter(|f| f.ends_with(e)).count();
    assert!(ending(".svg") >= 3, "{drawn:?}");
    if cfg!(feature = "png") && ending(".png") > 0 {
        assert_eq!(ending(".png"), ending(".svg"), "{drawn:?}");
    } else {
        println!("skipped: PNG figures (mnas without the feature png, or a machine without fonts)");
    }
}

//! Agreement with the engines that deploy: `onnx.checker`, ONNX Runtime and LiteRT, by way of
//! Python (`tests/oracle/check.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use mnas_deploy::{Format, ModelMeta, export, interpret};
use serde_json::{Value, json};

use super::networks::{Case, blocks, random_graph, random_network, shared_inputs, single_ops, zoo};

const TOLERANCE: f64 = 1e-4;

#[test]
fn oracle() {
    let Some(python) = std::env::var_os("MNAS_ORACLE_PYTHON") else {
        println!("skipped: export oracle (no MNAS_ORACLE_PYTHON)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut cases = single_ops();
    cases.extend(shared_inputs());
    cases.extend(blocks());
    cases.extend((0..20).map(random_network));
    cases.extend((0..60).map(random_graph));
    cases.extend(zoo());
    let index: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(i, case)| write(folder.path(), i, case))
        .collect();
    fs::write(folder.path().join("cases.json"), json!(index).to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/check.py");
    let run = Command::new(python).arg(script).arg(folder.path()).output();
    let run = run.unwrap();
    let (lines, errors) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{lines}\n{errors}");

    // A line per case and engine; a case that was not run must not pass.
    let mut worst: BTreeMap<String, (f64, String)> = BTreeMap::new();
    let mut count = 0;
    for line in lines.lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        let name = &cases[result["case"].as_u64().unwrap() as usize].name;
        let engine = result["engine"].as_str().unwrap();
        // NaN is written as null.
        let difference = result["difference"].as_f64().unwrap_or(f64::NAN);
        assert!(difference <= TOLERANCE, "{engine}, {name}: {difference:e}");
        let entry = worst.entry(engine.into()).or_default();
        if difference > entry.0 {
            *entry = (difference, name.clone());
        }
        count += 1;
    }
    assert_eq!(count, 2 * cases.len(), "{errors}");
    for (engine, (difference, name)) in worst {
        println!("{engine}: largest relative difference {difference:e} ({name})");
    }
}

/// Writes a case's files; returns its entry in the index.
fn write(folder: &Path, i: usize, case: &Case) -> Value {
    let path = |extension: &str| folder.join(format!("{i}.{extension}"));
    let meta = ModelMeta {
        name: case.name.clone(),
        ..ModelMeta::default()
    };
    for format in Format::ALL {
        let file = export(&case.graph, &case.weights, format, &meta);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", case.name));
        fs::write(path(format.extension()), file.bytes).unwrap();
    }
    let expected = interpret(&case.graph, &case.weights, &case.input);
    let is_network = case.graph.nodes().len() > 20;
    let (low, high) = expected
        .iter()
        .fold((f32::MAX, f32::MIN), |(low, high), v| {
            (low.min(*v), high.max(*v))
        });
    assert!(
        !is_network || high - low > 1e-3 * high.abs().max(low.abs()),
        "{}: logits from {low} to {high} would hide differences",
        case.name
    );
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    fs::write(path("input"), bytes(&case.input)).unwrap();
    fs::write(path("expected"), bytes(&expected)).unwrap();
    let (x, y) = (case.graph.input_shape(), case.graph.output_shape());
    json!({ "name": case.name, "input": [x.h, x.w, x.c], "output": [y.h, y.w, y.c] })
}

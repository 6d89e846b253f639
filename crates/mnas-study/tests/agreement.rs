//! Invariant: all readers of a graph agree, on random networks of every built-in space and on the
//! zoo: the interpreter, the training engine in evaluation, ONNX Runtime and LiteRT; and the ONNX
//! checker passes all files.
//!
//! `MNAS_AGREEMENT_NETWORKS` is the number of networks per space (default 3; the full count is 60).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use mnas_deploy::{Format, ModelMeta, export, interpret};
use mnas_net::{Graph, NetSpec, Purpose, Shape, Weights, stream, zoo};
use mnas_search::Space;
use mnas_testkit::weights::random_weights;
use mnas_train::{Engine, Normalize, Optimizer, SessionSpec, Storage};
use serde_json::{Value, json};

/// Largest difference relative to the largest logit.
const TOLERANCE: f64 = 1e-4;
/// Classes that the networks tell apart.
const CLASSES: usize = 10;
/// Sides of the images, in turn: even at every stride, odd, and the published one.
const SIDES: [usize; 6] = [28, 32, 57, 64, 96, 224];
/// Cases whose files lie on the disk at a time.
const CHUNK: usize = 8;

struct Case {
    name: String,
    spec: NetSpec,
    side: usize,
}

fn cases() -> Vec<Case> {
    let count = std::env::var("MNAS_AGREEMENT_NETWORKS").ok();
    let count: usize = count.map_or(3, |n| n.parse().expect("a number of networks"));
    let mut cases = vec![];
    for name in Space::builtin_names() {
        let space = Space::builtin(name).unwrap();
        for i in 0..count {
            let tokens = space.sample(&mut stream(i as u64, 0, Purpose::Sample));
            cases.push(Case {
                name: format!("{name} {i}"),
                spec: space.decode(&tokens).unwrap(),
                side: SIDES[i % SIDES.len()],
            });
        }
    }
    let entries = zoo::entries().iter().filter(|e| e.text.is_some());
    cases.extend(entries.enumerate().map(|(i, entry)| Case {
        name: entry.name.into(),
        spec: zoo::find(entry.name).unwrap().spec,
        side: SIDES[i % 3],
    }));
    cases
}

#[test]
fn readers_agree_on_every_space_and_the_zoo() {
    let (cases, mut worst) = (cases(), BTreeMap::<String, (f64, String)>::new());
    let python = std::env::var_os("MNAS_ORACLE_PYTHON");
    if python.is_none() {
        println!("skipped: ONNX Runtime, LiteRT, ONNX checker (no MNAS_ORACLE_PYTHON)");
    }
    for chunk in cases.chunks(CHUNK) {
        let folder = tempfile::tempdir().unwrap();
        let mut found: Vec<(String, usize, f64)> = vec![];
        let mut index = vec![];
        for (i, case) in chunk.iter().enumerate() {
            let (engine, entry) = prepare(folder.path(), i, case);
            found.push(("training engine".into(), i, engine));
            index.push(entry);
        }
        if let Some(python) = &python {
            fs::write(folder.path().join("cases.json"), json!(index).to_string()).unwrap();
            let answers = oracle(Command::new(python), folder.path());
            assert_eq!(answers.len(), 2 * chunk.len(), "every case in both engines");
            found.extend(answers);
        }
        for (reader, i, difference) in found {
            let name = &chunk[i].name;
            assert!(
                difference <= TOLERANCE,
                "{reader}, {name}: {difference:e}\n{}",
                chunk[i].spec
            );
            let entry = worst.entry(reader).or_default();
            if difference >= entry.0 {
                *entry = (difference, name.clone());
            }
        }
    }
    println!("{} networks", cases.len());
    for (reader, (difference, name)) in worst {
        println!("{reader}: largest relative difference {difference:.1e} ({name})");
    }
}

/// Writes a case's files for the engines; gives the training engine's difference from the
/// interpreter, and the case's entry in the index.
fn prepare(folder: &Path, i: usize, case: &Case) -> (f64, Value) {
    let shape = Shape::new(case.side, case.side, 3);
    let graph = case.spec.graph(shape, CLASSES).unwrap();
    let random = &mut stream(case.name.bytes().map(u64::from).sum(), 1, Purpose::Sample);
    let weights = random_weights(&graph, random);
    let bytes: Vec<u8> = (0..shape.len()).map(|_| random.below(256) as u8).collect();
    let normalize = Normalize {
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
    };
    let image = normalize.apply(&bytes);
    let expected = interpret(&graph, &weights, &image);
    let engine = difference(&evaluated(&graph, &weights, &bytes, normalize), &expected);
    let meta = ModelMeta {
        name: case.name.clone(),
        ..ModelMeta::default()
    };
    let path = |extension: &str| folder.join(format!("{i}.{extension}"));
    for format in Format::ALL {
        let file = export(&graph, &weights, format, &meta).unwrap();
        fs::write(path(format.extension()), file.bytes).unwrap();
    }
    let raw = |v: &[f32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    fs::write(path("input"), raw(&image)).unwrap();
    fs::write(path("expected"), raw(&expected)).unwrap();
    let input = [shape.h, shape.w, shape.c];
    (
        engine,
        json!({ "name": case.name, "input": input, "output": [1, 1, CLASSES] }),
    )
}

/// The training engine's answer in evaluation.
fn evaluated(graph: &Graph, weights: &Weights, bytes: &[u8], normalize: Normalize) -> Vec<f32> {
    let spec = SessionSpec {
        batch: 1,
        threads: 1,
        normalize,
        optimizer: Optimizer::Sgd {
            momentum: 0.0,
            nesterov: false,
        },
        weight_decay: 0.0,
        label_smoothing: 0.0,
        bn_momentum: 0.9,
        ema_decay: None,
        storage: Storage::F32,
        seed: 0,
        trial: 0,
    };
    let mut session = mnas_train::cpu().compile(graph, &spec).unwrap();
    session.load(weights).unwrap();
    let mut logits = vec![];
    session.logits(bytes, &mut logits).unwrap();
    logits
}

/// Largest difference, relative to the largest expected value; not a number where a value isn't.
fn difference(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let worst = got
        .iter()
        .zip(expected)
        .fold(0.0, |m: f32, (a, b)| match (a - b).abs() {
            d if d.is_nan() || d > m => d,
            _ => m,
        });
    f64::from(worst / largest)
}

/// What `check.py` finds: reader, case, difference. It fails where the ONNX checker does.
fn oracle(mut python: Command, folder: &Path) -> Vec<(String, usize, f64)> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mnas-deploy/tests/oracle/check.py"
    );
    let run = python.arg(script).arg(folder).output().unwrap();
    let lines = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{lines}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let answer = |line: &str| {
        let v: Value = serde_json::from_str(line).unwrap();
        let reader = v["engine"].as_str().unwrap().to_string();
        // Not a number is written as null.
        let difference = v["difference"].as_f64().unwrap_or(f64::NAN);
        (reader, v["case"].as_u64().unwrap() as usize, difference)
    };
    lines.lines().map(answer).collect()
}

//! Predictors: figures worked out by hand, and tables that are wrong.

use std::fs;
use std::path::Path;

use mnas_deploy::{Candidate, MeasureError, MeasurePlan, PredictError, open};
use mnas_net::{Graph, GraphBuilder, Op, Shape};
use mnas_testkit::device::{network, weights};

fn predict(name: &str, graph: &Graph) -> Result<f64, MeasureError> {
    let weights = weights(graph);
    let candidate = Candidate {
        name: "n",
        spec: "",
        graph,
        weights: &weights,
    };
    let mut device = open(name).unwrap();
    let answer = device
        .measure(&[candidate], &MeasurePlan::search())
        .unwrap()
        .remove(0)?;
    assert!(answer.predicted && answer.times_ms.len() == 1);
    Ok(answer.times_ms[0])
}

fn example(scheme: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    format!(
        "{scheme}:{}",
        folder.join(format!("example-{scheme}.toml")).display()
    )
}

fn close(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() < 1e-12,
        "{got} instead of {expected}"
    );
}

#[test]
fn a_table_adds_its_layers() {
    let ms = predict(&example("table"), &network(32, 8)).unwrap();
    close(ms, 0.01 + 0.03 + 0.01 + 0.02 + 0.004 + 0.001);
}

#[test]
fn a_linear_model_weighs_its_features() {
    let ms = predict(&example("linear"), &network(32, 8)).unwrap();
    // 16x16 maps. Convolution: 3*3*3*8 MACs per pixel; pointwise: 8*16; depthwise bytes: two maps
    // of 8 channels, 72 weights and 8 biases; classifier: 16*10 weights and 10 biases; two ReLUs.
    let conv = 2.5e-7 * f64::from(27 * 8 * 256);
    let pointwise = 2.0e-7 * f64::from(8 * 16 * 256);
    let depthwise = 1.0e-6 * f64::from(4 * (2 * 8 * 256 + 72 + 8));
    let linear = 1.0e-6 * f64::from(170);
    close(
        ms,
        0.05 + conv + pointwise + depthwise + linear + 2.0 * 0.002,
    );
}

#[test]
fn the_stated_error_and_the_files_hash_are_carried() {
    let graph = network(32, 8);
    let weights = weights(&graph);
    let candidate = Candidate {
        name: "n",
        spec: "",
        graph: &graph,
        weights: &weights,
    };
    for (scheme, error) in [("table", 0.06), ("linear", 0.08)] {
        let mut device = open(&example(scheme)).unwrap();
        let answer = device
            .measure(&[candidate], &MeasurePlan::search())
            .unwrap()
            .remove(0);
        assert_eq!(answer.unwrap().stated_error, Some(error));
        assert!(device.info().predicted);
        let hash = device.info().library_hash.clone().unwrap();
        assert!(
            hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
            "{hash}"
        );
    }
}

#[test]
fn a_layer_that_the_table_lacks_is_named() {
    let error = predict(&example("table"), &network(32, 16)).unwrap_err();
    match error {
        MeasureError::Predict(PredictError::MissingLayer {
            key, kind, node, ..
        }) => {
            assert_eq!(key, "conv k3 s2 32x32x3 -> 16x16x16");
            assert_eq!((&*kind, &*node), ("conv", "stem.conv"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nodes_that_the_answer_does_not_need_cost_nothing() {
    let table = "kind = 'table'\ndevice = 'd'\nengine = 'e'\n[layers]\n'global_avg_pool 4x4x3 -> 1x1x3' = 1.0\n'add 1x1x3 + 1x1x3 -> 1x1x3' = 0.5\n";
    let mut b = GraphBuilder::new(Shape::new(4, 4, 3)).unwrap();
    let image = b.input();
    b.add(
        "dead",
        Op::MaxPool {
            kernel: 3,
            stride: 1,
        },
        &[image],
    )
    .unwrap();
    let pool = b.add("pool", Op::GlobalAvgPool, &[image]).unwrap();
    let sum = b.add("sum", Op::Add, &[pool, pool]).unwrap();
    let graph = b.finish(sum);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    fs::write(&path, table).unwrap();
    close(
        predict(&format!("table:{}", path.display()), &graph).unwrap(),
        1.5,
    );
}

#[test]
fn files_that_are_no_tables_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    let check = |scheme: &str, text: &str, expected: &str| {
        fs::write(&path, text).unwrap();
        let message = open(&format!("{scheme}:{}", path.display()))
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains(expected), "{text}\n{message}");
        assert!(message.contains("bad.toml"), "{message}");
    };
    let table = "kind = 'table'\ndevice = 'd'\nengine = 'e'\n";
    let linear = "kind = 'linear'\ndevice = 'd'\nengine = 'e'\nbias_ms = 0\n[coefficients]\n";
    check("table", "kind = ", "line 1, column");
    check("table", table, "missing field `layers`");
    check(
        "table",
        &format!("{table}speed = 1\n[layers]\n"),
        "unknown field `speed`",
    );
    check("table", linear, "unknown field");
    check(
        "linear",
        &linear.replace("'linear'", "'table'"),
        "kind is \"table\"; this device reads \"linear\"",
    );
    check(
        "table",
        &format!("{table}[layers]\n'x' = -1\n"),
        "x is -1; a number of milliseconds, 0 or more, is needed",
    );
    check(
        "table",
        &format!("{table}[layers]\n'x' = nan\n"),
        "x is NaN",
    );
    check(
        "table",
        &format!("{table}[layers]\n'x' = 1\n'x' = 2\n"),
        "duplicate key",
    );
    check(
        "table",
        &format!("{table}error = -0.1\n[layers]\n"),
        "error is -0.1",
    );
    check(
        "table",
        &format!("{table}overhead_ms = -1\n[layers]\n"),
        "overhead_ms is -1",
    );
    check(
        "table",
        &format!("{table}free = ['act']\n[layers]\n"),
        "no layer kind is called \"act\"",
    );
    check(
        "linear",
        &format!("{linear}'conv.flops' = 1\n"),
        "no feature is called \"conv.flops\"",
    );
    check(
        "linear",
        &format!("{linear}'macs' = 1\n"),
        "no feature is called \"macs\"",
    );
    check(
        "linear",
        &format!("{linear}'conv.macs' = inf\n"),
        "conv.macs is inf",
    );
}

#[test]
fn a_sum_that_is_no_latency_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("low.toml");
    let text = "kind = 'linear'\ndevice = 'd'\nengine = 'e'\nbias_ms = -5\n[coefficients]\n";
    fs::write(&path, text).unwrap();
    let error = predict(&format!("linear:{}", path.display()), &network(32, 8)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("predicts -5 ms, which is no latency"),
        "{error}"
    );
}

use std::io::Cursor;

use mnas_net::{NetSpec, Purpose, Shape, Weights, stream};

use super::*;
use crate::export::{Format, ModelFile, ModelMeta, export};

fn model() -> ModelFile {
    let graph = "stem_k3_s2_c8; ds_r1_k3_s2_c16; head_c32".parse::<NetSpec>();
    let graph = graph.unwrap().graph(Shape::new(32, 32, 3), 10).unwrap();
    let weights = Weights::init(&graph, &mut stream(1, 0, Purpose::Init));
    export(&graph, &weights, Format::Onnx, &ModelMeta::default()).unwrap()
}

fn request(id: u64, path: &Path, hash: &str) -> String {
    format!(
        r#"{{"request":"measure","id":{id},"name":"n","spec":"","model":"{}","model_sha256":"{hash}","format":"onnx","runs":10,"warmup":5,"seconds_max":20.0,"precision":"float"}}"#,
        path.display()
    ) + "\n"
}

fn answers(input: &str) -> Vec<serde_json::Value> {
    let mut output = vec![];
    serve_agent(Some(EngineId::Rten), Cursor::new(input), &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn requests_are_answered_in_order_and_mistakes_survived() {
    let folder = tempfile::tempdir().unwrap();
    let (path, broken) = (folder.path().join("m"), folder.path().join("b"));
    let bytes = model().bytes;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(&broken, b"no model").unwrap();
    let hash = sha256(&bytes);
    let input = [
        "{\"request\":\"hello\",\"protocol\":1}\n".into(),
        request(1, &path, &hash),
        "what?\n".into(),
        request(2, &path, &"0".repeat(64)),
        request(3, &folder.path().join("gone"), &"1".repeat(64)),
        request(4, &broken, &sha256(b"no model")),
        request(5, &path, &hash),
        request(6, &path, &hash).replace("20.0", "-1.0"),
        request(7, &path, &hash).replace("\"runs\"", "\"core\":99999,\"runs\""),
        "{\"request\":\"hello\"".into(),
    ];
    let got = answers(&input.concat());
    assert_eq!(got.len(), 9, "a line that was cut off is no request");
    assert_eq!(
        (&got[0]["protocol"], &got[0]["format"]),
        (&1.into(), &"onnx".into())
    );
    assert!(got[0]["board"]["cores"].is_array());
    for (answer, id) in [(&got[1], 1), (&got[6], 5)] {
        assert_eq!(answer["id"], id);
        assert_eq!(answer["times_ms"].as_array().unwrap().len(), 10, "{answer}");
        assert_eq!(answer["model_sha256"], hash.as_str());
        assert!(answer["conditions"].is_object());
    }
    for (answer, expected) in [
        (&got[2], "no request"),
        (&got[3], "it changed on the way"),
        (&got[4], "can't read the model"),
        (&got[5], "can't read the model"),
        (&got[7], "a positive number is needed"),
        (&got[8], "core 99999 is not open"),
    ] {
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(expected), "{error}");
        assert!(answer["times_ms"].is_null());
    }
}

#[test]
fn a_network_that_is_too_slow_says_how_slow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let bytes = model().bytes;
    std::fs::write(&path, &bytes).unwrap();
    let input = request(1, &path, &sha256(&bytes)).replace("20.0", "1e-7");
    let got = answers(&input);
    assert!(
        got[0]["too_slow"]["run_ms"].as_f64().unwrap() > 0.0,
        "{}",
        got[0]
    );
    assert!(got[0]["error"].is_string());
}

//! `mnas import` by the built binary: what comes in can be used, and what doesn't fit is refused.

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{json, mnas};
use mnas_net::{Tensor, Weights};

const NET: &str = "stem_k3_s2_c8; ds_r1_k3_s1_c8; ir_r1_k3_s2_e3_c16_se0.25; head_c24";

/// The network as timm names it.
fn file() -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| {
        let n: usize = shape.iter().product();
        let data = (0..n).map(|i| 0.25 + (i % 7) as f32 / 64.0).collect();
        tensors.insert(
            name.to_string(),
            Tensor {
                shape: shape.to_vec(),
                data,
            },
        );
    };
    for (name, shape) in [
        ("conv_stem.weight", &[8, 3, 3, 3][..]),
        ("blocks.0.0.conv_dw.weight", &[8, 1, 3, 3]),
        ("blocks.0.0.conv_pw.weight", &[8, 8, 1, 1]),
        ("blocks.1.0.conv_pw.weight", &[24, 8, 1, 1]),
        ("blocks.1.0.conv_dw.weight", &[24, 1, 3, 3]),
        ("blocks.1.0.se.conv_reduce.weight", &[2, 24, 1, 1]),
        ("blocks.1.0.se.conv_reduce.bias", &[2]),
        ("blocks.1.0.se.conv_expand.weight", &[24, 2, 1, 1]),
        ("blocks.1.0.se.conv_expand.bias", &[24]),
        ("blocks.1.0.conv_pwl.weight", &[16, 24, 1, 1]),
        ("conv_head.weight", &[24, 16, 1, 1]),
        ("classifier.weight", &[4, 24]),
        ("classifier.bias", &[4]),
    ] {
        add(name, shape);
    }
    for (norm, c) in [
        ("bn1", 8),
        ("blocks.0.0.bn1", 8),
        ("blocks.0.0.bn2", 8),
        ("blocks.1.0.bn1", 24),
        ("blocks.1.0.bn2", 24),
        ("blocks.1.0.bn3", 16),
        ("bn2", 24),
    ] {
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            add(&format!("{norm}.{tensor}"), &[c]);
        }
    }
    tensors
}

fn write(folder: &Path, name: &str, tensors: BTreeMap<String, Tensor>) {
    let weights = Weights {
        tensors,
        metadata: BTreeMap::new(),
    };
    std::fs::write(folder.join(name), weights.to_safetensors()).unwrap();
}

#[test]
fn an_imported_network_is_a_network_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(path, "theirs.safetensors", file());
    std::fs::write(path.join("names.txt"), "cat\ndog\ncow\nhen\n").unwrap();
    let words = [
        "import",
        "theirs.safetensors",
        "--as",
        NET,
        "--out",
        "ours.safetensors",
    ];
    let more = ["--class-names", "names.txt", "--image-size", "32"];
    let answer = json(path, &[&words[..], &more].concat());
    assert_eq!(answer["source"], "timm");
    assert_eq!(answer["classes"], 4);
    let spec = answer["spec"].as_str().unwrap();
    // PyTorch's padding, and the skip that timm gives every layer that can have one.
    assert!(
        spec.starts_with("stem_k3_s2_c8_padsymmetric\nds_r1_k3_s1_c8_skipidentity\n"),
        "{spec}"
    );

    for format in ["onnx", "tflite"] {
        let out = format!("ours.{format}");
        let words = [
            "export",
            "ours.safetensors",
            "--format",
            format,
            "--check",
            "--out",
            &out,
        ];
        let answer = json(path, &words);
        assert_eq!(
            (&answer["trained"], &answer["outputs"]),
            (&true.into(), &4.into())
        );
        // Every engine present, which the one compiled in always is.
        let checks = answer["checks"].as_array().unwrap();
        assert!(format == "tflite" || !checks.is_empty());
        for check in checks {
            assert!(check["largest"].as_f64().unwrap() < 1e-4, "{check}");
        }
    }
}

#[test]
fn files_that_don_t_fit_are_refused_by_their_first_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |name: &str, net: &str| {
        let out = mnas(
            path,
            &["import", name, "--as", net, "--out", "out.safetensors"],
        );
        assert_eq!(out.status.code(), Some(3));
        assert!(
            !path.join("out.safetensors").exists(),
            "nothing is half-written"
        );
        String::from_utf8(out.stderr).unwrap()
    };
    let mut partial = file();
    partial.retain(|name, _| !name.starts_with("blocks.1"));
    write(path, "partial.safetensors", partial);
    let message = refused("partial.safetensors", NET);
    assert!(
        message.contains("tensor blocks.1.0.conv_pw.weight [24, 8, 1, 1] is missing"),
        "{message}"
    );

    write(path, "whole.safetensors", file());
    let message = refused("whole.safetensors", &NET.replace("c16", "c12"));
    let expected =
        "tensor blocks.1.0.conv_pwl.weight is [16, 24, 1, 1]; the network needs [12, 24, 1, 1]";
    assert!(message.contains(expected), "{message}");

    std::fs::write(path.join("junk.safetensors"), b"junk").unwrap();
    let message = refused("junk.safetensors", NET);
    assert!(message.contains("no valid safetensors file"), "{message}");
}

#[test]
fn several_networks_are_ranked_with_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (
        "stem_k3_s2_c8; head_c0",
        "stem_k3_s1_c32; cn_r2_k5_s1_c32; head_c0",
    );
    let words = [
        "measure",
        large,
        small,
        "--device",
        "host:rten",
        "--compare",
        "--image-size",
        "32",
    ];
    let answer = json(folder.path(), &words);
    let ranking = answer["ranking"].as_array().unwrap();
    assert_eq!(ranking[0]["name"], small);
    assert_eq!(ranking[0]["ratio_to_fastest"], 1.0);
    let low = ranking[1]["interval_95"][0].as_f64().unwrap();
    assert!(low > 1.5 && ranking[1]["differs"] == true, "{answer}");
    assert!(answer["networks"][0]["core"].is_u64() || cfg!(not(target_os = "linux")));

    let alone = mnas(
        folder.path(),
        &["measure", small, "--device", "host:rten", "--compare"],
    );
    assert_eq!(alone.status.code(), Some(2));
    // rten tells no program its operators' times.
    let words = [
        "measure",
        small,
        "--device",
        "host:rten",
        "--profile",
        "--image-size",
        "32",
    ];
    let out = mnas(folder.path(), &words);
    assert_eq!(out.status.code(), Some(4));
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("rten doesn't tell"),
        "{out:?}"
    );
}

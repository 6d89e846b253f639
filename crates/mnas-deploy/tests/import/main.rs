//! Networks of timm and torchvision, imported, answer what they did there. `golden.py` says how the
//! files beside this one are made; weights and images are made here from names, as it does.

use std::path::Path;

use mnas_deploy::interpret;
use mnas_net::import::{ImportError, Imported, import};
use mnas_net::{Shape, Tensor, Weights, zoo};
use serde_json::Value;

/// Largest difference, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

/// `count` numbers in 0..1: SplitMix64 from the FNV-1a hash of the name.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = |seed: u64, b: u8| (seed ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64).map(move |i| {
        let x = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 * 2f64.powi(-53)
    })
}

fn tensor(name: &str, shape: Vec<usize>) -> Tensor {
    let inputs: usize = shape.iter().skip(1).product();
    let limit = (6.0 / inputs as f64).sqrt();
    let value = |u: f64| {
        if shape.len() > 1 {
            (2.0 * u - 1.0) * limit
        } else if name.ends_with(".weight") || name.ends_with("running_var") {
            0.5 + u
        } else {
            0.2 * (2.0 * u - 1.0)
        }
    };
    let data = uniform(name, shape.iter().product());
    let data = data.map(|u| value(u) as f32).collect();
    Tensor { shape, data }
}

fn facts(model: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let text = std::fs::read_to_string(folder.join(format!("{model}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The model's file.
fn file(facts: &Value) -> Weights {
    let mut weights = Weights::default();
    for entry in facts["tensors"].as_array().unwrap() {
        let name = entry[0].as_str().unwrap();
        let extents = entry[1].as_array().unwrap().iter();
        let shape = extents.map(|v| v.as_u64().unwrap() as usize).collect();
        weights.tensors.insert(name.into(), tensor(name, shape));
    }
    weights
}

fn read(facts: &Value, file: &Weights, side: usize) -> Result<Imported, ImportError> {
    let spec = zoo::find(facts["network"].as_str().unwrap()).unwrap().spec;
    import(&file.to_safetensors(), &spec, Shape::new(side, side, 3))
}

/// Checks the model at one image size.
fn check(model: &str, side: usize) {
    let facts = facts(model);
    let answers = facts["answers"].as_array().unwrap();
    let answer = answers.iter().find(|a| a["side"] == side).unwrap();
    let net = read(&facts, &file(&facts), side).unwrap();
    let graph = net
        .spec
        .graph(Shape::new(side, side, 3), net.classes)
        .unwrap();
    net.weights.check(&graph).unwrap();

    // Their image is channels first.
    let pixels = side * side;
    let theirs: Vec<f32> = uniform("image", 3 * pixels)
        .map(|u| (2.0 * u - 1.0) as f32)
        .collect();
    let image: Vec<f32> = (0..3 * pixels)
        .map(|i| theirs[i % 3 * pixels + i / 3])
        .collect();
    let got = interpret(&graph, &net.weights, &image);
    let every = facts["every"].as_u64().unwrap() as usize;
    let expected = answer["logits"].as_array().unwrap();
    assert_eq!(expected.len(), got.len().div_ceil(every), "{model}");
    let (mut worst, mut largest) = (0f64, 0f64);
    for (got, expected) in got.iter().step_by(every).zip(expected) {
        let expected = expected.as_f64().unwrap();
        largest = largest.max(expected.abs());
        worst = worst.max((f64::from(*got) - expected).abs());
    }
    println!("{model} at {side} px: {:.1e}", worst / largest);
    assert!(
        worst <= TOLERANCE * largest,
        "{model} at {side} px: {worst} of {largest}"
    );
}

const MODELS: [&str; 8] = [
    "timm-semnasnet_100",
    "timm-mnasnet_100",
    "timm-mnasnet_small",
    "timm-mobilenetv2_100",
    "timm-semnasnet_075",
    "torchvision-mnasnet1_0",
    "torchvision-mnasnet0_5",
    "torchvision-mobilenet_v2",
];

#[test]
fn imported_networks_answer_what_they_did_at_64_px() {
    MODELS.iter().for_each(|model| check(model, 64));
}

#[test]
fn imported_networks_answer_what_they_did_at_224_px() {
    MODELS.iter().for_each(|model| check(model, 224));
}

/// The padding and the epsilon matter: without either, answers are far off.
#[test]
fn what_the_import_adapts_is_seen() {
    let facts = facts("timm-mnasnet_small");
    let net = read(&facts, &file(&facts), 64).unwrap();
    let text = net.spec.to_string();
    assert!(
        text.starts_with("stem_k3_s2_c8_padsymmetric\nds_r1_k3_s1_c8_skipidentity\n"),
        "{text}"
    );
    let theirs = tensor("bn1.weight", vec![8]);
    assert!(theirs.data != net.weights.get("stem.bn.weight").data);
}

#[test]
fn another_network_s_file_is_refused_by_its_first_tensor() {
    let refused = |model: &str, network: &str| {
        let facts = facts(model);
        let spec = zoo::find(network).unwrap().spec;
        let input = Shape::new(64, 64, 3);
        import(&file(&facts).to_safetensors(), &spec, input)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("timm-mnasnet_100", "mnasnet-a1"),
        "tensor blocks.1.0.conv_pw.weight is [48, 16, 1, 1]; the network needs [96, 16, 1, 1] (blocks.1.0.expand.conv.weight)"
    );
    assert_eq!(
        refused("torchvision-mnasnet0_5", "mnasnet-b1"),
        "tensor layers.0.weight is [16, 3, 3, 3]; the network needs [32, 3, 3, 3] (stem.conv.weight)"
    );
    assert_eq!(
        refused("torchvision-mobilenet_v2", "mnasnet-a1"),
        "tensor features.4.conv.0.0.weight is [144, 24, 1, 1]; the network needs [72, 24, 1, 1] (blocks.2.0.expand.conv.weight)"
    );
}

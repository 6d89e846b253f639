//! Training curves against PyTorch's, from `tests/golden/generate.py`.

use super::*;

const FILE: &[u8] = include_bytes!("../../../tests/golden/curves.safetensors");

/// The network of the generator, under its names.
fn graph() -> Graph {
    let mut b = GraphBuilder::new(Shape::new(13, 13, 3)).unwrap();
    let image = b.input();
    let mut add = |name: &str, op, inputs: &[NodeId]| b.add(name, op, inputs).unwrap();
    let conv = |kernel, stride, filters, bias| Op::Conv {
        kernel,
        stride,
        filters,
        bias,
    };
    let depthwise = |kernel, stride| Op::DepthwiseConv {
        kernel,
        stride,
        bias: false,
    };
    let x = add("stem", conv(3, 2, 8, false), &[image]);
    let x = add("stem_bn", Op::BATCH_NORM, &[x]);
    let x = add("stem_act", Op::Act(Activation::Relu), &[x]);
    let y = add("expand", conv(1, 1, 24, false), &[x]);
    let y = add("expand_bn", Op::BATCH_NORM, &[y]);
    let y = add("expand_act", Op::Act(Activation::Relu6), &[y]);
    let y = add("depthwise", depthwise(5, 1), &[y]);
    let y = add("depthwise_bn", Op::BATCH_NORM, &[y]);
    let y = add("depthwise_act", Op::Act(Activation::HSwish), &[y]);
    let s = add("pool", Op::GlobalAvgPool, &[y]);
    let s = add("reduce", conv(1, 1, 4, true), &[s]);
    let s = add("reduce_act", Op::Act(Activation::Relu), &[s]);
    let s = add("widen", conv(1, 1, 24, true), &[s]);
    let s = add("gate", Op::Act(Activation::Sigmoid), &[s]);
    let y = add("gated", Op::Mul, &[y, s]);
    let y = add("project", conv(1, 1, 8, false), &[y]);
    let y = add("project_bn", Op::BATCH_NORM, &[y]);
    let x = add("residual", Op::Add, &[x, y]);
    let x = add("down", depthwise(3, 2), &[x]);
    let x = add("down_bn", Op::BATCH_NORM, &[x]);
    let x = add("down_act", Op::Act(Activation::Relu), &[x]);
    let x = add("head", conv(1, 1, 20, false), &[x]);
    let x = add("head_bn", Op::BATCH_NORM, &[x]);
    let x = add("head_act", Op::Act(Activation::Relu), &[x]);
    let x = add("average", Op::GlobalAvgPool, &[x]);
    let x = add("classifier", Op::Linear { features: 7 }, &[x]);
    b.finish(x)
}

/// Tensors whose names start with `prefix`, without it.
fn part(file: &Weights, prefix: &str) -> Weights {
    let named = |(n, t): (&String, &mnas_net::Tensor)| {
        n.strip_prefix(prefix).map(|n| (n.to_string(), t.clone()))
    };
    let tensors = file.tensors.iter().filter_map(named).collect();
    Weights {
        tensors,
        ..Weights::default()
    }
}

fn check(rule: &str, optimizer: Optimizer, rate: f32, ema_decay: Option<f32>) -> Weights {
    let file = Weights::from_safetensors(FILE).unwrap();
    let normalize = Normalize {
        mean: vec![0.45, 0.5, 0.4],
        std: vec![0.25, 0.2, 0.3],
    };
    let spec = SessionSpec {
        optimizer,
        weight_decay: 1e-3,
        normalize,
        ema_decay,
        ..plain_spec(16, 3)
    };
    let mut session = cpu().compile(&graph(), &spec).unwrap();
    session.load(&part(&file, "start/")).unwrap();
    let batches: Vec<(Vec<u8>, Vec<u16>)> = (0..2)
        .map(|i| {
            let values = |kind: &str| &file.get(&format!("{kind}/{i}")).data;
            let images = values("images").iter().map(|v| *v as u8).collect();
            (images, values("labels").iter().map(|v| *v as u16).collect())
        })
        .collect();
    for (i, expected) in file.get(&format!("losses/{rule}")).data.iter().enumerate() {
        let (images, labels) = &batches[i % 2];
        let loss = session.step(images, labels, rate).unwrap().loss;
        let tolerance = 1e-3 * expected;
        assert!(
            (loss - expected).abs() < tolerance,
            "{rule}, step {i}: {loss}, not {expected}"
        );
    }
    if rule == "rmsprop" {
        let kind = if ema_decay.is_some() {
            "average/"
        } else {
            "end/"
        };
        let weights = session.weights();
        for (name, expected) in part(&file, kind).tensors {
            let got = weights.get(&name);
            assert_eq!(got.shape, expected.shape, "{name}");
            let scale = expected.data.iter().fold(0.0f32, |a, v| a.max(v.abs()));
            for (g, e) in got.data.iter().zip(&expected.data) {
                assert!((g - e).abs() < 3e-3 * scale, "{kind}{name}: {g}, not {e}");
            }
        }
    }
    session.weights()
}

#[test]
fn sgd_with_nesterov_momentum_and_weight_decay() {
    check(
        "sgd",
        Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        0.05,
        None,
    );
}

#[test]
fn rmsprop_by_tensorflow_formula_with_moving_averages() {
    let optimizer = Optimizer::RmsProp {
        decay: 0.9,
        momentum: 0.9,
        epsilon: 1e-3,
    };
    let last = check("rmsprop", optimizer, 0.01, None);
    let average = check("rmsprop", optimizer, 0.01, Some(0.98));
    assert_ne!(last, average);
}

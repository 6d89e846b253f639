//! What folds and what doesn't, by the shape of the folded graph. That the values stay is held on
//! random graphs by `tests/export`.

use mnas_net::{Activation, Purpose, Shape, stream};

use super::*;

fn conv(filters: usize) -> Op {
    Op::Conv {
        kernel: 3,
        stride: 1,
        filters,
        bias: false,
    }
}

const NORM: Op = Op::BATCH_NORM;
const RELU: Op = Op::Act(Activation::Relu);
const DROPOUT: Op = Op::Dropout { rate: 0.3 };

/// `nodes` are `(name, op, inputs)` with `x` for the image; the last is the answer.
fn check(nodes: &[(&str, Op, &[&str])], expected: &str) {
    let mut b = GraphBuilder::new(Shape::new(4, 4, 2)).unwrap();
    let mut ids = BTreeMap::from([("x", b.input())]);
    let mut last = b.input();
    for (name, op, inputs) in nodes {
        let inputs: Vec<NodeId> = inputs.iter().map(|i| ids[i]).collect();
        last = b.add(name, *op, &inputs).unwrap();
        ids.insert(name, last);
    }
    let graph = b.finish(last);
    let mut weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
    weights.metadata.insert("spec".into(), "kept".into());
    let (folded, folded_weights) = fold_batch_norm(&graph, &weights).unwrap();
    folded_weights.check(&folded).unwrap();
    assert_eq!(folded_weights.metadata, weights.metadata);
    let text: Vec<String> = folded
        .nodes()
        .iter()
        .skip(1)
        .map(|n| {
            let inputs: Vec<&str> = n.inputs.iter().map(|i| &*folded.node(*i).name).collect();
            let biased = folded_weights
                .tensors
                .contains_key(&format!("{}.bias", n.name));
            let bias = if biased { "+bias" } else { "" };
            format!("{}={}{bias}({})", n.name, n.op.name(), inputs.join(","))
        })
        .collect();
    assert_eq!(text.join(" "), expected);
}

#[test]
fn a_norm_with_a_layer_of_its_own_is_absorbed() {
    check(
        &[
            ("c", conv(3), &["x"]),
            ("n", NORM, &["c"]),
            ("r", RELU, &["n"]),
        ],
        "c=conv+bias(input) r=act(c)",
    );
    let depthwise = Op::DepthwiseConv {
        kernel: 3,
        stride: 2,
        bias: true,
    };
    check(
        &[("d", depthwise, &["x"]), ("n", NORM, &["d"])],
        "d=depthwise_conv+bias(input)",
    );
    check(
        &[
            ("g", Op::GlobalAvgPool, &["x"]),
            ("l", Op::Linear { features: 3 }, &["g"]),
            ("n", NORM, &["l"]),
        ],
        "g=global_avg_pool(input) l=linear+bias(g)",
    );
}

#[test]
fn norms_and_dropouts_in_a_row_are_absorbed_together() {
    check(
        &[
            ("c", conv(3), &["x"]),
            ("d", DROPOUT, &["c"]),
            ("n", NORM, &["d"]),
            ("m", NORM, &["n"]),
            ("e", DROPOUT, &["m"]),
        ],
        "c=conv+bias(input)",
    );
}

#[test]
fn a_norm_without_a_layer_of_its_own_becomes_a_depthwise_convolution() {
    check(&[("n", NORM, &["x"])], "n=depthwise_conv+bias(input)");
    check(
        &[
            ("r", RELU, &["x"]),
            ("n", NORM, &["r"]),
            ("m", NORM, &["n"]),
        ],
        "r=act(input) n=depthwise_conv+bias(r)",
    );
    // The convolution's raw value is read elsewhere too.
    check(
        &[
            ("c", conv(3), &["x"]),
            ("n", NORM, &["c"]),
            ("a", Op::Add, &["n", "c"]),
        ],
        "c=conv(input) n=depthwise_conv+bias(c) a=add(n,c)",
    );
    // Also through dropout.
    check(
        &[
            ("c", conv(3), &["x"]),
            ("d", DROPOUT, &["c"]),
            ("n", NORM, &["c"]),
            ("a", Op::Add, &["n", "d"]),
        ],
        "c=conv(input) n=depthwise_conv+bias(c) a=add(n,c)",
    );
}

#[test]
fn readers_that_the_answer_does_not_need_don_t_count() {
    check(
        &[
            ("c", conv(3), &["x"]),
            ("dead", RELU, &["c"]),
            ("n", NORM, &["c"]),
        ],
        "c=conv+bias(input)",
    );
}

#[test]
fn one_channel_by_numbers() {
    let mut b = GraphBuilder::new(Shape::new(1, 1, 1)).unwrap();
    let op = Op::Conv {
        kernel: 1,
        stride: 1,
        filters: 1,
        bias: true,
    };
    let c = b.add("c", op, &[b.input()]).unwrap();
    let n = b.add("n", Op::BatchNorm { epsilon: 1.0 }, &[c]).unwrap();
    let graph = b.finish(n);
    let tensor = |shape: &[usize], v: f32| Tensor {
        shape: shape.to_vec(),
        data: vec![v],
    };
    let tensors = [
        ("c.weight", tensor(&[1, 1, 1, 1], 8.0)),
        ("c.bias", tensor(&[1], 5.0)),
        ("n.weight", tensor(&[1], 3.0)),
        ("n.bias", tensor(&[1], 0.25)),
        ("n.running_mean", tensor(&[1], 1.0)),
        ("n.running_var", tensor(&[1], 3.0)),
    ];
    let weights = Weights {
        tensors: tensors.map(|(n, t)| (n.to_string(), t)).into(),
        metadata: BTreeMap::new(),
    };
    let (_, folded) = fold_batch_norm(&graph, &weights).unwrap();
    // scale = 3 / sqrt(3 + 1) = 1.5
    assert_eq!(folded.get("c.weight").data, [12.0]);
    assert_eq!(folded.get("c.bias").data, [(5.0 - 1.0) * 1.5 + 0.25]);
}

#[test]
fn weights_of_another_graph_are_refused() {
    let mut b = GraphBuilder::new(Shape::new(4, 4, 2)).unwrap();
    let c = b.add("c", conv(3), &[b.input()]).unwrap();
    let error = fold_batch_norm(&b.finish(c), &Weights::default()).unwrap_err();
    assert!(matches!(error, WeightsError::Missing { .. }), "{error}");
}

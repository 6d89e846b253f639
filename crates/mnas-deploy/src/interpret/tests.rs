//! Every primitive on numbers that can be checked by hand.

use mnas_net::{Activation, GraphBuilder, Op, Shape, Tensor, Weights};

use super::*;

/// One operation named `op` on the image (and, where `second` is given, on its global average).
fn graph(op: Op, shape: Shape, inputs: &[&str]) -> Graph {
    let mut b = GraphBuilder::new(shape).unwrap();
    let average = b.add("average", Op::GlobalAvgPool, &[b.input()]).unwrap();
    let inputs: Vec<_> = inputs
        .iter()
        .map(|i| if *i == "average" { average } else { b.input() })
        .collect();
    let y = b.add("op", op, &inputs).unwrap();
    b.finish(y)
}

fn check(op: Op, shape: [usize; 3], inputs: &[&str], params: &[(&str, &[f32])], expected: &[f32]) {
    let shape = Shape::new(shape[0], shape[1], shape[2]);
    let graph = graph(op, shape, inputs);
    let mut weights = Weights::default();
    for spec in graph.params() {
        let suffix = spec.name.trim_start_matches("op.");
        let (_, data) = params.iter().find(|(name, _)| *name == suffix).unwrap();
        let (shape, data) = (spec.shape, data.to_vec());
        weights.tensors.insert(spec.name, Tensor { shape, data });
    }
    weights.check(&graph).unwrap();
    // 1, 2, 3, ... so that positions can be told apart.
    let image: Vec<f32> = (1..=shape.len()).map(|v| v as f32).collect();
    assert_eq!(interpret(&graph, &weights, &image), expected, "{op:?}");
}

#[test]
fn convolutions() {
    let conv = |kernel, stride, filters, bias| Op::Conv {
        kernel,
        stride,
        filters,
        bias,
    };
    // All-ones 3x3 over 2x2: every window covers the whole image.
    let ones: &[f32] = &[1.0; 9];
    check(
        conv(3, 1, 1, false),
        [2, 2, 1],
        &["x"],
        &[("weight", ones)],
        &[10.0; 4],
    );
    // Stride 2 over 4x4 pads one row and column, after the image: the top left weight sees
    // pixels 1, 3, 9, 11, and the bottom right one sees 11 and then only padding.
    let mut corner = [0.0; 9];
    corner[0] = 1.0;
    let params: &[(&str, &[f32])] = &[("weight", &corner)];
    let top_left = [1.0, 3.0, 9.0, 11.0];
    check(conv(3, 2, 1, false), [4, 4, 1], &["x"], params, &top_left);
    let mut corner = [0.0; 9];
    corner[8] = 1.0;
    let params: &[(&str, &[f32])] = &[("weight", &corner)];
    let bottom_right = [11.0, 0.0, 0.0, 0.0];
    check(
        conv(3, 2, 1, false),
        [4, 4, 1],
        &["x"],
        params,
        &bottom_right,
    );
    // Two channels to two filters, with bias: pixels (1, 2) and (3, 4).
    check(
        conv(1, 1, 2, true),
        [1, 2, 2],
        &["x"],
        &[("weight", &[1.0, 10.0, 100.0, 0.0]), ("bias", &[0.5, -1.0])],
        &[21.5, 99.0, 43.5, 299.0],
    );
    // Depthwise 3x1 column of an image of one row: only the middle weights apply.
    let kernel: Vec<f32> = (0..18).map(|i| i as f32).collect();
    let op = Op::DepthwiseConv {
        kernel: 3,
        stride: 1,
        bias: true,
    };
    // Pixels (1, 2), (3, 4); weights of the middle row: (6, 7), (8, 9), (10, 11).
    let expected = [8.0 + 30.0 + 1.0, 18.0 + 44.0, 6.0 + 24.0 + 1.0, 14.0 + 36.0];
    let params: &[(&str, &[f32])] = &[("weight", &kernel), ("bias", &[1.0, 0.0])];
    check(op, [1, 2, 2], &["x"], params, &expected);
    check(
        Op::Linear { features: 2 },
        [1, 1, 3],
        &["x"],
        &[
            ("weight", &[1.0, 1.0, 1.0, 0.0, -1.0, 2.0]),
            ("bias", &[0.0, 10.0]),
        ],
        &[6.0, 14.0],
    );
}

#[test]
fn batch_norm_uses_running_statistics() {
    let params: &[(&str, &[f32])] = &[
        ("weight", &[2.0, 1.0]),
        ("bias", &[1.0, 0.0]),
        ("running_mean", &[0.0, 4.0]),
        ("running_var", &[3.0, 0.0]),
    ];
    // Deviations sqrt(3 + 1) = 2 and sqrt(0 + 1) = 1.
    let op = Op::BatchNorm { epsilon: 1.0 };
    check(op, [1, 2, 2], &["x"], params, &[2.0, -2.0, 4.0, 0.0]);
}

#[test]
fn pools() {
    let max = Op::MaxPool {
        kernel: 3,
        stride: 2,
    };
    check(max, [3, 3, 1], &["x"], &[], &[5.0, 6.0, 8.0, 9.0]);
    let average = Op::AvgPool {
        kernel: 3,
        stride: 2,
    };
    // Corners average four pixels, not nine.
    check(average, [3, 3, 1], &["x"], &[], &[3.0, 4.0, 6.0, 7.0]);
    check(Op::GlobalAvgPool, [2, 1, 2], &["x"], &[], &[2.0, 3.0]);
    // Padding is never the maximum, also of negative values.
    let mut b = GraphBuilder::new(Shape::new(1, 1, 1)).unwrap();
    let y = b.add("op", max, &[b.input()]).unwrap();
    let graph = b.finish(y);
    assert_eq!(interpret(&graph, &Weights::default(), &[-3.0]), [-3.0]);
}

#[test]
fn joins_and_elementwise() {
    check(Op::Add, [1, 2, 1], &["x", "x"], &[], &[2.0, 4.0]);
    // Averages 2 and 3.
    check(
        Op::Mul,
        [1, 2, 2],
        &["x", "average"],
        &[],
        &[2.0, 6.0, 6.0, 12.0],
    );
    let twice = [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0];
    check(Op::Concat, [1, 2, 2], &["x", "x"], &[], &twice);
    check(
        Op::Dropout { rate: 0.5 },
        [1, 2, 1],
        &["x"],
        &[],
        &[1.0, 2.0],
    );
    let act = |act: Activation, x: f32| {
        let graph = graph(Op::Act(act), Shape::new(1, 1, 1), &["x"]);
        interpret(&graph, &Weights::default(), &[x])[0]
    };
    assert_eq!(act(Activation::Relu, -1.0), 0.0);
    assert_eq!(act(Activation::Relu6, 7.0), 6.0);
    assert_eq!(act(Activation::HSwish, 1.0), 4.0 / 6.0);
    assert_eq!(act(Activation::Sigmoid, 0.0), 0.5);
}

#[test]
fn all_values_are_returned_in_graph_order() {
    let graph = graph(Op::Mul, Shape::new(1, 2, 1), &["x", "average"]);
    let values = interpret_all(&graph, &Weights::default(), &[1.0, 3.0]);
    assert_eq!(values, [vec![1.0, 3.0], vec![2.0], vec![2.0, 6.0]]);
}

#[test]
#[should_panic(expected = "an image of 1x2x1 is expected")]
fn an_image_of_another_size_is_refused() {
    let graph = graph(Op::Add, Shape::new(1, 2, 1), &["x", "x"]);
    interpret(&graph, &Weights::default(), &[1.0]);
}

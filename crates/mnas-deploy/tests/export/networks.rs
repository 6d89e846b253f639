//! Networks to compare on: each primitive alone, random graphs, blocks, random network texts, the
//! zoo; with weights that keep values in a range where differences show.

use mnas_net::{
    Activation, Graph, GraphBuilder, NetSpec, NodeId, Op, PaddingRule, Purpose, Shape, Stream,
    Weights, stream, zoo,
};
pub(crate) use mnas_testkit::weights::random_weights;

/// A network to compare on.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) weights: Weights,
    pub(crate) input: Vec<f32>,
}

impl Case {
    fn new(name: String, graph: Graph) -> Self {
        let mut random = stream(name.bytes().map(u64::from).sum(), 0, Purpose::Sample);
        let weights = random_weights(&graph, &mut random);
        let input = (0..graph.input_shape().len())
            .map(|_| random.normal() as f32)
            .collect();
        Self {
            name,
            graph,
            weights,
            input,
        }
    }

    /// A network with these weights, on a black image.
    pub(crate) fn of(name: String, graph: Graph, weights: Weights) -> Self {
        let input = vec![0.0; graph.input_shape().len()];
        Self {
            name,
            graph,
            weights,
            input,
        }
    }

    fn of_text(name: String, text: &str, input: Shape, classes: usize) -> Self {
        let spec: NetSpec = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let graph = spec.graph(input, classes);
        Self::new(name, graph.unwrap_or_else(|e| panic!("{text}: {e}")))
    }
}

const ACTIVATIONS: [Activation; 4] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::HSwish,
    Activation::Sigmoid,
];

/// Every primitive by itself, on odd and even sizes, in the forms that writers treat differently.
/// The answer is the primitive's own value, so nothing averages a misplaced pixel away.
pub(crate) fn single_ops() -> Vec<Case> {
    let mut cases = vec![];
    for shape in [
        Shape::new(7, 9, 3),
        Shape::new(8, 6, 1),
        Shape::new(1, 1, 5),
    ] {
        for (kernel, stride) in [
            (1, 1),
            (1, 2),
            (3, 1),
            (3, 2),
            (5, 2),
            (5, 3),
            (7, 1),
            (3, 4),
        ] {
            for bias in [false, true] {
                let filters = 4;
                let conv = Op::Conv {
                    kernel,
                    stride,
                    filters,
                    bias,
                };
                let depthwise = Op::DepthwiseConv {
                    kernel,
                    stride,
                    bias,
                };
                cases.extend([conv, depthwise].map(|op| (shape, op)));
            }
            let pools = [
                Op::AvgPool { kernel, stride },
                Op::MaxPool { kernel, stride },
            ];
            cases.extend(pools.map(|op| (shape, op)));
        }
        let rest = [
            Op::Input,
            Op::BATCH_NORM,
            Op::BatchNorm { epsilon: 0.5 },
            Op::Add,
            Op::Mul,
            Op::Concat,
            Op::GlobalAvgPool,
            Op::Dropout { rate: 0.4 },
        ];
        cases.extend(rest.map(|op| (shape, op)));
        cases.extend(ACTIVATIONS.map(|a| (shape, Op::Act(a))));
        if shape.pixels() == 1 {
            cases.push((shape, Op::Linear { features: 6 }));
        }
    }
    let case = |(shape, op): (Shape, Op)| {
        let name = format!("op {op:?} on {shape}");
        Case::new(name, single_op(shape, op))
    };
    cases.into_iter().map(case).collect()
}

fn single_op(shape: Shape, op: Op) -> Graph {
    let mut b = GraphBuilder::new(shape).unwrap();
    let image = b.input();
    let y = match op {
        Op::Input => image,
        // The image as the only operand of both sides would hide a swap.
        Op::Add | Op::Concat => {
            let norm = b.add("norm", Op::BATCH_NORM, &[image]).unwrap();
            b.add("op", op, &[image, norm]).unwrap()
        }
        Op::Mul => {
            let gate = b.add("gate", Op::GlobalAvgPool, &[image]).unwrap();
            b.add("op", op, &[image, gate]).unwrap()
        }
        Op::Conv { .. }
        | Op::DepthwiseConv { .. }
        | Op::BatchNorm { .. }
        | Op::Act(_)
        | Op::AvgPool { .. }
        | Op::MaxPool { .. }
        | Op::GlobalAvgPool
        | Op::Dropout { .. }
        | Op::Linear { .. } => b.add("op", op, &[image]).unwrap(),
    };
    b.finish(y)
}

/// An activation beside a second reader of its input, after each primitive that may absorb it.
pub(crate) fn shared_inputs() -> Vec<Case> {
    let (kernel, stride, bias) = (3, 1, true);
    let filters = 3;
    let makers = [
        Op::Conv {
            kernel,
            stride,
            filters,
            bias,
        },
        Op::DepthwiseConv {
            kernel,
            stride,
            bias,
        },
        Op::BATCH_NORM,
        Op::AvgPool { kernel, stride },
        Op::MaxPool { kernel, stride },
    ];
    let pairs = makers.iter().flat_map(|m| ACTIVATIONS.map(|a| (*m, a)));
    let case = |(maker, activation): (Op, Activation)| {
        let mut b = GraphBuilder::new(Shape::new(5, 6, 3)).unwrap();
        let made = b.add("made", maker, &[b.input()]).unwrap();
        let act = b.add("act", Op::Act(activation), &[made]).unwrap();
        let both = b.add("both", Op::Concat, &[made, act]).unwrap();
        let name = format!("shared {maker:?} before {activation}");
        Case::new(name, b.finish(both))
    };
    pairs.map(case).collect()
}

/// A graph of up to 14 random primitives, half the time with a classifier after them.
pub(crate) fn random_graph(seed: u64) -> Case {
    let random = &mut stream(seed, 0, Purpose::Sample);
    let side = |r: &mut Stream| 1 + r.below(12);
    let shape = Shape::new(side(random), side(random), 1 + random.below(5));
    let rule = [PaddingRule::Same, PaddingRule::Symmetric][seed as usize % 2];
    let mut b = GraphBuilder::new(shape).unwrap().with_padding(rule);
    let mut nodes = vec![b.input()];
    for i in 0..1 + random.below(14) {
        let added = random_op(&mut b, &nodes, random, i);
        nodes.push(added);
    }
    let mut last = *nodes.last().unwrap();
    if random.below(2) == 0 {
        last = b.add("pool", Op::GlobalAvgPool, &[last]).unwrap();
        let features = 1 + random.below(6);
        last = b
            .add("classifier", Op::Linear { features }, &[last])
            .unwrap();
    }
    Case::new(format!("graph {seed}"), b.finish(last))
}

/// Adds one random primitive that fits; recent nodes are read most, so graphs get deep.
fn random_op(b: &mut GraphBuilder, nodes: &[NodeId], random: &mut Stream, i: usize) -> NodeId {
    let back = random.below(nodes.len().min(3));
    let x = nodes[nodes.len() - 1 - back];
    let shape = b.shape(x);
    let kernel = [1, 3, 5, 7][random.below(4)];
    let stride = [1, 1, 2, 3][random.below(4)];
    let (bias, filters) = (random.below(2) == 0, 1 + random.below(7));
    let alike: Vec<NodeId> = nodes
        .iter()
        .copied()
        .filter(|n| b.shape(*n) == shape)
        .collect();
    let partner = alike[random.below(alike.len())];
    let name = format!("n{i}");
    let (op, inputs) = match random.below(12) {
        0 | 1 => (
            Op::Conv {
                kernel,
                stride,
                filters,
                bias,
            },
            vec![x],
        ),
        2 => (
            Op::DepthwiseConv {
                kernel,
                stride,
                bias,
            },
            vec![x],
        ),
        3 | 4 => (Op::BATCH_NORM, vec![x]),
        5 => (Op::Act(ACTIVATIONS[random.below(4)]), vec![x]),
        6 => (Op::Add, vec![x, partner]),
        7 => {
            let pooled = b
                .add(&format!("{name}.pool"), Op::GlobalAvgPool, &[x])
                .unwrap();
            let features = shape.c;
            let inner = Op::Linear { features };
            let inner = b.add(&format!("{name}.inner"), inner, &[pooled]).unwrap();
            let gate = Op::Act(ACTIVATIONS[random.below(4)]);
            let gate = b.add(&format!("{name}.gate"), gate, &[inner]).unwrap();
            (Op::Mul, vec![x, gate])
        }
        8 if shape.c <= 12 => (Op::Concat, vec![x, partner, x]),
        9 => (Op::AvgPool { kernel, stride }, vec![x]),
        10 => (Op::MaxPool { kernel, stride }, vec![x]),
        11 if shape.pixels() == 1 => (Op::Linear { features: filters }, vec![x]),
        _ => (Op::Dropout { rate: 0.1 }, vec![x]),
    };
    b.add(&name, op, &inputs).unwrap()
}

/// Every kind of block with every option that changes its layers, one at a time and together.
pub(crate) fn blocks() -> Vec<Case> {
    const BLOCKS: &[&str] = &[
        "cn_r1_k3_s1_c8",
        "cn_r2_k5_s2_c8_acthswish_skipidentity",
        "cn_r2_k3_s1_c8_se0.5_skippool",
        "cp_r2_k3_s2_c8_se0.25",
        "cp_r1_k5_s3_c8_acthswish",
        "ds_r1_k3_s1_c8",
        "ds_r2_k5_s2_c8_actrelu6_skipidentity",
        "ds_r2_k3_s1_c8_se0.25_skippool_acthswish",
        "sep_r2_k3_s2_c8_actrelu6",
        "ir_r1_k3_s1_e3_c8",
        "ir_r2_k5_s2_e6_c8_se0.25",
        "ir_r2_k7_s1_e1_c8_acthswish",
        "ir_r3_k3_s2_e3_c8_se0.25_skippool_acthswish",
        "ir_r2_k3_s1_e6_c8_skipnone_actrelu6",
        "ir_r2_k3_s3_e2_c8_se1",
    ];
    const INPUTS: [Shape; 3] = [
        Shape::new(16, 16, 3),
        Shape::new(13, 11, 1),
        Shape::new(5, 9, 3),
    ];
    /// Every operation on inputs and on nodes, both strides, edges to one state, states of other sizes.
    const CELLS: [&str; 3] = [
        "normal_sep3@0_max3@1 normal_avg3@2_id@2 normal_sep5@0_sep7@1 cell_r3_s1_c6",
        "normal_id@0_id@1 normal_avg3@0_sep3@2 reduce_sep3@0_max3@1 reduce_id@0_avg3@1 reduce_sep5@2_id@3 \
         reduce_sep7@1_id@1 cell_r2_s2_c5_acthswish cell_r2_s2_c8_actrelu6",
        "normal_max3@1_max3@1 normal_join@0 normal_join@1 ir_r1_k3_s2_e3_c4 cell_r1_s1_c1 cell_r2_s1_c4",
    ];
    let mut cases = vec![];
    for input in INPUTS {
        let blocks = BLOCKS.iter().chain(&CELLS);
        for (block, padding) in blocks.flat_map(|b| [(b, ""), (b, "_padsymmetric")]) {
            let text = format!("stem_k3_s2_c8{padding}\n{block}\nhead_c16_drop0.2");
            let name = format!("{block}{padding} on {input}");
            cases.push(Case::of_text(name, &text, input, 5));
        }
    }
    cases
}

/// A random network text over the whole grammar.
pub(crate) fn random_network(seed: u64) -> Case {
    let random = &mut stream(seed, 1, Purpose::Sample);
    let mut pick = |choices: &[&'static str]| choices[random.below(choices.len())];
    const ACTS: &[&str] = &["", "_actrelu6", "_acthswish"];
    const KERNELS: &[&str] = &["k3", "k5", "k7"];
    let mut lines = vec![format!(
        "stem_{}_{}_{}{}{}",
        pick(KERNELS),
        pick(&["s1", "s2"]),
        pick(&["c4", "c8", "c12"]),
        pick(ACTS),
        pick(&["", "_padsymmetric"])
    )];
    for _ in 0..pick(&["1", "22", "333", "4444"]).len() {
        let kind = pick(&["cn", "cp", "ds", "ir", "ir", "sep"]);
        let expand = match kind {
            "ir" => pick(&["", "_e2", "_e3", "_e6"]),
            _ => "",
        };
        let (squeeze, skip) = match kind {
            "sep" => ("", ""),
            _ => (
                pick(&["", "_se0.25", "_se0.5"]),
                pick(&["", "_skippool", "_skipnone", "_skipidentity"]),
            ),
        };
        lines.push(format!(
            "{kind}_{}_{}_{}{expand}_{}{squeeze}{}{skip}",
            pick(&["r1", "r2", "r3"]),
            pick(KERNELS),
            pick(&["s1", "s2", "s2"]),
            pick(&["c6", "c8", "c16"]),
            pick(ACTS)
        ));
    }
    lines.push(format!(
        "head_{}{}",
        pick(&["c0", "c24"]),
        pick(&["", "_drop0.2"])
    ));
    let side = |r: &mut Stream| 9 + r.below(24);
    let input = Shape::new(side(random), side(random), [1, 3][random.below(2)]);
    Case::of_text(format!("network {seed}"), &lines.join("\n"), input, 7)
}

/// The zoo on a small image, whole.
pub(crate) fn zoo() -> Vec<Case> {
    let named = zoo::entries().iter().filter(|e| e.text.is_some());
    named
        .map(|entry| {
            let spec = zoo::find(entry.name).unwrap().spec;
            let graph = spec.graph(Shape::new(32, 32, 3), 10).unwrap();
            Case::new(entry.name.to_string(), graph)
        })
        .collect()
}

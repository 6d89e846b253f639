//! Peak activation memory against cases worked out by hand.

use mnas_net::{Activation, GraphBuilder, NetSpec, NodeId, Op, Shape, cost};

const fn conv(filters: usize) -> Op {
    Op::Conv {
        kernel: 1,
        stride: 1,
        filters,
        bias: false,
    }
}

/// Builds a graph of `(op, inputs)` after a 4x4x2 image and returns its peak.
fn peak(nodes: &[(Op, &[usize])]) -> u64 {
    let mut g = GraphBuilder::new(Shape::new(4, 4, 2)).unwrap();
    let mut ids: Vec<NodeId> = vec![g.input()];
    for (op, inputs) in nodes {
        let inputs: Vec<NodeId> = inputs.iter().map(|i| ids[*i]).collect();
        ids.push(g.add(&format!("n{}", ids.len()), *op, &inputs).unwrap());
    }
    cost(&g.finish(ids[ids.len() - 1])).activation_bytes_peak
}

#[test]
fn peak_counts_what_is_alive() {
    // A value of 4x4xc takes 64 c bytes; the image 128.
    let relu = Op::Act(Activation::Relu);
    assert_eq!(peak(&[(conv(8), &[0])]), 128 + 512);
    // Batch norm and activation run in place.
    assert_eq!(
        peak(&[(conv(8), &[0]), (Op::BATCH_NORM, &[1]), (relu, &[2])]),
        128 + 512
    );
    // A chain frees what it has read: image and 8, then 8 and 2.
    assert_eq!(peak(&[(conv(8), &[0]), (conv(2), &[1])]), 128 + 512);
    // A skip keeps the image alive while 8 and 2 are.
    assert_eq!(
        peak(&[(conv(8), &[0]), (conv(2), &[1]), (Op::Add, &[2, 0])]),
        128 + 512 + 128
    );
    // The gate of squeeze-excitation is 1x1: 8 channels, 32 bytes. Input and product are alive with
    // it, the image no more.
    let gate = [
        (conv(8), &[0][..]),
        (Op::GlobalAvgPool, &[1]),
        (Op::Mul, &[1, 2]),
    ];
    assert_eq!(peak(&gate), 512 + 32 + 512);
}

#[test]
fn peak_of_an_inverted_residual() {
    // Stem 4x4x4 = 256 bytes, kept for the skip; expanded 8 channels = 512 before and 512 after the
    // depthwise convolution. Every other moment has less.
    let spec: NetSpec = "stem_k3_s1_c4; ir_r1_k3_s1_e2_c4; head_c0".parse().unwrap();
    let graph = spec.graph(Shape::new(4, 4, 3), 10).unwrap();
    assert_eq!(cost(&graph).activation_bytes_peak, 256 + 512 + 512);
    // Without the skip the stem is gone by then: 512 + 512 remain.
    let spec: NetSpec = "stem_k3_s1_c4; ir_r1_k3_s1_e2_c4_noskip; head_c0"
        .parse()
        .unwrap();
    let graph = spec.graph(Shape::new(4, 4, 3), 10).unwrap();
    assert_eq!(cost(&graph).activation_bytes_peak, 512 + 512);
}

#[test]
fn macs_and_params_by_layer() {
    let spec: NetSpec = "stem_k3_s2_c8; ds_r1_k5_s1_c4; head_c0".parse().unwrap();
    let graph = spec.graph(Shape::new(6, 6, 3), 10).unwrap();
    let layers: Vec<(String, u64, u64)> = cost(&graph)
        .layers
        .into_iter()
        .map(|l| (l.name, l.params, l.macs))
        .collect();
    let layer = |name: &str, params, macs| (name.to_string(), params, macs);
    assert_eq!(
        layers,
        [
            layer("stem.conv", 8 * 27, 9 * 8 * 27),
            layer("stem.bn", 16, 0),
            layer("blocks.0.0.depthwise.conv", 25 * 8, 9 * 8 * 25),
            layer("blocks.0.0.depthwise.bn", 16, 0),
            layer("blocks.0.0.project.conv", 8 * 4, 9 * 8 * 4),
            layer("blocks.0.0.project.bn", 8, 0),
            layer("classifier", 4 * 10 + 10, 4 * 10),
        ]
    );
}

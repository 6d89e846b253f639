use super::*;
use crate::{NetSpec, Op, Shape, cost};

/// Nodes of a block after an 8x8x8 stem, without the block's prefix.
fn nodes(block: &str) -> String {
    let text = format!("stem_k1_s1_c8 {block} head_c0");
    let spec: NetSpec = text.parse().unwrap();
    let graph = spec.graph(Shape::new(8, 8, 3), 2).unwrap();
    let names = graph.nodes().iter().map(|n| n.name.as_str());
    names
        .filter_map(|n| n.strip_prefix("blocks.0."))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn each_kind_lowers_to_its_layers() {
    let check = |block: &str, expected: &str| assert_eq!(nodes(block), expected, "{block}");
    check("cn_r1_k3_s1_c16", "0.conv 0.bn 0.act");
    check("cn_r1_k3_s1_c8", "0.conv 0.bn 0.act 0.add");
    check(
        "cn_r1_k3_s1_c16_se0.25",
        "0.conv 0.bn 0.act 0.se.pool 0.se.reduce 0.se.act 0.se.expand 0.se.gate 0.se.mul",
    );
    check(
        "cp_r2_k3_s2_c8",
        "0.conv 0.bn 0.act 0.pool 1.conv 1.bn 1.act 1.add",
    );
    check(
        "ds_r1_k3_s1_c8",
        "0.depthwise.conv 0.depthwise.bn 0.depthwise.act 0.project.conv 0.project.bn",
    );
    check(
        "ds_r1_k3_s1_c8_skippool",
        "0.depthwise.conv 0.depthwise.bn 0.depthwise.act 0.project.conv 0.project.bn 0.skip.pool 0.add",
    );
    check(
        "ir_r1_k3_s2_e3_c8_se0.25",
        "0.expand.conv 0.expand.bn 0.expand.act 0.depthwise.conv 0.depthwise.bn 0.depthwise.act \
         0.se.pool 0.se.reduce 0.se.act 0.se.expand 0.se.gate 0.se.mul 0.project.conv 0.project.bn",
    );
    check(
        "sep_r2_k3_s2_c8",
        "0.depthwise.conv 0.depthwise.bn 0.depthwise.act 0.pointwise.conv 0.pointwise.bn \
         0.pointwise.act 1.depthwise.conv 1.depthwise.bn 1.depthwise.act 1.pointwise.conv \
         1.pointwise.bn 1.pointwise.act",
    );
}

/// A separable edge is two of depthwise, pointwise, norm; states are activated once; state 1 of a
/// first layer is the input as it is, and of one after a stride in two halves.
#[test]
fn cells_lower_to_their_graph() {
    let text = "stem_k1_s1_c8 normal_sep3@0_max3@1 normal_id@2_id@0 reduce_id@0_avg3@0 cell_r2_s1_c4 \
                cell_r2_s2_c4 head_c0";
    let spec: NetSpec = text.parse().unwrap();
    let graph = spec.graph(Shape::new(8, 6, 3), 2).unwrap();
    insta::assert_snapshot!(graph);
}

#[test]
fn stride_is_the_first_layer_s_and_skips_are_the_others() {
    let spec: NetSpec = "stem_k1_s1_c8 ir_r3_k5_s2_e3_c8 head_c0".parse().unwrap();
    let graph = spec.graph(Shape::new(9, 9, 3), 2).unwrap();
    let strides: Vec<usize> = graph
        .nodes()
        .iter()
        .filter_map(|n| match n.op {
            Op::DepthwiseConv { stride, .. } => Some(stride),
            _ => None,
        })
        .collect();
    assert_eq!(strides, [2, 1, 1]);
    let adds: Vec<&str> = graph
        .nodes()
        .iter()
        .filter(|n| n.op == Op::Add)
        .map(|n| n.name.as_str())
        .collect();
    assert_eq!(adds, ["blocks.0.1.add", "blocks.0.2.add"]);
}

#[test]
fn a_pooled_convolution_strides_in_its_pool() {
    let windows = |stride: usize| {
        let text = format!("stem_k1_s1_c8 cp_r1_k5_s{stride}_c4 head_c0");
        let spec: NetSpec = text.parse().unwrap();
        let graph = spec.graph(Shape::new(9, 9, 3), 2).unwrap();
        let window = |op: &Op| match *op {
            Op::Conv { kernel, stride, .. } if kernel > 1 => Some((kernel, stride)),
            Op::MaxPool { kernel, stride } => Some((kernel, stride)),
            _ => None,
        };
        let found = graph.nodes().iter().filter_map(|n| window(&n.op));
        found.collect::<Vec<_>>()
    };
    assert_eq!(windows(1), [(5, 1)]);
    assert_eq!(windows(2), [(5, 1), (3, 2)]);
    assert_eq!(windows(3), [(5, 1), (3, 3)]);
    assert_eq!(windows(4), [(5, 1), (5, 4)]);
}

#[test]
fn squeeze_counts_input_channels_in_every_kind() {
    // 0.25 of the first layer's 8 channels, then of the second's 24.
    for block in [
        "cn_r2_k3_s1_c24_se0.25",
        "ds_r2_k3_s1_c24_se0.25",
        "ir_r2_k3_s1_e6_c24_se0.25",
    ] {
        let spec: NetSpec = format!("stem_k1_s1_c8 {block} head_c0").parse().unwrap();
        let graph = spec.graph(Shape::new(8, 8, 3), 2).unwrap();
        let reduce = |name: &str| graph.nodes().iter().find(|n| n.name == name).unwrap().op;
        assert_eq!(reduce("blocks.0.0.se.reduce"), Op::Linear { features: 2 });
        assert_eq!(reduce("blocks.0.1.se.reduce"), Op::Linear { features: 6 });
    }
    // At least 1.
    assert_eq!(parts::squeeze_width(Decimal::from_millionths(1), 8), 1);
}

#[test]
fn squeeze_excitation_has_biases() {
    let params = |se: &str| {
        let text = format!("stem_k1_s1_c8 ir_r1_k3_s1_e3_c8{se} head_c0");
        let spec: NetSpec = text.parse().unwrap();
        cost(&spec.graph(Shape::new(8, 8, 3), 2).unwrap()).params
    };
    assert_eq!(params("_se0.25") - params(""), (24 * 2 + 2) + (2 * 24 + 24));
}

#[test]
fn kinds_are_well_formed() {
    for (i, kind) in BLOCKS.iter().enumerate() {
        let code = kind.code();
        assert!(code.bytes().all(|b| b.is_ascii_lowercase()), "{code}");
        assert!(!["stem", "head"].contains(&code), "{code}");
        assert!(BLOCKS[..i].iter().all(|k| k.code() != code), "{code} twice");
        assert!(!kind.summary().is_empty(), "{code}");
        for key in [Key::HeadWidth, Key::Dropout, Key::Padding] {
            assert!(!kind.takes(key), "{code} takes a key of the head");
        }
        let both = kind
            .required()
            .iter()
            .filter(|k| kind.optional().contains(k));
        assert_eq!(both.count(), 0, "{code}");
    }
}

//! Laws of the text, on random networks and on random text.

use mnas_net::{
    Activation, BLOCKS, Block, BlockKind, Cell, Cells, Decimal, Edge, EdgeOp, Head, Key, NetSpec,
    PaddingRule, Shape, Skip, Stem,
};
use proptest::prelude::*;

fn act() -> impl Strategy<Value = Activation> {
    prop::sample::select(vec![
        Activation::Relu,
        Activation::Relu6,
        Activation::HSwish,
    ])
}

fn skip() -> impl Strategy<Value = Skip> {
    prop::sample::select(vec![Skip::Identity, Skip::Pool, Skip::None])
}

fn padding() -> impl Strategy<Value = PaddingRule> {
    prop::sample::select(vec![PaddingRule::Same, PaddingRule::Symmetric])
}

fn decimal(most: Key) -> impl Strategy<Value = Decimal> {
    let most = most.most().millionths();
    prop_oneof![Just(0), Just(250_000), 0..=most].prop_map(Decimal::from_millionths)
}

fn odd(most: usize) -> impl Strategy<Value = usize> {
    (0..=(most - 1) / 2).prop_map(|n| 2 * n + 1)
}

/// Keys that a kind doesn't take keep their neutral value.
fn fit(mut b: Block) -> Block {
    if !b.kind.takes(Key::Kernel) {
        b.kernel = 1;
    }
    if b.repeats == 0 {
        b.stride = 1;
    }
    if !b.kind.takes(Key::Expand) {
        b.expand = 1;
    }
    if !b.kind.takes(Key::Squeeze) {
        b.squeeze = Decimal::ZERO;
    }
    if !b.kind.takes(Key::Act) {
        b.act = Activation::Relu;
    }
    if !b.kind.takes(Key::Skip) {
        b.skip = b.kind.default_skip();
    }
    b
}

fn kind() -> impl Strategy<Value = &'static dyn BlockKind> {
    (0..BLOCKS.len()).prop_map(|i| BLOCKS[i])
}

prop_compose! {
    /// Any block that a text can describe.
    fn any_block()(
        kind in kind(), repeats in 0..=64usize, kernel in odd(31), stride in 1..=8usize,
        expand in 1..=64usize, width in 1..=16384usize, squeeze in decimal(Key::Squeeze), act in act(), skip in skip(),
    ) -> Block {
        fit(Block { kind, repeats, kernel, stride, expand, width, squeeze, act, skip })
    }
}

/// A cell of some nodes; each reads states before it.
fn cell(nodes: std::ops::Range<usize>) -> impl Strategy<Value = Cell> {
    let edge = || (0..EdgeOp::ALL.len(), any::<prop::sample::Index>());
    let node = (edge(), edge());
    let joined = prop::collection::vec(any::<prop::sample::Index>(), 0..2);
    (prop::collection::vec(node, nodes), joined).prop_map(|(nodes, joined)| {
        let edge = |i: usize, (op, state): (usize, prop::sample::Index)| Edge {
            state: state.index(i + 2),
            op: EdgeOp::ALL[op].1,
        };
        let states = nodes.len() + 2;
        let nodes = nodes.into_iter().enumerate();
        Cell {
            nodes: nodes.map(|(i, (a, b))| [edge(i, a), edge(i, b)]).collect(),
            joined: joined.into_iter().map(|s| s.index(states)).collect(),
        }
    })
}

fn cells(nodes: std::ops::Range<usize>) -> impl Strategy<Value = Cells> {
    (cell(nodes.clone()), cell(nodes)).prop_map(|(normal, reduction)| Cells { normal, reduction })
}

prop_compose! {
    /// Any network that a text can describe.
    fn any_net()(
        (kernel, stride, width, stem_act, padding) in (odd(31), 1..=8usize, 1..=16384usize, act(), padding()),
        cells in cells(1..6),
        blocks in prop::collection::vec(any_block(), 0..8),
        (head, dropout, head_act) in (0..=16384usize, decimal(Key::Dropout), act()),
    ) -> NetSpec {
        NetSpec {
            stem: Stem { kernel, stride, width, act: stem_act, padding },
            cells,
            blocks,
            head: Head { width: head, dropout, act: head_act },
        }
    }
}

prop_compose! {
    /// A block from so few choices that two often are the same network.
    fn few_block()(
        kind in kind(), repeats in 0..=2usize, stride in 1..=2usize, expand in 1..=2usize,
        wide in any::<bool>(), squeeze in prop::sample::select(vec![0, 0, 60_000, 100_000, 200_000, 240_000, 250_000, 260_000, 310_000, 313_000]), skip in skip(),
    ) -> Block {
        let (width, squeeze) = (if wide { 16 } else { 10 }, Decimal::from_millionths(squeeze));
        fit(Block { kind, repeats, kernel: 3, stride, expand, width, squeeze, act: Activation::Relu, skip })
    }
}

fn few_net() -> impl Strategy<Value = NetSpec> {
    let head = prop::sample::select(vec![Activation::Relu, Activation::Relu6]);
    let cells = cells(1..2);
    (few_block(), cells, 0..=1usize, head).prop_map(|(block, cells, width, act)| NetSpec {
        stem: Stem {
            kernel: 1,
            stride: 1,
            width: 10,
            act: Activation::Relu,
            padding: PaddingRule::Same,
        },
        cells,
        blocks: vec![block],
        head: Head {
            width,
            dropout: Decimal::ZERO,
            act,
        },
    })
}

/// Text that comes close to the grammar.
fn near_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "stem",
        "head",
        "ir",
        "cn",
        "cp",
        "ds",
        "sep",
        "cell",
        "normal",
        "reduce_sep3@0_id@1",
        "_sep3@0",
        "_join@1",
        "_id@9",
        "_r0",
        "_",
        "_",
        "_r2",
        "_k3",
        "_k4",
        "_s1",
        "_e6",
        "_c8",
        "_c0",
        "_c16384",
        "_se0.25",
        "_se",
        "_drop0.2",
        "_actrelu6",
        "_skippool",
        "_noskip",
        "\n",
        ";",
        " ",
        "#",
        "é",
        "\r\n",
        "0",
        ".",
        "stem_k3_s2_c8\n",
        "ir_r2_k3_s2_e6_c24\n",
        "head_c8",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|p| p.concat())
}

/// Whatever a text is, nothing about it panics; an error lies inside the text or just behind it.
fn never_panics(text: &str) {
    match text.parse::<NetSpec>() {
        Ok(spec) => {
            assert_eq!(spec.to_string().parse(), Ok(spec.clone()));
            let _ = (spec.hash(), spec.scaled(0.3).hash());
            if let Ok(graph) = spec.graph(Shape::new(32, 32, 3), 10) {
                let _ = mnas_net::cost(&graph);
            }
        }
        Err(e) => {
            let lines: Vec<&str> = text.lines().collect();
            let line = lines.get(e.line - 1).copied().unwrap_or("");
            assert!(
                (1..=line.chars().count() + 1).contains(&e.column),
                "{text:?}: {e}"
            );
        }
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(net in any_net()) {
        for net in [net.canonical(), net.scaled(0.37), net] {
            prop_assert_eq!(net.to_string().parse(), Ok(net.clone()));
            prop_assert_eq!(format!("{net:#}").parse(), Ok(net));
        }
    }

    #[test]
    fn canonical_is_idempotent(net in any_net()) {
        prop_assert_eq!(net.canonical().canonical(), net.canonical());
        prop_assert_eq!(net.canonical().hash(), net.hash());
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        never_panics(&text);
    }

    #[test]
    fn nearly_right_text_never_panics(text in near_text()) {
        never_panics(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Same hash, same canonical text and same graph are one thing.
    #[test]
    fn same_hash_is_same_network(a in few_net(), b in few_net()) {
        let graph = |n: &NetSpec| n.graph(Shape::new(9, 9, 3), 2).unwrap();
        prop_assert_eq!(graph(&a.canonical()), graph(&a));
        let same = graph(&a) == graph(&b);
        prop_assert_eq!(a.canonical() == b.canonical(), same, "{:#} | {:#}", a, b);
        prop_assert_eq!(a.canonical().to_string() == b.canonical().to_string(), same);
        prop_assert_eq!(a.hash() == b.hash(), same);
    }
}

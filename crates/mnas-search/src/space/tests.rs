use std::collections::BTreeSet;

use mnas_net::{NetSpec, Purpose, Shape, cost, stream, zoo};
use proptest::prelude::*;

use super::*;

fn builtin(name: &str) -> Space {
    Space::parse(name, builtin::text(name).expect("known")).expect("a built-in space parses")
}

fn net(name: &str) -> NetSpec {
    zoo::find(name).expect("in the zoo").spec
}

fn random(space: &Space, seed: u64) -> Tokens {
    space.sample(&mut stream(seed, 0, Purpose::Sample))
}

#[test]
fn built_in_spaces_parse_and_are_as_large_as_told() {
    assert_eq!(
        Space::builtin_names(),
        [
            "mnasnet",
            "mnasnet-small",
            "mixed-small",
            "proxyless",
            "proxyless-small",
            "nasnet",
            "nasnet-small"
        ]
    );
    for name in Space::builtin_names() {
        assert_eq!(Space::builtin(name).as_ref(), Some(&builtin(name)));
    }
    assert_eq!(Space::builtin("darts"), None);
    // Five blocks of the paper's 432 combinations, two of 288, as a single layer can't lose one.
    let expected = 5.0 * 432f64.log10() + 2.0 * 288f64.log10();
    assert!((builtin("mnasnet").size_log10() - expected).abs() < 1e-12);
    // 22 layers; 16 of them may be left out.
    let expected = 3f64.log10() + 6.0 * 6f64.log10() + 15.0 * 7f64.log10();
    assert!((builtin("proxyless").size_log10() - expected).abs() < 1e-12);
    // Two cells; node n takes two of n + 2 states through six operations. Three stacks' repeats.
    let node = |n: i32| 2.0 * (6.0 * f64::from(n + 2)).log10();
    let expected = 2.0 * (0..5).map(node).sum::<f64>() + 3.0 * 3f64.log10();
    assert!((builtin("nasnet").size_log10() - expected).abs() < 1e-12);
}

#[test]
fn published_networks_are_points() {
    let cases = [
        ("mnasnet", "mnasnet-a1"),
        ("mnasnet", "mnasnet-b1"),
        ("mnasnet-small", "mnasnet-a1-small"),
    ];
    for (space, name) in cases {
        let space = builtin(space);
        let spec = net(name);
        let tokens = space
            .encode(&spec)
            .unwrap_or_else(|| panic!("{name} isn't a point"));
        let decoded = space.decode(&tokens).unwrap();
        assert_eq!(decoded, spec.canonical(), "{name}");
        assert_eq!(decoded.hash(), spec.hash());
    }
    let relu = zoo::find("mobilenet-v2-small").unwrap().spec.to_string();
    let relu = relu.replace("_actrelu6", "").parse().unwrap();
    assert!(builtin("mnasnet-small").encode(&relu).is_some());
    assert_eq!(builtin("mnasnet-small").encode(&net("mnasnet-a1")), None);
    assert_eq!(
        builtin("mnasnet").encode(&net("mobilenet-v2")),
        None,
        "ReLU6"
    );
    assert_eq!(
        builtin("mnasnet").encode(&net("mnasnet-small")),
        None,
        "stem of 8"
    );
}

/// Each layer of the per-layer space stands for one of MnasNet-B1's, which therefore costs the same.
#[test]
fn mnasnet_b1_is_a_point_of_the_per_layer_space_layer_by_layer() {
    let space = builtin("proxyless");
    let stages = [
        (3, "e3"),
        (5, "e3"),
        (5, "e6"),
        (3, "e6"),
        (5, "e6"),
        (3, "e6"),
    ];
    let repeats = [3, 3, 3, 2, 4, 1];
    let mut names = vec!["3".to_owned()];
    for ((kernel, expand), layers) in stages.into_iter().zip(repeats) {
        let most = if layers == 1 { 1 } else { 4 };
        for layer in 0..most {
            names.push(match layer < layers {
                true => format!("r1_k{kernel}_{expand}"),
                false => "r0_k3".into(),
            });
        }
    }
    let choice = |(d, name): (&Decision, &String)| {
        let found = d.choices.iter().position(|c| c == name);
        found.unwrap_or_else(|| panic!("{}: {name}", d.name)) as u16
    };
    let tokens: Tokens = space.decisions().iter().zip(&names).map(choice).collect();
    let spec = space.decode(&tokens).unwrap();
    let cost_of = |s: &NetSpec| cost(&s.graph(Shape::new(224, 224, 3), 1000).unwrap());
    let (ours, b1) = (cost_of(&spec), cost_of(&net("mnasnet-b1")));
    assert_eq!((ours.params, ours.macs), (b1.params, b1.macs));
    assert_eq!(space.encode(&spec), Some(tokens));
    assert_eq!(space.decisions()[1].name, "block1.op");
}

/// Samples that leave out other layers of a stage may be one network; the first is its code.
#[test]
fn absent_layers_are_aligned() {
    let text =
        "stem_k3_s1_c8\nds_r1_k3_s1_c8\nds_r{1,0}_k{3,5}_s1_c8\nds_r{1,0}_k{3,5}_s1_c8\nhead_c8";
    let space = Space::parse("t", text).unwrap();
    let spec = |tokens: &[u16]| space.decode(tokens).unwrap();
    assert_eq!(spec(&[1, 0, 0, 1]), spec(&[0, 1, 1, 0]));
    assert_eq!(space.encode(&spec(&[1, 0, 0, 1])), Some(vec![0, 1, 1, 0]));
    assert_eq!(space.encode(&spec(&[1, 1, 1, 1])), Some(vec![1, 0, 1, 0]));
    let foreign = "stem_k3_s1_c8 ds_r1_k3_s1_c8 ds_r1_k7_s1_c8 head_c8";
    assert_eq!(space.encode(&foreign.parse().unwrap()), None);
}

/// Decisions of a cell are named after its node; its edges may stand in either order, and where no
/// block uses it they can't matter.
#[test]
fn cells_decode_and_encode() {
    let text = "stem_k3_s1_c8\nnormal_{id,sep3}@{0,1}_{id,sep3}@{0,1}\nreduce_{id,max3}@0_id@1\n\
                cell_r1_s{1,2}_c4\nhead_c8";
    let space = Space::parse("t", text).unwrap();
    let names: Vec<&str> = space.decisions().iter().map(|d| d.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "normal0.op",
            "normal0.state",
            "normal0.op2",
            "normal0.state2",
            "reduce0.op",
            "block0.stride"
        ]
    );
    let spec = |tokens: &[u16]| space.decode(tokens).unwrap();
    assert_eq!(spec(&[1, 1, 0, 0, 1, 0]), spec(&[0, 0, 1, 1, 0, 0]));
    assert_eq!(
        space.encode(&spec(&[1, 1, 0, 0, 1, 0])),
        Some(vec![0, 0, 1, 1, 0, 0])
    );
    assert_eq!(
        space.encode(&spec(&[1, 1, 1, 0, 1, 1])),
        Some(vec![0, 0, 0, 0, 1, 1])
    );
}

/// Networks for 28 pixels should take seconds to train, not minutes: from a million MACs to a limit.
#[test]
fn small_networks_are_small() {
    for (name, ratio, most) in [
        ("mnasnet-small", 4, 20_000_000),
        // Dense convolutions take less time per multiply-accumulate.
        ("mixed-small", 4, 50_000_000),
        ("proxyless-small", 1, 20_000_000),
        ("nasnet-small", 2, 20_000_000),
    ] {
        small_networks(&builtin(name), ratio, most);
    }
}

fn small_networks(space: &Space, ratio: u64, most: u64) {
    let mut macs: Vec<u64> = (0..300)
        .map(|seed| {
            let spec = space.decode(&random(space, seed)).unwrap();
            cost(&spec.graph(Shape::new(28, 28, 1), 10).unwrap()).macs
        })
        .collect();
    macs.sort_unstable();
    assert!(macs[15] > 1_000_000 && macs[285] < most, "{macs:?}");
    assert!(
        macs[285] > ratio * macs[15],
        "latencies should differ: {macs:?}"
    );
}

#[test]
fn decisions_are_named_after_block_and_key() {
    let text = "stem_k3_s{1,2}_c{8,16}  # images of any size\n\
                {cn_r1,ir_r2_e3}_k{3,5}_s1_c1{6,28}_{se0.25,noskip}; ds_r1_k3_s1_c8_act{relu,hswish}_skip{pool,none}\n\
                head_c{0,64}_drop{0,0.2}";
    let space = Space::parse("any", text).unwrap();
    let names: Vec<&str> = space.decisions().iter().map(|d| d.name.as_str()).collect();
    let expected = [
        "stem.stride",
        "stem.width",
        "block0.op",
        "block0.kernel",
        "block0.width",
        "block0.se",
        "block1.act",
        "block1.skip",
        "head.width",
        "head.dropout",
    ];
    assert_eq!(names, expected);
    assert_eq!(space.decisions()[2].choices, ["cn_r1", "ir_r2_e3"]);
    let spec = space.decode(&[1, 0, 1, 1, 1, 0, 1, 0, 1, 1]).unwrap();
    let same =
        "stem_k3_s2_c8; ir_r2_k5_s1_e3_c128_se0.25; ds_r1_k3_s1_c8_acthswish; head_c64_drop0.2";
    assert_eq!(spec, same.parse::<NetSpec>().unwrap().canonical());
    assert_eq!((space.name(), space.text()), ("any", text));
    let twice = "stem_k3_s1_c8; {cn,ds}_r1_k{3,5}_s1_c{1,2}{6,8}; head_c8";
    let names: Vec<String> = Space::parse("t", twice)
        .unwrap()
        .decisions()
        .iter()
        .map(|d| d.name.clone())
        .collect();
    assert_eq!(
        names,
        [
            "block0.op",
            "block0.kernel",
            "block0.width",
            "block0.width2"
        ]
    );
}

#[test]
fn faults_have_a_place() {
    // Text and the message; `S` and `H` stand for a stem and a head.
    let cases = [
        (
            "S\ncn_r1_k{3,5_s1_c8\nH",
            "line 2, column 8: the hole isn't closed on its line",
        ),
        (
            "S\ncn_r1_k3}_s1_c8\nH",
            "line 2, column 9: a hole is closed that wasn't opened",
        ),
        (
            "S\ncn_r1_k{3,{5,7}}_s1_c8\nH",
            "line 2, column 11: a hole can't hold a hole",
        ),
        (
            "S\ncn_r1_k{3,}_s1_c8\nH",
            "line 2, column 11: a choice is empty",
        ),
        (
            "S\ncn_r1_k{}_s1_c8\nH",
            "line 2, column 9: a choice is empty",
        ),
        (
            "S\ncn_r1_k{3,5, 3}_s1_c8\nH",
            "line 2, column 13: choice \"3\" stands twice in its hole",
        ),
        (
            "S\ncn_r1_k{3,5 7}_s1_c8\nH",
            "line 2, column 11: choice \"5 7\" would break its line",
        ),
        (
            "S\ncn_r1_k{3,5}_s1_c8_q{1,2}\nH",
            "line 2, column 20: with block0.kernel=3, block0.q=1: cn takes no key \"q\"; it takes r, k, s, c, se, act, skip",
        ),
        // The second choice alone is at fault, and its place is that of the choice.
        (
            "S\n# a comment {\n  cn_r1_k{3,4}_s1_c{8,16}\nH",
            "line 3, column 13: with block0.kernel=4, block0.width=8: k must be odd, not 4",
        ),
        // Each choice is fine alone; two together are not.
        (
            "S\n{ir,ir_e3}_r1_k3_s1_c8{_se0.25,_e6}\nH",
            "line 2, column 33: with block0.op=ir_e3, block0.se=_e6: e is given twice",
        ),
        (
            "S\n{cn_k3,ds}_r1_{s1,s1_k3}_c8\nH",
            "line 2, column 8: with block0.op=ds, block0.stride=s1: ds needs k",
        ),
        (
            "cn_r1_k3_s1_c{8,16}\nH",
            "line 1, column 1: with stem.width=8: the first line must be a stem, as stem_k3_s2_c32",
        ),
        (
            "",
            "line 1, column 1: with this text: the first line must be a stem, as stem_k3_s2_c32",
        ),
        (
            "S\nH\nH",
            "line 3, column 1: with this line: nothing may follow the head",
        ),
    ];
    for (text, message) in cases {
        let text = text.replace('S', "stem_k3_s1_c8").replace('H', "head_c8");
        let error = Space::parse("t", &text).map(|_| text.clone()).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn a_line_with_too_many_combinations_is_refused() {
    let many: Vec<String> = (1..=400).map(|c| c.to_string()).collect();
    let many = many.join(",");
    let text = format!(
        "stem_k3_s1_c8\nds_r1_k{{3,5}}_s1_c{{{many}}}_se{{0,0.25}}_act{{relu,relu6}}\nhead_c8"
    );
    assert_eq!(Space::parse("t", &text).unwrap().decisions().len(), 4);
    let text = format!("stem_k3_s1_c{{{many}}}\nds_r1_k3_s1_e{{{many}}}_c{{{many}}}\nhead_c8");
    assert_eq!(
        Space::parse("t", &text).unwrap_err().to_string(),
        "line 2, column 1: the holes of a line have 160000 combinations, 100000 at most"
    );
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let space = Space::parse("t", "stem_k3_s1_c8\ncn_r1_k{3,5}_s1_c{8,16}\nhead_c8").unwrap();
    let message = |tokens: &[u16]| space.decode(tokens).unwrap_err().to_string();
    assert_eq!(
        message(&[0]),
        "line 1, column 1: a sample has 2 tokens, not 1"
    );
    assert_eq!(
        message(&[0, 2]),
        "line 2, column 18: decision block0.width has 2 choices, token 2 isn't one"
    );
}

/// A skip can't matter where a block has one layer that changes its width: two samples, one network.
#[test]
fn encoding_prefers_the_first_of_equal_choices() {
    let space = builtin("mnasnet");
    let mut tokens = space.encode(&net("mnasnet-a1")).unwrap();
    assert_eq!(tokens[41], 0, "the last block's skip is dead");
    let spec = space.decode(&tokens).unwrap();
    tokens[41] = 2;
    assert_eq!(space.decode(&tokens).unwrap(), spec);
    assert_eq!(space.encode(&spec).unwrap()[41], 0);
}

#[test]
fn samples_are_spread_over_all_choices() {
    let space = builtin("mnasnet-small");
    let mut seen = BTreeSet::new();
    let mut draws = stream(1, 0, Purpose::Sample);
    for _ in 0..200 {
        seen.extend(space.sample(&mut draws).into_iter().enumerate());
    }
    assert_eq!(
        seen.len(),
        space
            .decisions()
            .iter()
            .map(|d| d.choices.len())
            .sum::<usize>()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_what_was_encoded_is_the_same_network(seed: u64, which in 0..Space::builtin_names().len()) {
        let space = builtin(Space::builtin_names()[which]);
        let spec = space.decode(&random(&space, seed)).unwrap();
        prop_assert_eq!(&spec, &spec.canonical());
        let tokens = space.encode(&spec).unwrap();
        prop_assert_eq!(space.decode(&tokens).unwrap(), spec);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(stem_k3_s1_c8\n)?[a-z0-9_{},;# \n]{0,60}(\nhead_c8)?") {
        if let Ok(space) = Space::parse("t", &text) {
            let tokens = vec![0; space.decisions().len()];
            prop_assert!(space.decode(&tokens).is_ok());
        }
    }
}

#[test]
fn balanced_samples_take_every_choice_equally_often() {
    let space = builtin("mnasnet");
    let samples = space.balanced(36, &mut stream(7, 0, Purpose::Sample));
    assert_eq!(samples.len(), 36);
    for (i, decision) in space.decisions().iter().enumerate() {
        let choices = decision.choices.len();
        let mut counts = vec![0; choices];
        samples.iter().for_each(|s| counts[usize::from(s[i])] += 1);
        let (least, most) = (36 / choices, 36usize.div_ceil(choices));
        assert!(
            counts.iter().all(|c| (least..=most).contains(c)),
            "{}: {counts:?}",
            decision.name
        );
    }
    samples.iter().for_each(|s| drop(space.decode(s).unwrap()));
}

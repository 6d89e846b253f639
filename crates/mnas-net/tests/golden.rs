//! Exact costs of the zoo. Conventions: trainable values with batch norm's scale and shift but not
//! its running statistics; multiply-accumulates of convolutions and linear layers, those of
//! squeeze-excitation included.

use mnas_net::{Shape, cost, zoo};

fn check(name: &str, channels: usize, classes: usize, params: u64, macs: u64) {
    let net = zoo::find(name).unwrap();
    let image = Shape::new(net.input, net.input, channels);
    let cost = cost(&net.spec.graph(image, classes).unwrap());
    assert_eq!((cost.params, cost.macs), (params, macs), "{name}");
    // What a study stores and evaluates is the canonical text.
    let canonical = net.spec.canonical().graph(image, classes).unwrap();
    assert_eq!(canonical, net.spec.graph(image, classes).unwrap(), "{name}");
}

#[test]
fn published_networks() {
    // The paper: 3.9 M and 312 M; no published B1 count, torchvision's is 4,383,312 too.
    check("mnasnet-a1", 3, 1000, 3_887_038, 311_579_072);
    check("mnasnet-b1", 3, 1000, 4_383_312, 314_415_872);
    check("mnasnet-small", 3, 1000, 2_030_264, 68_339_184);
    check("mobilenet-v1", 3, 1000, 4_231_976, 568_740_352);
    check("mobilenet-v2", 3, 1000, 3_504_872, 300_774_272);
}

/// The parameters are those of the published weights, to the last one; the paper: 564 M.
#[test]
fn cells() {
    check("nasnet-a-mobile", 3, 1000, 5_289_978, 563_909_984);
}

#[test]
fn widths() {
    check("mnasnet-a1-1.4x", 3, 1000, 6_105_992, 586_317_952);
    check("mnasnet-a1-0.75x", 3, 1000, 2_912_278, 223_448_480);
    check("mnasnet-a1-0.5x", 3, 1000, 2_082_006, 103_162_992);
    check("mnasnet-a1-0.35x", 3, 1000, 1_747_018, 61_681_920);
    // Parameters as torchvision's mnasnet0_75 and mnasnet0_5.
    check("mnasnet-b1-0.75x", 3, 1000, 3_170_208, 215_493_104);
    check("mnasnet-b1-0.5x", 3, 1000, 2_218_512, 104_455_968);
    check("mobilenet-v2-0.35x", 3, 1000, 1_677_128, 59_285_808);
}

#[test]
fn input_sizes() {
    check("mnasnet-a1@192", 3, 1000, 3_887_038, 229_322_144);
    check("mnasnet-a1@160", 3, 1000, 3_887_038, 159_720_128);
    check("mnasnet-a1@128", 3, 1000, 3_887_038, 102_773_024);
    check("mnasnet-a1@96", 3, 1000, 3_887_038, 58_480_832);
}

#[test]
fn references_for_small_images() {
    check("mobilenet-v2-small", 1, 10, 250_778, 7_835_920);
    check("mobilenet-v2-small@32", 3, 10, 250_922, 9_481_216);
    check("mnasnet-a1-small", 1, 10, 308_094, 9_740_896);
    check("mnasnet-a1-small@32", 3, 10, 308_238, 11_899_552);
}

#[test]
fn small_references_are_the_large_ones_at_a_quarter_width() {
    for (small, large, strided) in [
        ("mnasnet-a1-small", "mnasnet-a1-0.25x", 1),
        ("mobilenet-v2-small", "mobilenet-v2-0.25x", 1),
    ] {
        let mut expected = zoo::find(large).unwrap().spec;
        expected.stem.stride = 1;
        assert_eq!(
            expected.blocks.iter().position(|b| b.stride == 2),
            Some(strided)
        );
        expected.blocks[strided].stride = 1;
        assert_eq!(zoo::find(small).unwrap().spec, expected);
    }
}

use super::*;
use crate::zoo;

/// A text with one block between a stem and a head.
fn with(block: &str) -> String {
    format!("stem_k3_s2_c16\n{block}\nhead_c0")
}

fn spec(text: &str) -> NetSpec {
    text.parse().unwrap()
}

/// The text is refused with this message.
fn check_fault(text: &str, message: &str) {
    let error = text.parse::<NetSpec>().unwrap_err();
    assert_eq!(error.to_string(), message, "{text:?}");
}

#[test]
fn unknown_repeated_and_missing_keys_are_faults() {
    let block = |text: &str, message: &str| check_fault(&with(text), message);
    block(
        "xx_r1_k3",
        r#"line 2, column 1: unknown block "xx"; known: stem, cn, cp, ds, ir, sep, cell, head"#,
    );
    block(
        "IR_r1_k3_s1_c8",
        r#"line 2, column 1: unknown block "IR"; known: stem, cn, cp, ds, ir, sep, cell, head"#,
    );
    block(
        "ir_r1_k3_s1_c8_g2",
        r#"line 2, column 16: ir takes no key "g"; it takes r, k, s, e, c, se, act, skip"#,
    );
    block(
        "ds_r1_k3_s1_e6_c8",
        r#"line 2, column 13: ds takes no key "e"; it takes r, k, s, c, se, act, skip"#,
    );
    block(
        "cn_e3_r1_k3_s1_c8",
        r#"line 2, column 4: cn takes no key "e"; it takes r, k, s, c, se, act, skip"#,
    );
    block(
        "sep_r1_k3_s1_c8_noskip",
        r#"line 2, column 17: sep takes no key "skip"; it takes r, k, s, c, act"#,
    );
    block(
        "ir_r1_k3_s1_c8_8",
        r#"line 2, column 16: ir takes no key "8"; it takes r, k, s, e, c, se, act, skip"#,
    );
    block("ir_r1_k3_r2_s1_c8", "line 2, column 10: r is given twice");
    block(
        "ir_r1_k3_s1_c8_skippool_noskip",
        "line 2, column 25: skip is given twice",
    );
    block("  ir_r1_k3_c8", "line 2, column 3: ir needs s");
    block("ds", "line 2, column 1: ds needs r");
    block(
        "ir_r1__k3_s1_c8",
        "line 2, column 7: a key is missing between underscores",
    );
    block(
        "ir_r1_k3_s1_c8_",
        "line 2, column 16: a key is missing between underscores",
    );
}

#[test]
fn values_out_of_range_are_faults() {
    let block = |text: &str, message: &str| check_fault(&with(text), message);
    block(
        "ir_r0_k3_s2_c8",
        "line 2, column 1: a block of no layers (r0) has no stride",
    );
    block(
        "ir_r1_k3_s1_c8_e0",
        "line 2, column 17: e must be at least 1",
    );
    block("ir_r1_k3_s22_c8", "line 2, column 11: s must be at most 8");
    block(
        "ir_r1_k3_s1_c99999999999999999999999",
        "line 2, column 14: c must be at most 16384",
    );
    block(
        "ir_r1_k3_s1_c8_se16.5",
        "line 2, column 18: se must be at most 16",
    );
    block("ir_r1_k4_s1_c8", "line 2, column 8: k must be odd, not 4");
    block(
        "ir_r1_k_s1_c8",
        r#"line 2, column 8: k takes a whole number, not """#,
    );
    block(
        "ir_r1_k3.0_s1_c8",
        r#"line 2, column 8: k takes a whole number, not "3.0""#,
    );
    block(
        "ir_r-1_k3_s1_c8",
        r#"line 2, column 5: r takes a whole number, not "-1""#,
    );
    block(
        "ir_r1_k3_s1_c8_se.5",
        r#"line 2, column 18: se takes a number like 0.25, not ".5""#,
    );
    block(
        "ir_r1_k3_s1_c8_se1e3",
        r#"line 2, column 18: se takes a number like 0.25, not "1e3""#,
    );
    block(
        "ir_r1_k3_s1_c8_se0.1234567",
        "line 2, column 18: se takes at most six decimals",
    );
    block(
        "ir_r1_k3_s1_c8_actgelu",
        r#"line 2, column 19: act takes relu, relu6 or hswish, not "gelu""#,
    );
    block(
        "ir_r1_k3_s1_c8_skip",
        r#"line 2, column 20: skip takes identity, pool or none, not """#,
    );
}

#[test]
fn faults_of_cells() {
    let block = |text: &str, message: &str| check_fault(&with(text), message);
    block(
        "cell_r1_s1_c8",
        "line 2, column 1: the network's normal cell isn't described; add lines like normal_sep3@0_id@1 before the blocks",
    );
    block(
        "normal_id@0_id@1 cell_r2_s2_c8",
        "line 2, column 18: the network's reduce cell isn't described; add lines like reduce_sep3@0_id@1 before the blocks",
    );
    block(
        "cell_r1_k3_s1_c8",
        r#"line 2, column 9: cell takes no key "k"; it takes r, s, c, act"#,
    );
    block(
        "normal_sep3@0_sep4@1",
        r#"line 2, column 15: "sep4@1" is no edge like sep3@0; operations: sep3, sep5, sep7, avg3, max3, id"#,
    );
    block(
        "normal_sep3@0_id@2",
        r#"line 2, column 18: "2" is no state; here they are 0 to 1"#,
    );
    block(
        "normal_sep3@0_id@1 normal_id@3_id@0",
        r#"line 2, column 30: "3" is no state; here they are 0 to 2"#,
    );
    block(
        "normal_join@+1",
        r#"line 2, column 13: "+1" is no state; here they are 0 to 1"#,
    );
    block(
        "normal_sep3@0",
        "line 2, column 1: a node of a cell is two edges, as normal_sep3@0_id@1; a state that joins is normal_join@1",
    );
    block(
        "cn_r1_k1_s1_c8 normal_id@0_id@1",
        "line 2, column 16: cells are described before the first block",
    );
    let nodes = "normal_id@0_id@1 ".repeat(17);
    let text = format!("{nodes} cell_r1_s1_c8");
    block(&text, "line 2, column 273: a cell has at most 16 nodes");
}

#[test]
fn cells_and_absent_blocks_have_one_form() {
    let check = |text: &str, expected: &str| {
        let spec: NetSpec = with(text).parse().unwrap();
        let canonical: NetSpec = with(expected).parse().unwrap();
        assert_eq!(
            spec.canonical().to_string(),
            canonical.to_string(),
            "{text}"
        );
        assert_eq!(spec.hash(), canonical.hash(), "{text}");
    };
    check("ir_r0_k5_s1_c64_e6 ds_r1_k3_s1_c8", "ds_r1_k3_s1_c8");
    // The block after an absent one reads what the one before gives: its skip is dead.
    check(
        "ds_r1_k3_s1_c8 cn_r0_k3_s1_c16 cn_r1_k3_s1_c16_skippool",
        "ds_r1_k3_s1_c8 cn_r1_k3_s1_c16",
    );
    check(
        "normal_id@1_sep3@0 normal_join@2 reduce_avg3@0_id@1 cell_r2_s1_c8",
        "normal_sep3@0_id@1 cell_r2_s1_c8",
    );
    check("normal_max3@0_id@1 cn_r1_k1_s1_c8", "cn_r1_k1_s1_c8");
    // Of two nodes, one of which reads the other: 8 channels, not 16, so the squeeze is of 2.
    check(
        "normal_sep3@0_id@1 normal_id@2_id@2 cell_r1_s1_c8 cn_r1_k1_s1_c4_se0.35",
        "normal_sep3@0_id@1 normal_id@2_id@2 cell_r1_s1_c8 cn_r1_k1_s1_c4_se0.25",
    );
}

#[test]
fn stem_and_head_in_the_wrong_place_are_faults() {
    let check = check_fault;
    let block = |text: &str, message: &str| check(&with(text), message);
    block(
        "stem_k3_s2_c8",
        "line 2, column 1: a network has one stem, its first line",
    );
    block(
        "head_c0; ds_r1_k3_s1_c8",
        "line 2, column 10: nothing may follow the head",
    );
    let deep = ["cn_r64_k1_s1_c8"; 9].join(";");
    block(&deep, "line 2, column 129: more than 512 layers");
    let stemless = "the first line must be a stem, as stem_k3_s2_c32";
    check("", &format!("line 1, column 1: {stemless}"));
    check("# só\n ä", &format!("line 2, column 2: {stemless}"));
    let headless = "the last line must be a head, as head_c1280_drop0.2";
    check(
        "stem_k3_s1_c8 ; ",
        &format!("line 1, column 14: {headless}"),
    );
    check(
        "stem_k3_s1_c8\nhead_c0_drop1",
        "line 2, column 13: drop must be at most 0.99",
    );
    check(
        "stem_k3_s1_c8_r2 head_c0",
        r#"line 1, column 15: stem takes no key "r"; it takes k, s, c, act, pad"#,
    );
    check(
        "stem_k3_s1_c8\nhead_drop0",
        "line 2, column 1: head needs c",
    );
}

#[test]
fn columns_count_characters() {
    let error = "stem_k3_s1_c8\u{a0}é_r1".parse::<NetSpec>().unwrap_err();
    assert_eq!((error.line, error.column), (1, 15));
    let error = with("ir_ré").parse::<NetSpec>().unwrap_err();
    assert_eq!((error.line, error.column), (2, 4));
}

#[test]
fn separators_comments_and_key_order_don_t_matter() {
    let expected = spec("stem_k3_s2_c16\nir_r2_k5_s2_e3_c24_se0.25\nhead_c64_drop0.2");
    for text in [
        "stem_k3_s2_c16; ir_e3_r2_k5_s2_c24_se0.250;head_c64_drop0.2",
        "  stem_c16_s2_k3 ir_se0.25_c24_s2_k05_e3_r2\thead_drop0.20_c64 ;;",
        "# net\r\nstem_k3_s2_c16 # stem; not a block\r\n\r\nir_r2_k5_s2_e3_c24_se0.25_actrelu_skipidentity\r\nhead_c64_drop0.2_actrelu",
    ] {
        assert_eq!(spec(text), expected, "{text:?}");
    }
}

#[test]
fn text_prints_without_what_is_the_default() {
    let check = |block: &str, printed: &str| {
        let spec = spec(&with(block));
        assert_eq!(spec.blocks[0].to_string(), printed);
        assert_eq!(spec.to_string(), with(printed));
        assert_eq!(format!("{spec:#}"), with(printed).replace('\n', "; "));
    };
    check(
        "ir_r1_k3_s1_c8_e1_se0_actrelu_skipidentity",
        "ir_r1_k3_s1_c8",
    );
    check("ir_r1_k3_s1_c8_noskip", "ir_r1_k3_s1_c8_skipnone");
    check("ds_r1_k3_s1_c8_noskip", "ds_r1_k3_s1_c8");
    check("ds_skipidentity_r1_k3_s1_c8", "ds_r1_k3_s1_c8_skipidentity");
    check(
        "cn_r1_k3_s1_c8_acthswish_se0.5_skippool",
        "cn_r1_k3_s1_c8_se0.5_acthswish_skippool",
    );
    check("sep_r1_k3_s1_c8_actrelu6", "sep_r1_k3_s1_c8_actrelu6");
}

#[test]
fn dead_choices_take_one_value() {
    // The stem gives 16 channels.
    let check = |block: &str, canonical: &str| {
        let spec = spec(&with(block));
        assert_eq!(spec.canonical().blocks[0].to_string(), canonical, "{block}");
        assert_eq!(spec.hash(), self::spec(&with(canonical)).hash(), "{block}");
    };
    check("ir_r1_k3_s2_e3_c16_skippool", "ir_r1_k3_s2_e3_c16");
    check("ir_r1_k3_s1_e3_c24_skipnone", "ir_r1_k3_s1_e3_c24");
    check("ds_r1_k3_s1_c24_skipidentity", "ds_r1_k3_s1_c24");
    check("cn_r1_k3_s1_c24_noskip_se0", "cn_r1_k3_s1_c24");
    // Alive: equal widths at stride 1, or later layers of the block.
    check("ir_r1_k3_s1_e3_c16_skipnone", "ir_r1_k3_s1_e3_c16_skipnone");
    check("ir_r2_k3_s2_e3_c24_skippool", "ir_r2_k3_s2_e3_c24_skippool");
    // No expansion: the layers of ds, whose skip is none where absent.
    check("ir_r1_k3_s1_e1_c16", "ds_r1_k3_s1_c16_skipidentity");
    check("ir_r1_k3_s1_e1_c24_se0.25", "ds_r1_k3_s1_c24_se0.25");
    check("ir_r1_k3_s1_e1_c16_skipnone", "ds_r1_k3_s1_c16");
    // Squeeze widths of 16 input channels: 4; 1 (twice); 3; 8; then 4 and 6 of 16 and 24.
    check("ir_r1_k3_s1_e3_c24_se0.3", "ir_r1_k3_s1_e3_c24_se0.25");
    check("ir_r1_k3_s1_e3_c24_se0.001", "ir_r1_k3_s1_e3_c24_se0.1");
    check("ir_r1_k3_s1_e3_c24_se0.124999", "ir_r1_k3_s1_e3_c24_se0.1");
    check("ir_r1_k3_s1_e3_c24_se0.1875", "ir_r1_k3_s1_e3_c24_se0.2");
    check("ir_r1_k3_s1_e3_c24_se0.55", "ir_r1_k3_s1_e3_c24_se0.5");
    check("ir_r2_k3_s1_e3_c24_se0.29", "ir_r2_k3_s1_e3_c24_se0.25");
    // 4 of 16 but 7 of 24.
    check("ir_r2_k3_s1_e3_c24_se0.3", "ir_r2_k3_s1_e3_c24_se0.3");
    // A head without convolution has no use for its activation.
    let plain = spec("stem_k3_s2_c16 head_c0_actrelu6");
    assert_eq!(plain.canonical().to_string(), "stem_k3_s2_c16\nhead_c0");
}

#[test]
fn hash_is_sixteen_digits_of_the_canonical_text() {
    // printf 'stem_k3_s2_c16\nds_r1_k3_s1_c24\nhead_c0' | sha256sum
    let hash = spec(&with("ds_r1_k3_s1_c24_skippool")).hash();
    assert_eq!(hash, "3092f71db935e3b5");
    assert_ne!(hash, spec(&with("ds_r1_k5_s1_c24")).hash());
}

#[test]
fn widths_round_as_in_the_reference_code() {
    // Values of round_filters of tensorflow/tpu, worked out by hand from its three lines.
    for (filters, width, expected) in [
        (32, 0.5, 16),
        (16, 0.35, 8),   // 5.6, at least 8
        (32, 0.35, 16),  // 11.2 to 8, more than a tenth lost
        (24, 0.75, 24),  // 18 to 16, more than a tenth lost
        (24, 1.4, 32),   // 33.6 to 32
        (112, 0.35, 40), // 39.2
        (320, 1.4, 448),
        (36, 1.0, 36), // width 1 keeps what is no multiple of 8
    ] {
        let scaled = spec(&format!("stem_k3_s1_c8 cn_r1_k3_s1_c{filters} head_c100")).scaled(width);
        assert_eq!(scaled.blocks[0].width, expected, "{filters} x {width}");
        assert_eq!(scaled.head.width, 100, "the head doesn't scale");
    }
    assert_eq!(spec("stem_k3_s1_c32 head_c0").scaled(0.25).stem.width, 8);
    assert_eq!(
        spec("stem_k3_s1_c32 head_c0").scaled(1e300).stem.width,
        16384
    );
}

#[test]
fn scaling_can_bring_a_skip_to_life() {
    // 192 and 320 channels both become 8: B1's last block says skipnone for that.
    let b1 = zoo::find("mnasnet-b1").unwrap().spec;
    assert_eq!(b1.canonical().blocks[6].to_string(), "ir_r1_k3_s1_e6_c320");
    let tiny = b1.scaled(0.02).canonical();
    assert_eq!(tiny.blocks[6].to_string(), "ir_r1_k3_s1_e6_c8_skipnone");
}

#[test]
#[should_panic(expected = "a width multiplier is positive and finite, not NaN")]
fn a_width_that_is_no_number_is_refused() {
    let _ = spec("stem_k3_s1_c8 head_c0").scaled(f64::NAN);
}

#[test]
fn serde_is_the_text() {
    let net = spec(&with("ir_r1_k3_s1_e3_c24"));
    let json = serde_json::to_string(&net).unwrap();
    assert_eq!(json, r#""stem_k3_s2_c16\nir_r1_k3_s1_e3_c24\nhead_c0""#);
    assert_eq!(serde_json::from_str::<NetSpec>(&json).unwrap(), net);
    let error = serde_json::from_str::<NetSpec>(r#""stem_k3""#).unwrap_err();
    assert!(
        error.to_string().contains("line 1, column 1: stem needs s"),
        "{error}"
    );
}

#[test]
fn decimals_are_exact() {
    for (text, millionths, printed) in [
        ("0", 0, "0"),
        ("007.250000000", 7_250_000, "7.25"),
        ("0.000001", 1, "0.000001"),
        ("16", 16_000_000, "16"),
    ] {
        let d = Decimal::parse(text).unwrap();
        assert_eq!(
            (d.millionths(), d.to_string().as_str()),
            (millionths, printed)
        );
    }
    // In floating point 0.29 * 100 is 28.999...
    assert_eq!(Decimal::from_millionths(290_000).of(100), 29);
    assert_eq!(Decimal::from_millionths(290_000).value(), 0.29);
}

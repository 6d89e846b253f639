//! What people read: printed networks and graph dumps.

use mnas_net::{NetSpec, Shape, zoo};

#[test]
fn graph_dump() {
    let text = "stem_k3_s2_c8
cn_r1_k3_s1_c8
ds_r1_k3_s1_c8_se0.25_skippool
sep_r1_k3_s1_c8_actrelu6
ir_r2_k5_s2_e3_c16_se0.25_acthswish
head_c32_drop0.2";
    let spec: NetSpec = text.parse().unwrap();
    insta::assert_snapshot!(spec.graph(Shape::new(15, 16, 3), 10).unwrap());
}

#[test]
fn zoo_as_canonical_text() {
    let mut all = String::new();
    for entry in zoo::entries().iter().filter(|e| e.text.is_some()) {
        let spec = zoo::find(entry.name).unwrap().spec;
        all += &format!("{} {}\n{}\n\n", entry.name, spec.hash(), spec.canonical());
    }
    insta::assert_snapshot!(all);
}

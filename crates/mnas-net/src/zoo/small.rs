//! Reference networks for images under 64 pixels, ours: width 0.25, stem and first strided block at
//! stride 1, so that 28 pixels end as 4 and not as 1.

use super::Entry;

/// [`super::mnasnet::A1`] for small images.
pub(super) const MNASNET_A1: Entry = Entry {
    name: "mnasnet-a1-small",
    summary: "MnasNet-A1 for small images: width 0.25, total stride 8",
    text: Some(
        "stem_k3_s1_c8
ds_r1_k3_s1_c8
ir_r2_k3_s1_e6_c8
ir_r3_k5_s2_e3_c16_se0.25
ir_r4_k3_s2_e6_c24
ir_r2_k3_s1_e6_c32_se0.25
ir_r3_k5_s2_e6_c40_se0.25
ir_r1_k3_s1_e6_c80
head_c1280_drop0.2",
    ),
    input: 28,
    published: &[],
};

/// [`super::mobilenet::V2`] for small images.
pub(super) const MOBILENET_V2: Entry = Entry {
    name: "mobilenet-v2-small",
    summary: "MobileNetV2 for small images: width 0.25, total stride 8",
    text: Some(
        "stem_k3_s1_c8_actrelu6
ir_r1_k3_s1_c8_actrelu6
ir_r2_k3_s1_e6_c8_actrelu6
ir_r3_k3_s2_e6_c8_actrelu6
ir_r4_k3_s2_e6_c16_actrelu6
ir_r3_k3_s1_e6_c24_actrelu6
ir_r3_k3_s2_e6_c40_actrelu6
ir_r1_k3_s1_e6_c80_actrelu6
head_c1280_drop0.2_actrelu6",
    ),
    input: 28,
    published: &[],
};

//! The one-layer-type variants of MnasNet-A1 in Table 6 of the paper: A1's layers and widths, every block
//! the same inverted residual. Sources quote 78 or 79 ms for the second.

use super::{Entry, Published};

const SOURCE: &str = "Tan et al., MnasNet, CVPR 2019, arXiv:1807.11626, table 6";

/// Figures of the table.
const fn published(top1_percent: f64, pixel1_ms: f64) -> Published {
    Published {
        top1_percent: Some(top1_percent),
        pixel1_ms: Some(pixel1_ms),
        ..Published::none(SOURCE)
    }
}

/// Every block expands by 3, kernel 3.
pub(super) const E3_K3: Entry = Entry {
    name: "mnasnet-mbconv3-k3",
    summary: "MnasNet-A1 with a single type of layer: MBConv3 (k3x3)",
    text: Some(
        "stem_k3_s2_c32
ir_r1_k3_s1_e3_c16
ir_r2_k3_s2_e3_c24
ir_r3_k3_s2_e3_c40
ir_r4_k3_s2_e3_c80
ir_r2_k3_s1_e3_c112
ir_r3_k3_s2_e3_c160
ir_r1_k3_s1_e3_c320
head_c1280_drop0.2",
    ),
    input: 224,
    published: &[published(71.8, 63.0)],
};

/// Every block expands by 3, kernel 5.
pub(super) const E3_K5: Entry = Entry {
    name: "mnasnet-mbconv3-k5",
    summary: "MnasNet-A1 with a single type of layer: MBConv3 (k5x5)",
    text: Some(
        "stem_k3_s2_c32
ir_r1_k5_s1_e3_c16
ir_r2_k5_s2_e3_c24
ir_r3_k5_s2_e3_c40
ir_r4_k5_s2_e3_c80
ir_r2_k5_s1_e3_c112
ir_r3_k5_s2_e3_c160
ir_r1_k5_s1_e3_c320
head_c1280_drop0.2",
    ),
    input: 224,
    published: &[published(72.5, 79.0)],
};

/// Every block expands by 6, kernel 3.
pub(super) const E6_K3: Entry = Entry {
    name: "mnasnet-mbconv6-k3",
    summary: "MnasNet-A1 with a single type of layer: MBConv6 (k3x3)",
    text: Some(
        "stem_k3_s2_c32
ir_r1_k3_s1_e6_c16
ir_r2_k3_s2_e6_c24
ir_r3_k3_s2_e6_c40
ir_r4_k3_s2_e6_c80
ir_r2_k3_s1_e6_c112
ir_r3_k3_s2_e6_c160
ir_r1_k3_s1_e6_c320
head_c1280_drop0.2",
    ),
    input: 224,
    published: &[published(74.9, 116.0)],
};

/// Every block expands by 6, kernel 5.
pub(super) const E6_K5: Entry = Entry {
    name: "mnasnet-mbconv6-k5",
    summary: "MnasNet-A1 with a single type of layer: MBConv6 (k5x5)",
    text: Some(
        "stem_k3_s2_c32
ir_r1_k5_s1_e6_c16
ir_r2_k5_s2_e6_c24
ir_r3_k5_s2_e6_c40
ir_r4_k5_s2_e6_c80
ir_r2_k5_s1_e6_c112
ir_r3_k5_s2_e6_c160
ir_r1_k5_s1_e6_c320
head_c1280_drop0.2",
    ),
    input: 224,
    published: &[published(75.6, 146.0)],
};

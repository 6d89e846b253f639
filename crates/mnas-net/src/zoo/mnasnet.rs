//! The MnasNets of Tan et al., CVPR 2019 (arXiv:1807.11626). Blocks are those of the reference code,
//! `tensorflow/tpu` commit 7dc921f, `models/official/mnasnet/mnasnet_models.py`.

use super::{Entry, Published};

const PAPER: &str = "Tan et al., MnasNet, CVPR 2019, arXiv:1807.11626";
const README: &str = "tensorflow/tpu @ 7dc921f, models/official/mnasnet/README.md";
const TIMM: &str = "pytorch-image-models (timm) model card";
const TORCHVISION: &str = "torchvision model documentation";

/// With squeeze-excitation.
pub(super) const A1: Entry = Entry {
    name: "mnasnet-a1",
    summary: "MnasNet with squeeze-excitation, found for 75 ms on the Pixel 1",
    text: Some(
        "stem_k3_s2_c32
ds_r1_k3_s1_c16
ir_r2_k3_s2_e6_c24
ir_r3_k5_s2_e3_c40_se0.25
ir_r4_k3_s2_e6_c80
ir_r2_k3_s1_e6_c112_se0.25
ir_r3_k5_s2_e6_c160_se0.25
ir_r1_k3_s1_e6_c320
head_c1280_drop0.2",
    ),
    input: 224,
    published: &A1_PUBLISHED,
};

/// Without squeeze-excitation. The last block's skip matters once scaling makes its widths equal.
pub(super) const B1: Entry = Entry {
    name: "mnasnet-b1",
    summary: "MnasNet without squeeze-excitation",
    text: Some(
        "stem_k3_s2_c32
ds_r1_k3_s1_c16
ir_r3_k3_s2_e3_c24
ir_r3_k5_s2_e3_c40
ir_r3_k5_s2_e6_c80
ir_r2_k3_s1_e6_c96
ir_r4_k5_s2_e6_c192
ir_r1_k3_s1_e6_c320_skipnone
head_c1280_drop0.2",
    ),
    input: 224,
    published: B1_PUBLISHED,
};

/// The network of the paper's 23 ms search. The reference code compares a nominal 16 input channels
/// with 8 outputs in the first block, so there is no skip although the stem has 8 channels.
pub(super) const SMALL: Entry = Entry {
    name: "mnasnet-small",
    summary: "small MnasNet, found for about 23 ms on the Pixel 1",
    text: Some(
        "stem_k3_s2_c8
ds_r1_k3_s1_c8
ir_r1_k3_s2_e3_c16
ir_r2_k3_s2_e6_c16
ir_r4_k5_s2_e6_c32_se0.25
ir_r3_k3_s1_e6_c32_se0.25
ir_r3_k5_s2_e6_c88_se0.25
ir_r1_k3_s1_e6_c144
head_c1280",
    ),
    input: 224,
    published: SMALL_PUBLISHED,
};

/// Totals only.
pub(super) const A2: Entry = Entry {
    name: "mnasnet-a2",
    summary: "larger MnasNet; only totals were published",
    text: None,
    input: 224,
    published: &[
        Published {
            top1_percent: Some(75.6),
            top5_percent: Some(92.7),
            params_m: Some(4.8),
            macs_m: Some(340.0),
            ..Published::none(PAPER)
        },
        Published {
            pixel1_ms: Some(84.0),
            confirmed: false,
            ..Published::none(PAPER)
        },
    ],
};

/// Totals only.
pub(super) const A3: Entry = Entry {
    name: "mnasnet-a3",
    summary: "largest MnasNet of the paper; only totals were published",
    text: None,
    input: 224,
    published: &[Published {
        top1_percent: Some(76.7),
        top5_percent: Some(93.3),
        params_m: Some(5.2),
        macs_m: Some(403.0),
        pixel1_ms: Some(103.0),
        ..Published::none(PAPER)
    }],
};

const B1_PUBLISHED: &[Published] = &[
    Published {
        top1_percent: Some(74.5),
        top5_percent: Some(92.1),
        pixel1_ms: Some(77.0),
        confirmed: false,
        ..Published::none(PAPER)
    },
    Published {
        top1_percent: Some(74.672),
        top5_percent: Some(92.108),
        params_m: Some(4.38),
        ..Published::none(TIMM)
    },
    Published {
        top1_percent: Some(73.456),
        top5_percent: Some(91.51),
        params_m: Some(4.383_312),
        ..Published::none(TORCHVISION)
    },
    Published {
        width: 0.75,
        top1_percent: Some(71.18),
        top5_percent: Some(90.496),
        params_m: Some(3.170_208),
        ..Published::none(TORCHVISION)
    },
    Published {
        width: 0.5,
        top1_percent: Some(67.734),
        top5_percent: Some(87.49),
        params_m: Some(2.218_512),
        ..Published::none(TORCHVISION)
    },
];

const SMALL_PUBLISHED: &[Published] = &[
    Published {
        top1_percent: Some(66.0),
        params_m: Some(2.0),
        macs_m: Some(68.0),
        pixel1_ms: Some(23.2),
        ..Published::none(PAPER)
    },
    Published {
        top1_percent: Some(66.204),
        top5_percent: Some(86.470),
        params_m: Some(2.03),
        ..Published::none(TIMM)
    },
];

/// A row of the reference code's README: width, input, top-1, top-5, params, MACs, Pixel 1.
/// Its multiply-adds are a little above those of the paper and of [`crate::cost`].
const fn row(width: f64, input: usize, accuracy: [f64; 2], cost: [f64; 3]) -> Published {
    Published {
        width,
        input,
        top1_percent: Some(accuracy[0]),
        top5_percent: Some(accuracy[1]),
        params_m: Some(cost[0]),
        macs_m: Some(cost[1]),
        pixel1_ms: Some(cost[2]),
        ..Published::none(README)
    }
}

#[rustfmt::skip]
const A1_PUBLISHED: [Published; 29] = [
    Published {
        top1_percent: Some(75.2),
        top5_percent: Some(92.5),
        params_m: Some(3.9),
        macs_m: Some(312.0),
        pixel1_ms: Some(78.0),
        ..Published::none(PAPER)
    },
    Published {
        width: 0.35,
        top1_percent: Some(64.1),
        params_m: Some(1.7),
        macs_m: Some(63.0),
        pixel1_ms: Some(22.8),
        ..Published::none(PAPER)
    },
    Published {
        top1_percent: Some(75.452),
        top5_percent: Some(92.608),
        params_m: Some(3.89),
        ..Published::none(TIMM)
    },
    Published {
        width: 0.75,
        top1_percent: Some(73.0),
        top5_percent: Some(91.124),
        params_m: Some(2.91),
        ..Published::none(TIMM)
    },
    row(1.4, 224, [77.2, 93.5], [6.1, 591.5, 135.0]),
    row(1.0, 224, [75.2, 92.5], [3.9, 315.2, 78.0]),
    row(0.75, 224, [73.3, 91.3], [2.9, 226.7, 61.0]),
    row(0.5, 224, [68.9, 88.4], [2.1, 105.2, 32.0]),
    row(0.35, 224, [64.1, 85.1], [1.7, 63.2, 22.0]),
    row(1.4, 192, [76.1, 93.0], [6.1, 435.1, 99.0]),
    row(1.0, 192, [74.0, 91.6], [3.9, 232.0, 57.0]),
    row(0.75, 192, [72.1, 90.5], [2.9, 166.9, 45.0]),
    row(0.5, 192, [67.2, 87.4], [2.1, 77.6, 24.0]),
    row(0.35, 192, [62.4, 83.8], [1.7, 46.8, 17.0]),
    row(1.4, 160, [74.8, 92.1], [6.1, 302.8, 72.0]),
    row(1.0, 160, [72.0, 90.5], [3.9, 161.6, 41.0]),
    row(0.75, 160, [70.1, 89.3], [2.9, 116.4, 33.0]),
    row(0.5, 160, [64.9, 85.8], [2.1, 54.4, 18.0]),
    // The README prints top-1 twice, 52.3 and 59.3 here; 59.3 fits top-5.
    row(0.35, 160, [59.3, 81.5], [1.7, 32.9, 13.0]),
    row(1.4, 128, [72.5, 90.6], [6.1, 194.5, 49.0]),
    row(1.0, 128, [69.3, 88.9], [3.9, 104.1, 29.0]),
    row(0.75, 128, [67.0, 87.3], [2.9, 75.0, 23.0]),
    row(0.5, 128, [60.8, 83.0], [2.1, 35.3, 12.0]),
    row(0.35, 128, [54.8, 78.1], [1.7, 21.6, 8.5]),
    row(1.4, 96, [68.6, 88.1], [6.1, 110.3, 32.0]),
    row(1.0, 96, [64.4, 85.8], [3.9, 59.3, 18.0]),
    row(0.75, 96, [62.1, 84.0], [2.9, 42.9, 17.0]),
    row(0.5, 96, [54.7, 78.1], [2.1, 20.5, 7.4]),
    row(0.35, 96, [49.3, 73.4], [1.7, 12.7, 5.4]),
];

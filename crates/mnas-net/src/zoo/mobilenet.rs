//! The MobileNets that MnasNet is compared with.

use super::{Entry, Published};

const MNASNET: &str = "Tan et al., MnasNet, CVPR 2019, arXiv:1807.11626";
const TIMM: &str = "pytorch-image-models (timm) model card";
const V2_REPOSITORY: &str = "tensorflow/models, slim, MobileNetV2 figures";

/// Howard et al. 2017 (arXiv:1704.04861), table 1: no convolution in the head, so the last block's
/// width scales. ReLU as in the paper; the TensorFlow code has ReLU6.
pub(super) const V1: Entry = Entry {
    name: "mobilenet-v1",
    summary: "MobileNetV1, depthwise-separable convolutions",
    text: Some(
        "stem_k3_s2_c32
sep_r1_k3_s1_c64
sep_r2_k3_s2_c128
sep_r2_k3_s2_c256
sep_r6_k3_s2_c512
sep_r2_k3_s2_c1024
head_c0",
    ),
    input: 224,
    published: &[
        Published {
            macs_m: Some(575.0),
            pixel1_ms: Some(113.0),
            ..Published::none(MNASNET)
        },
        Published {
            top1_percent: Some(70.6),
            params_m: Some(4.2),
            confirmed: false,
            ..Published::none(MNASNET)
        },
    ],
};

/// Sandler et al. 2018 (arXiv:1801.04381), table 2. The head doesn't scale here; theirs grows to
/// 1792 channels at width 1.4.
pub(super) const V2: Entry = Entry {
    name: "mobilenet-v2",
    summary: "MobileNetV2, inverted residuals with ReLU6",
    text: Some(
        "stem_k3_s2_c32_actrelu6
ir_r1_k3_s1_c16_actrelu6
ir_r2_k3_s2_e6_c24_actrelu6
ir_r3_k3_s2_e6_c32_actrelu6
ir_r4_k3_s2_e6_c64_actrelu6
ir_r3_k3_s1_e6_c96_actrelu6
ir_r3_k3_s2_e6_c160_actrelu6
ir_r1_k3_s1_e6_c320_actrelu6
head_c1280_drop0.2_actrelu6",
    ),
    input: 224,
    published: &[
        Published {
            top1_percent: Some(72.0),
            top5_percent: Some(91.0),
            params_m: Some(3.4),
            macs_m: Some(300.0),
            confirmed: false,
            ..Published::none(MNASNET)
        },
        Published {
            pixel1_ms: Some(75.0),
            ..Published::none(MNASNET)
        },
        Published {
            pixel1_ms: Some(73.8),
            ..Published::none(V2_REPOSITORY)
        },
        Published {
            top1_percent: Some(72.910),
            params_m: Some(3.50),
            ..Published::none(TIMM)
        },
        Published {
            width: 0.35,
            top1_percent: Some(60.3),
            params_m: Some(1.66),
            macs_m: Some(59.0),
            pixel1_ms: Some(21.4),
            ..Published::none(MNASNET)
        },
        Published {
            width: 1.4,
            top1_percent: Some(74.7),
            top5_percent: Some(92.5),
            params_m: Some(6.9),
            macs_m: Some(585.0),
            pixel1_ms: Some(143.0),
            confirmed: false,
            ..Published::none(MNASNET)
        },
    ],
};

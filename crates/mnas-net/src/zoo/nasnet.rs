//! The cell network that MnasNet is compared with.

use super::{Entry, Published};

const MNASNET: &str = "Tan et al., MnasNet, CVPR 2019, arXiv:1807.11626";

/// NASNet-A (4 @ 1056) of Zoph et al. 2018 (arXiv:1707.07012), figure 4 and table 2, with cells as in
/// `nasnet.py` of `tensorflow/models`, where a state joins each cell's output though a node reads it.
pub(super) const A_MOBILE: Entry = Entry {
    name: "nasnet-a-mobile",
    summary: "NASNet-A (4 @ 1056), a network of cells",
    text: Some(
        "stem_k3_s2_c32
normal_sep5@0_sep3@1
normal_sep5@1_sep3@1
normal_avg3@0_id@1
normal_avg3@1_avg3@1
normal_sep3@0_id@0
normal_join@1
reduce_sep5@0_sep7@1
reduce_max3@0_sep7@1
reduce_avg3@0_sep5@1
reduce_avg3@2_id@3
reduce_sep3@2_max3@0
reduce_join@3
cell_r1_s2_c11
cell_r1_s2_c22
cell_r4_s1_c44
cell_r5_s2_c88
cell_r5_s2_c176
head_c0_drop0.5",
    ),
    input: 224,
    published: &[
        Published {
            macs_m: Some(564.0),
            pixel1_ms: Some(183.0),
            ..Published::none(MNASNET)
        },
        Published {
            top1_percent: Some(74.0),
            top5_percent: Some(91.3),
            params_m: Some(5.3),
            confirmed: false,
            ..Published::none(MNASNET)
        },
    ],
};

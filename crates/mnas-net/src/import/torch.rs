//! Names of PyTorch's tensors: a module for the convolution and one for its batch norm.

use super::{Part, Piece, Place};
use crate::graph::param::ParamRole;

/// `conv.weight` or `norm.running_var`: our suffixes are PyTorch's.
fn tensor(conv: &str, norm: &str, role: ParamRole) -> String {
    let module = match role {
        ParamRole::BnScale | ParamRole::BnShift | ParamRole::BnMean | ParamRole::BnVar => norm,
        ParamRole::ConvKernel
        | ParamRole::DepthwiseKernel
        | ParamRole::LinearKernel
        | ParamRole::Bias => conv,
    };
    format!("{module}.{}", role.suffix())
}

/// timm's `EfficientNet`: stages of layers.
pub(super) fn timm(part: &Part, role: ParamRole) -> String {
    let (place, piece) = match part {
        Part::Stem => return tensor("conv_stem", "bn1", role),
        Part::Head => return tensor("conv_head", "bn2", role),
        Part::Classifier => return tensor("classifier", "", role),
        Part::Layer(place, piece) => (place, piece),
    };
    let (conv, norm) = match (piece, place.expanded) {
        (Piece::Expand, _) => ("conv_pw", "bn1"),
        (Piece::Depthwise, false) => ("conv_dw", "bn1"),
        (Piece::Depthwise, true) => ("conv_dw", "bn2"),
        (Piece::Project, false) => ("conv_pw", "bn2"),
        (Piece::Project, true) => ("conv_pwl", "bn3"),
        (Piece::Reduce, _) => ("se.conv_reduce", ""),
        (Piece::Restore, _) => ("se.conv_expand", ""),
    };
    let at = format!("blocks.{}.{}", place.block, place.index);
    tensor(&format!("{at}.{conv}"), &format!("{at}.{norm}"), role)
}

/// torchvision's `MNASNet`: one sequence, whose first block is spread out and whose other `blocks`
/// are items of their own.
pub(super) fn mnasnet(part: &Part, role: ParamRole, blocks: usize) -> String {
    let at = |path: String, conv: usize| {
        tensor(
            &format!("{path}{conv}"),
            &format!("{path}{}", conv + 1),
            role,
        )
    };
    match part {
        Part::Stem => at("layers.".into(), 0),
        Part::Head => at("layers.".into(), 7 + blocks),
        Part::Classifier => tensor("classifier.1", "", role),
        Part::Layer(Place { block: 0, .. }, Piece::Depthwise) => at("layers.".into(), 3),
        Part::Layer(Place { block: 0, .. }, Piece::Project) => at("layers.".into(), 6),
        Part::Layer(place, piece) => {
            let path = format!("layers.{}.{}.layers.", 7 + place.block, place.index);
            at(path, item(*piece, 3))
        }
    }
}

/// torchvision's `MobileNetV2`: a flat sequence of `layers` layers, the activated convolutions of
/// which are sequences themselves.
pub(super) fn mobilenet(part: &Part, role: ParamRole, layers: usize) -> String {
    let pair = |path: String| tensor(&format!("{path}.0"), &format!("{path}.1"), role);
    let (place, piece) = match part {
        Part::Stem => return pair("features.0".into()),
        Part::Head => return pair(format!("features.{}", 1 + layers)),
        Part::Classifier => return tensor("classifier.1", "", role),
        Part::Layer(place, piece) => (place, piece),
    };
    let path = format!("features.{}.conv", 1 + place.position);
    let number = item(*piece, 1) - usize::from(!place.expanded);
    match piece {
        Piece::Project => tensor(
            &format!("{path}.{number}"),
            &format!("{path}.{}", number + 1),
            role,
        ),
        _ => pair(format!("{path}.{number}")),
    }
}

/// Position of a convolution in the sequence of an expanded layer, where each takes `step`. There
/// is no squeeze-excitation in these networks: what is asked for it exists in no file.
fn item(piece: Piece, step: usize) -> usize {
    step * match piece {
        Piece::Expand => 0,
        Piece::Depthwise => 1,
        Piece::Project => 2,
        Piece::Reduce => 3,
        Piece::Restore => 4,
    }
}

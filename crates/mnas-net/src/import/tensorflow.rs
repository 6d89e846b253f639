//! Names of TensorFlow's variables: scopes of layers, which TensorFlow numbers as it builds them.

use std::collections::BTreeSet;

use super::{Part, Piece};
use crate::graph::param::ParamRole;

/// The MnasNet reference code. Convolutions are Keras layers and count over the whole network
/// (`mnas_blocks_5/conv2d_16`), other layers over their scope; either way the order within a scope
/// is the order of the layers.
pub(super) fn mnasnet(part: &Part, role: ParamRole, names: &BTreeSet<&str>) -> String {
    let (scope, squeeze, norm, conv) = match part {
        Part::Stem => ("mnas_stem".to_string(), false, 0, 0),
        Part::Head | Part::Classifier => ("mnas_head".to_string(), false, 0, 0),
        Part::Layer(place, piece) => {
            let skipped = usize::from(!place.expanded);
            let (squeeze, norm, conv) = match piece {
                Piece::Expand => (false, 0, 0),
                Piece::Depthwise => (false, 1 - skipped, 0),
                Piece::Project => (false, 2 - skipped, 1 - skipped),
                Piece::Reduce => (true, 0, 0),
                Piece::Restore => (true, 0, 1),
            };
            (
                format!("mnas_blocks_{}", place.position),
                squeeze,
                norm,
                conv,
            )
        }
    };
    let scope = if squeeze {
        format!("{scope}/se")
    } else {
        scope
    };
    let (layer, nth, variable) = match (role, part) {
        (ParamRole::DepthwiseKernel, _) => ("depthwise_conv2d", 0, "depthwise_kernel"),
        (ParamRole::ConvKernel, _) => ("conv2d", conv, "kernel"),
        (ParamRole::LinearKernel, Part::Classifier) => ("dense", 0, "kernel"),
        (ParamRole::LinearKernel, _) => ("conv2d", conv, "kernel"),
        (ParamRole::Bias, Part::Classifier) => ("dense", 0, "bias"),
        (ParamRole::Bias, _) => ("conv2d", conv, "bias"),
        _ => ("batch_normalization", norm, statistic(role)),
    };
    let end = format!("/{variable}");
    let layers = numbered(names, &scope, layer, &end);
    match layers.get(nth) {
        Some((_, name)) => name.to_string(),
        // What the reference code calls it, but for the number.
        None => format!("{scope}/{layer}{end}"),
    }
}

/// TF-Slim's MobileNetV2.
pub(super) fn mobilenet(part: &Part, role: ParamRole, names: &BTreeSet<&str>) -> String {
    let layer = match part {
        Part::Stem => "Conv".to_string(),
        Part::Head => "Conv_1".to_string(),
        Part::Classifier => "Logits/Conv2d_1c_1x1".to_string(),
        Part::Layer(place, piece) => {
            let number = match place.position {
                0 => String::new(),
                n => format!("_{n}"),
            };
            let piece = match piece {
                Piece::Expand => "expand",
                Piece::Depthwise => "depthwise",
                Piece::Project => "project",
                // Not in this network: what is asked for it exists in no file.
                Piece::Reduce => "squeeze/reduce",
                Piece::Restore => "squeeze/expand",
            };
            format!("expanded_conv{number}/{piece}")
        }
    };
    let variable = match role {
        ParamRole::DepthwiseKernel => "depthwise_weights".to_string(),
        ParamRole::ConvKernel | ParamRole::LinearKernel => "weights".to_string(),
        ParamRole::Bias => "biases".to_string(),
        _ => format!("BatchNorm/{}", statistic(role)),
    };
    let end = format!("MobilenetV2/{layer}/{variable}");
    let found = names.iter().find(|n| n.ends_with(&end));
    found.map_or(end.clone(), |n| n.to_string())
}

fn statistic(role: ParamRole) -> &'static str {
    match role {
        ParamRole::BnScale => "gamma",
        ParamRole::BnShift => "beta",
        ParamRole::BnMean => "moving_mean",
        _ => "moving_variance",
    }
}

/// Variables `.../scope/layer_N/end` by N, which is 0 where it isn't written.
fn numbered<'a>(
    names: &BTreeSet<&'a str>,
    scope: &str,
    layer: &str,
    end: &str,
) -> Vec<(usize, &'a str)> {
    let number = |name: &str| -> Option<usize> {
        let path = name.strip_suffix(end)?;
        let (outer, last) = path.rsplit_once('/')?;
        let is_scope = outer == scope || outer.ends_with(&format!("/{scope}"));
        match last.strip_prefix(layer)? {
            "" => is_scope.then_some(0),
            rest => rest.strip_prefix('_')?.parse().ok().filter(|_| is_scope),
        }
    };
    let mut found: Vec<(usize, &str)> = names
        .iter()
        .filter_map(|n| number(n).map(|i| (i, *n)))
        .collect();
    found.sort();
    found
}

//! `sep`: the depthwise-separable convolution of MobileNetV1, active after both halves.

use super::parts::{conv_bn_act, depthwise_bn_act};
use super::{BlockKind, Layer};
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// Depthwise convolution, batch norm and activation; 1x1 convolution, batch norm and activation.
/// Unlike `ds`, whose projection is linear, the activation follows the 1x1 convolution too.
/// (Howard et al. 2017, arXiv:1704.04861, figure 3.)
pub(crate) struct Separable;

impl BlockKind for Separable {
    fn code(&self) -> &'static str {
        "sep"
    }

    fn summary(&self) -> &'static str {
        "depthwise convolution with activation, 1x1 convolution with activation"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Act]
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let sizes = (b.kernel, layer.stride);
        let x = depthwise_bn_act(g, &layer.node("depthwise"), layer.input, sizes, b.act)?;
        let sizes = (1, 1, b.width);
        conv_bn_act(g, &layer.node("pointwise"), x, sizes, Some(b.act))
    }
}

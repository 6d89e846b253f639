//! `ir`: the inverted residual with a linear bottleneck of MobileNetV2 ("MBConv").

use super::parts::{add_skip, conv_bn_act, depthwise_bn_act, project, squeeze_excite};
use super::{Block, BlockKind, Layer, Skip, ds};
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// 1x1 expansion by `e` with batch norm and activation (absent at e1); depthwise convolution with
/// batch norm and activation; squeeze-excitation, if any; linear 1x1 projection and batch norm.
pub(crate) struct InvertedResidual;

impl BlockKind for InvertedResidual {
    fn code(&self) -> &'static str {
        "ir"
    }

    fn summary(&self) -> &'static str {
        "1x1 expansion, depthwise convolution, linear 1x1 projection"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Expand, Key::Squeeze, Key::Act, Key::Skip]
    }

    fn default_skip(&self) -> Skip {
        Skip::Identity
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let mut x = layer.input;
        if b.expand > 1 {
            let sizes = (1, 1, g.shape(x).c.saturating_mul(b.expand));
            x = conv_bn_act(g, &layer.node("expand"), x, sizes, Some(b.act))?;
        }
        let sizes = (b.kernel, layer.stride);
        let x = depthwise_bn_act(g, &layer.node("depthwise"), x, sizes, b.act)?;
        let x = squeeze_excite(g, layer, x)?;
        let x = project(g, layer, x)?;
        add_skip(g, layer, x)
    }

    /// Without expansion the layers are those of `ds`.
    fn simplified(&self, block: &Block) -> Block {
        let mut block = block.clone();
        if block.expand == 1 {
            block.kind = &ds::DepthwiseSeparable;
        }
        block
    }
}

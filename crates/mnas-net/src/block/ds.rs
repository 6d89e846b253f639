//! `ds`: a depthwise-separable convolution with a linear projection.

use super::parts::{add_skip, depthwise_bn_act, project, squeeze_excite};
use super::{BlockKind, Layer};
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// Depthwise convolution, batch norm and activation; squeeze-excitation, if any; linear 1x1
/// projection and batch norm. The first block of the MnasNets.
pub(crate) struct DepthwiseSeparable;

impl BlockKind for DepthwiseSeparable {
    fn code(&self) -> &'static str {
        "ds"
    }

    fn summary(&self) -> &'static str {
        "depthwise convolution with activation, linear 1x1 projection"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Squeeze, Key::Act, Key::Skip]
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let sizes = (b.kernel, layer.stride);
        let x = depthwise_bn_act(g, &layer.node("depthwise"), layer.input, sizes, b.act)?;
        let x = squeeze_excite(g, layer, x)?;
        let x = project(g, layer, x)?;
        add_skip(g, layer, x)
    }
}

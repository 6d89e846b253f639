//! `cn`: a dense convolution.

use super::parts::{add_skip, conv_bn_act, squeeze_excite};
use super::{BlockKind, Layer, Skip};
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// Convolution, batch norm and activation; squeeze-excitation, if any, after the activation.
pub(crate) struct Conv;

impl BlockKind for Conv {
    fn code(&self) -> &'static str {
        "cn"
    }

    fn summary(&self) -> &'static str {
        "convolution, batch norm, activation"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Squeeze, Key::Act, Key::Skip]
    }

    fn default_skip(&self) -> Skip {
        Skip::Identity
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let sizes = (b.kernel, layer.stride, b.width);
        let x = conv_bn_act(g, layer.name, layer.input, sizes, Some(b.act))?;
        let x = squeeze_excite(g, layer, x)?;
        add_skip(g, layer, x)
    }
}

//! `cp`: a dense convolution whose stride is a maximum over windows.

use super::parts::{add_skip, conv_bn_act, squeeze_excite};
use super::{Block, BlockKind, Layer, Skip, cn};
use crate::graph::op::Op;
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// Convolution at stride 1, batch norm, activation, and where there is a stride the maximum of
/// windows at that stride: 3x3 at stride 2 and 3, the next odd side that covers the stride above.
/// `cn` looks at every `stride`-th position; `cp` looks at all, for the multiply-accumulates of
/// stride 1.
pub(crate) struct PooledConv;

impl BlockKind for PooledConv {
    fn code(&self) -> &'static str {
        "cp"
    }

    fn summary(&self) -> &'static str {
        "convolution, batch norm, activation, maximum over the stride"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Squeeze, Key::Act, Key::Skip]
    }

    fn default_skip(&self) -> Skip {
        Skip::Identity
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let sizes = (b.kernel, 1, b.width);
        let mut x = conv_bn_act(g, layer.name, layer.input, sizes, Some(b.act))?;
        if layer.stride > 1 {
            let pool = Op::MaxPool {
                kernel: layer.stride | 1,
                stride: layer.stride,
            };
            x = g.add(&layer.node("pool"), pool, &[x])?;
        }
        let x = squeeze_excite(g, layer, x)?;
        add_skip(g, layer, x)
    }

    /// Without a stride the layers are those of `cn`.
    fn simplified(&self, block: &Block) -> Block {
        let mut block = block.clone();
        if block.stride == 1 {
            block.kind = &cn::Conv;
        }
        block
    }
}

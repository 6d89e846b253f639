//! `cp`: a dense convolution whose stride is a maximum over windows.

use super::parts::{add_skip, norm_act, squeeze_excite};
use super::{Block, BlockKind, Layer, Skip, cn};
use crate::graph::op::Op;
use crate::spec::Key;
use crate::{GraphBuilder, GraphError, NodeId};

/// Convolution at stride 1, the maximum of each window of `stride` pixels a side (the next odd number of them, where the stride is even),
/// batch norm and activation: `cn` that looks at every position and keeps the strongest answer,
/// for the multiply-accumulates of stride 1. At stride 1 the two are the same.
pub(crate) struct PooledConv;

impl BlockKind for PooledConv {
    fn code(&self) -> &'static str {
        "cp"
    }

    fn summary(&self) -> &'static str {
        "convolution, maximum over the stride, batch norm, activation"
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Squeeze, Key::Act, Key::Skip]
    }

    fn default_skip(&self) -> Skip {
        Skip::Identity
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        let b = layer.block;
        let conv = Op::Conv {
            kernel: b.kernel,
            stride: 1,
            filters: b.width,
            bias: false,
        };
        let mut x = g.add(&layer.node("conv"), conv, &[layer.input])?;
        if layer.stride > 1 {
            let pool = Op::MaxPool {
                kernel: layer.stride | 1,
                stride: layer.stride,
            };
            x = g.add(&layer.node("pool"), pool, &[x])?;
        }
        let x = norm_act(g, layer.name, x, Some(b.act))?;
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

//! Pieces that blocks share.

use super::{Layer, Skip};
use crate::graph::op::{Activation, Op};
use crate::spec::Decimal;
use crate::{GraphBuilder, GraphError, NodeId};

/// A dense convolution without bias, as `name.conv`, then [`norm_act`].
pub(crate) fn conv_bn_act(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (kernel, stride, filters): (usize, usize, usize),
    act: Option<Activation>,
) -> Result<NodeId, GraphError> {
    let op = Op::Conv {
        kernel,
        stride,
        filters,
        bias: false,
    };
    let x = g.add(&format!("{name}.conv"), op, &[x])?;
    norm_act(g, name, x, act)
}

/// A depthwise convolution without bias, as `name.conv`, then [`norm_act`].
pub(crate) fn depthwise_bn_act(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    (kernel, stride): (usize, usize),
    act: Activation,
) -> Result<NodeId, GraphError> {
    let op = Op::DepthwiseConv {
        kernel,
        stride,
        bias: false,
    };
    let x = g.add(&format!("{name}.conv"), op, &[x])?;
    norm_act(g, name, x, Some(act))
}

/// Batch norm, as `name.bn`, then the activation if any, as `name.act`.
fn norm_act(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    act: Option<Activation>,
) -> Result<NodeId, GraphError> {
    let x = g.add(&format!("{name}.bn"), Op::BATCH_NORM, &[x])?;
    match act {
        Some(act) => g.add(&format!("{name}.act"), Op::Act(act), &[x]),
        None => Ok(x),
    }
}

/// Squeeze width of a layer with `input` channels: `max(1, floor(input * ratio))`, the rule of the
/// MnasNet reference code (`tensorflow/tpu`, `mnasnet_model.py`). It counts channels of the
/// layer's input, not expanded ones.
pub(crate) fn squeeze_width(ratio: Decimal, input: usize) -> usize {
    ratio.of(input).max(1)
}

/// Squeeze-excitation of `x`, as `se.*`, if the block has it: global average, linear layer with
/// bias to the squeeze width, ReLU, linear layer with bias back to the width of `x`, sigmoid, and
/// the product of `x` with that.
pub(crate) fn squeeze_excite(
    g: &mut GraphBuilder,
    layer: &Layer<'_>,
    x: NodeId,
) -> Result<NodeId, GraphError> {
    let ratio = layer.block.squeeze;
    if ratio == Decimal::ZERO {
        return Ok(x);
    }
    let reduce = Op::Linear {
        features: squeeze_width(ratio, g.shape(layer.input).c),
    };
    let expand = Op::Linear {
        features: g.shape(x).c,
    };
    let s = g.add(&layer.node("se.pool"), Op::GlobalAvgPool, &[x])?;
    let s = g.add(&layer.node("se.reduce"), reduce, &[s])?;
    let s = g.add(&layer.node("se.act"), Op::Act(Activation::Relu), &[s])?;
    let s = g.add(&layer.node("se.expand"), expand, &[s])?;
    let s = g.add(&layer.node("se.gate"), Op::Act(Activation::Sigmoid), &[s])?;
    g.add(&layer.node("se.mul"), Op::Mul, &[x, s])
}

/// A linear 1x1 convolution to the block's width with batch norm, as `project.*`.
pub(crate) fn project(
    g: &mut GraphBuilder,
    layer: &Layer<'_>,
    x: NodeId,
) -> Result<NodeId, GraphError> {
    let sizes = (1, 1, layer.block.width);
    conv_bn_act(g, &layer.node("project"), x, sizes, None)
}

/// Adds the block's skip to `x`, as `add`, where the stride is 1 and the widths are equal.
pub(crate) fn add_skip(
    g: &mut GraphBuilder,
    layer: &Layer<'_>,
    x: NodeId,
) -> Result<NodeId, GraphError> {
    if layer.stride != 1 || g.shape(layer.input).c != layer.block.width {
        return Ok(x);
    }
    let skip = match layer.block.skip {
        Skip::None => return Ok(x),
        Skip::Identity => layer.input,
        Skip::Pool => {
            let pool = Op::AvgPool {
                kernel: 3,
                stride: 1,
            };
            g.add(&layer.node("skip.pool"), pool, &[layer.input])?
        }
    };
    g.add(&layer.node("add"), Op::Add, &[x, skip])
}

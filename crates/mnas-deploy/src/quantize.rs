//! Quantisation of a trained network to 8-bit integers, by calibration (no training).
//!
//! The rules are those of the TFLite 8-bit specification
//! (<https://ai.google.dev/edge/litert/models/quantization_spec>), which ONNX Runtime runs just as
//! well, so that one [`Quantized`] network is written in either format: kernels symmetric per output
//! channel, activations with one scale and zero point per tensor, biases int32 at the product of both
//! scales, pools and concatenations with one scale for what goes in and what comes out, sigmoids at
//! the fixed scale 1/256.

use std::collections::BTreeMap;

use mnas_net::{Activation, Graph, NodeId, Op, Weights, WeightsError};

use crate::fusion::Fusion;

mod calibrate;
mod kernel;
mod params;
mod range;
#[cfg(test)]
mod tests;

pub use range::{RangeMethod, UnknownRangeMethod};

pub(crate) use kernel::Kernel;
pub(crate) use params::{Params, absorbs};

/// How a network is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantizeOptions {
    /// How an activation's range is taken from its values.
    pub ranges: RangeMethod,
    /// Keeps kernels within 7 bits. Processors without VNNI or dot-product instructions (x86 before
    /// 2019) add pairs of 8-bit products in 16 bits, which full 8-bit kernels overflow; ONNX Runtime
    /// advises this there (`reduce_range`). TFLite files don't need it.
    pub reduce_range: bool,
    /// Threads that run calibration images; the result doesn't depend on them.
    pub threads: usize,
}

/// Why a network can't be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The weights are not those of the graph.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Nothing to calibrate on.
    #[error("no calibration images; the ranges of activations are taken from some")]
    NoImages,
    /// An image of the wrong size.
    #[error("calibration image {image} has {got} values; the network takes {expected}")]
    ImageLength {
        /// Its position.
        image: usize,
        /// Values given.
        got: usize,
        /// Values needed.
        expected: usize,
    },
    /// A value that is infinite or not a number.
    #[error("{node} gives values that are not finite on the calibration images")]
    NotFinite {
        /// The node's name.
        node: String,
    },
}

/// A network quantised to 8 bits, with batch norm folded; [`crate::export_int8`] writes it.
#[derive(Debug)]
pub struct Quantized {
    /// The folded graph.
    pub(crate) graph: Graph,
    /// Its float weights: what the kernels were rounded from.
    pub(crate) weights: Weights,
    /// Which activations are part of the operator before them.
    pub(crate) fusion: Fusion,
    /// Per node, how its value is stored. Nodes whose value exists only inside an operator have the
    /// parameters of that operator's value.
    pub(crate) values: Vec<Params>,
    /// Integer kernels and biases by node name.
    pub(crate) kernels: BTreeMap<String, Kernel>,
    images: usize,
    options: QuantizeOptions,
}

impl Quantized {
    /// What was done, for a file's metadata: `min-max ranges of 128 images`.
    pub fn describe(&self) -> String {
        let bits = if self.options.reduce_range {
            ", 7-bit kernels"
        } else {
            ""
        };
        let (ranges, images) = (self.options.ranges, self.images);
        let s = if images == 1 { "" } else { "s" };
        format!("{ranges} ranges of {images} image{s}{bits}")
    }

    /// The stored form of a node's value.
    pub(crate) fn params(&self, id: NodeId) -> Params {
        self.values[id.index()]
    }

    /// The integer kernel and bias of a node.
    ///
    /// # Panics
    /// If the node has none.
    pub(crate) fn kernel(&self, node: &str) -> &Kernel {
        let found = self.kernels.get(node);
        found.unwrap_or_else(|| panic!("{node} is no convolution or linear layer"))
    }
}

/// Quantises a network. `images` are normalised as the network expects, channels last, and stand for
/// what it will see: training images of all classes do.
///
/// # Errors
/// [`QuantizeError`] where weights or images don't fit, or values are not finite.
pub fn quantize(
    graph: &Graph,
    weights: &Weights,
    images: &[Vec<f32>],
    options: QuantizeOptions,
) -> Result<Quantized, QuantizeError> {
    let (graph, weights) = crate::fold_batch_norm(graph, weights)?;
    let fusion = Fusion::of(&graph);
    let histograms = calibrate::histograms(&graph, &weights, images, options.threads)?;
    let ranges = graph.ids().map(|id| {
        let is_end = id == graph.output() || graph.node(id).op == Op::Input;
        // What is clipped off an answer makes the likeliest classes equal.
        let method = if is_end {
            RangeMethod::MinMax
        } else {
            options.ranges
        };
        // The value of a node that absorbs an activation is that activation's.
        histograms[fusion.makes(id).index()].range(method)
    });
    let mut values = params::Values::new(&graph, &fusion, ranges.collect());
    let limit = if options.reduce_range { 64 } else { 127 };
    for id in graph.ids() {
        let products = products(&graph, &weights, &values, id, limit);
        if let Some(step) = products {
            // A finer answer than the steps of the sums it is rounded from would mean nothing, and
            // engines don't support it.
            values.coarsen(fusion.makes(id), step);
        }
    }
    let kernels = graph.ids().filter_map(|id| {
        let node = graph.node(id);
        let input = values.get(*node.inputs.first()?);
        let kernel = Kernel::of(node, &weights, input.scale, limit)?;
        Some((node.name.clone(), kernel))
    });
    Ok(Quantized {
        kernels: kernels.collect(),
        values: values.finish(),
        images: images.len(),
        graph,
        weights,
        fusion,
        options,
    })
}

/// The largest step of the products that a node's sums are made of; none where it multiplies nothing.
fn products(
    graph: &Graph,
    weights: &Weights,
    values: &params::Values,
    id: NodeId,
    limit: i32,
) -> Option<f32> {
    let node = graph.node(id);
    let first = values.get(*node.inputs.first()?).scale;
    if node.op == Op::Mul {
        // A little more than the product: at a ratio of one, TFLite wants another version of MUL.
        return Some(1.01 * first * values.get(node.inputs[1]).scale);
    }
    let kernel = Kernel::of(node, weights, first, limit)?;
    Some(first * kernel.scales.iter().copied().fold(0.0, f32::max))
}

/// Whether a node's value has a scale that the formats fix.
fn is_fixed(op: &Op) -> bool {
    matches!(op, Op::Act(Activation::Sigmoid))
}

/// Whether a node passes its inputs on at their scale.
pub(crate) fn keeps_scale(op: &Op) -> bool {
    matches!(op, Op::Concat | Op::AvgPool { .. } | Op::MaxPool { .. })
}

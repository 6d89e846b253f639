//! Integer kernels and biases.

use mnas_net::{Node, Op, Weights};

/// An integer kernel in the layout of the float one, with its bias.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kernel {
    /// Extents of the float kernel.
    pub(crate) shape: Vec<usize>,
    /// `weight = scales[channel] * value`.
    pub(crate) values: Vec<i8>,
    /// One per output channel.
    pub(crate) scales: Vec<f32>,
    /// `bias = input scale * scales[channel] * value`; zeros where the layer has none.
    pub(crate) bias: Vec<i32>,
}

/// A channel whose weights are all but zero gets this share of the largest channel's scale, so that
/// engines can represent the ratio of scales (XNNPACK: at least 2^-32).
const SCALE_SHARE_MIN: f32 = 1e-5;
/// Scale of a kernel that is all zeros.
const SCALE_OF_ZEROS: f32 = 1e-3;
/// Largest bias: half of what int32 holds, the rest is the products'.
const BIAS_MAX: f32 = (1 << 30) as f32;

impl Kernel {
    /// The integer form of a node's kernel, values within `-limit..=limit`; none where the node has
    /// no kernel. `input_scale` is that of the node's input.
    pub(super) fn of(node: &Node, weights: &Weights, input_scale: f32, limit: i32) -> Option<Self> {
        let channel_is_last = match node.op {
            Op::Conv { .. } | Op::Linear { .. } => false,
            Op::DepthwiseConv { .. } => true,
            _ => return None,
        };
        let tensor = weights.get(&format!("{}.weight", node.name));
        let channels = node.shape.c;
        let per_channel = tensor.data.len() / channels;
        let channel = |i: usize| {
            if channel_is_last {
                i % channels
            } else {
                i / per_channel
            }
        };
        let mut scales = vec![0.0f32; channels];
        for (i, w) in tensor.data.iter().enumerate() {
            let scale = &mut scales[channel(i)];
            *scale = scale.max(w.abs() / limit as f32);
        }
        let largest = scales.iter().copied().fold(0.0, f32::max);
        let least = if largest > 0.0 {
            largest * SCALE_SHARE_MIN
        } else {
            SCALE_OF_ZEROS
        };
        let bias = weights.tensors.get(&format!("{}.bias", node.name));
        let bias = |c: usize| bias.map_or(0.0, |b| b.data[c]);
        for (c, scale) in scales.iter_mut().enumerate() {
            *scale = scale
                .max(least)
                .max(bias(c).abs() / (input_scale * BIAS_MAX));
        }
        let round = |(i, w): (usize, &f32)| {
            let q = (w / scales[channel(i)]).round_ties_even() as i32;
            q.clamp(-limit, limit) as i8
        };
        let values = tensor.data.iter().enumerate().map(round).collect();
        let bias = scales.iter().enumerate().map(|(c, scale)| {
            let step = f64::from(input_scale) * f64::from(*scale);
            (f64::from(bias(c)) / step).round_ties_even() as i32
        });
        Some(Self {
            shape: tensor.shape.clone(),
            values,
            bias: bias.collect(),
            scales,
        })
    }

    /// Scales of the bias, given that of the node's input.
    pub(crate) fn bias_scales(&self, input_scale: f32) -> Vec<f32> {
        self.scales.iter().map(|s| s * input_scale).collect()
    }
}

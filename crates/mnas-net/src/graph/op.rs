//! The closed set of primitives. Every reader matches it exhaustively.

use std::fmt;

/// A primitive operation. Where windows lie is the graph's to say ([`crate::Graph::window_padding`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// The image, already normalised, channels last.
    Input,
    /// Dense convolution. Kernel tensor `[filters, kernel, kernel, in]`.
    Conv {
        /// Side of the square window.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Output channels.
        filters: usize,
        /// Whether a bias `[filters]` is added (after batch-norm folding it is).
        bias: bool,
    },
    /// Convolution of each channel by itself. Kernel tensor `[kernel, kernel, channels]`.
    DepthwiseConv {
        /// Side of the square window.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Whether a bias `[channels]` is added.
        bias: bool,
    },
    /// Batch normalisation over images and pixels, per channel.
    BatchNorm {
        /// Added to the variance. MnasNet's is [`Op::BN_EPSILON`].
        epsilon: f32,
    },
    /// An activation function, element by element.
    Act(Activation),
    /// Sum of two inputs of equal shape.
    Add,
    /// Product of `h x w x c` (first input) and `1 x 1 x c` (second), the gate of squeeze-excitation.
    Mul,
    /// Concatenation over channels of two or more inputs with equal height and width.
    Concat,
    /// Average over a window; padding is not counted.
    AvgPool {
        /// Side of the square window.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
    },
    /// Maximum over a window.
    MaxPool {
        /// Side of the square window.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
    },
    /// Average over all pixels: `h x w x c` to `1 x 1 x c`.
    GlobalAvgPool,
    /// In training, zeroes a feature with probability `rate` and scales the rest by `1/(1-rate)`.
    Dropout {
        /// Probability that a feature is dropped.
        rate: f32,
    },
    /// Fully connected layer on a `1 x 1 x c` input, with bias. Kernel tensor `[features, in]`.
    Linear {
        /// Output features.
        features: usize,
    },
}

impl Op {
    /// Batch-norm epsilon of the MnasNet reference code (`tensorflow/tpu`, `mnasnet_models.py`).
    pub const BN_EPSILON: f32 = 1e-3;

    /// Batch norm with MnasNet's epsilon.
    pub const BATCH_NORM: Op = Op::BatchNorm {
        epsilon: Self::BN_EPSILON,
    };

    /// Lower-case name of the primitive, as dumps and tables print it.
    pub const fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv { .. } => "conv",
            Op::DepthwiseConv { .. } => "depthwise_conv",
            Op::BatchNorm { .. } => "batch_norm",
            Op::Act(_) => "act",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Concat => "concat",
            Op::AvgPool { .. } => "avg_pool",
            Op::MaxPool { .. } => "max_pool",
            Op::GlobalAvgPool => "global_avg_pool",
            Op::Dropout { .. } => "dropout",
            Op::Linear { .. } => "linear",
        }
    }
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6` (MobileNetV3).
    HSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The function's value at `x`.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::Sigmoid => 1.0 / (1.0 + libm::expf(-x)),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::HSwish => "hswish",
            Activation::Sigmoid => "sigmoid",
        })
    }
}

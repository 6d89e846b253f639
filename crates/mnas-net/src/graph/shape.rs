//! Shapes of one image's activation, and the padding of sliding windows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shape of one image's activation, channels last. A vector of features has `h == w == 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// A shape of `h` x `w` pixels with `c` channels.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// Number of values: `h * w * c`.
    pub const fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether the shape holds no value; never true of a shape inside a [`Graph`](crate::Graph).
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Number of pixels: `h * w`.
    pub const fn pixels(self) -> usize {
        self.h * self.w
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

/// Where the convolution windows of a network lie. Both rules give the same output sizes; they differ
/// at strides above 1, where they see other pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PaddingRule {
    /// TensorFlow "same" ([`same_padding`]), the one MnasNet was published with.
    #[default]
    Same,
    /// `kernel / 2` zeros on each side, as PyTorch networks have it ([`symmetric_padding`]).
    Symmetric,
}

impl fmt::Display for PaddingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PaddingRule::Same => "same",
            PaddingRule::Symmetric => "symmetric",
        })
    }
}

/// One axis of a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Output length: `ceil(input / stride)`.
    pub output: usize,
    /// Zeros before the first input.
    pub before: usize,
    /// Zeros after the last input that a window reaches.
    pub after: usize,
}

/// TensorFlow "same" padding of one axis: the output has `ceil(input / stride)` positions, and the
/// odd zero goes after. At stride 2 this is asymmetric, unlike PyTorch's `k / 2`.
pub const fn same_padding(input: usize, kernel: usize, stride: usize) -> Padding {
    let output = input.div_ceil(stride);
    let total = ((output - 1) * stride + kernel).saturating_sub(input);
    Padding {
        output,
        before: total / 2,
        after: total - total / 2,
    }
}

/// PyTorch's padding of one axis: `kernel / 2` zeros before. It writes as many after; those that no
/// window reaches are left out here, as are inputs that none does.
pub const fn symmetric_padding(input: usize, kernel: usize, stride: usize) -> Padding {
    let same = same_padding(input, kernel, stride);
    let before = kernel / 2;
    Padding {
        before,
        after: (same.before + same.after).saturating_sub(before),
        ..same
    }
}

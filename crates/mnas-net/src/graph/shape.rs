//! Shapes of one image's activation, and TensorFlow "same" padding.

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

/// One axis of a sliding window under TensorFlow "same" padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Output length: `ceil(input / stride)`.
    pub output: usize,
    /// Zeros before the first input.
    pub before: usize,
    /// Zeros after the last input; one more than `before` where the total is odd.
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

//! The keys of the text: names and limits.

use super::decimal::Decimal;

/// A setting of a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `r`: layers in the block; the stride is the first one's.
    Repeats,
    /// `k`: side of the (depthwise) convolution's window, odd.
    Kernel,
    /// `s`: stride of the first layer.
    Stride,
    /// `e`: expanded width as a multiple of the layer's input channels; absent is 1.
    Expand,
    /// `c`: output channels.
    Width,
    /// `c` of the head: channels of its 1x1 convolution; 0 is no convolution.
    HeadWidth,
    /// `se`: squeeze width as a fraction of the layer's input channels; 0, or absent, is none.
    Squeeze,
    /// `drop`: probability that the head drops a feature in training; absent is 0.
    Dropout,
    /// `act`: `relu` (where absent), `relu6` or `hswish`.
    Act,
    /// `skip`: `identity`, `pool` or `none`; the block's kind says what absent means.
    Skip,
    /// `pad` of the stem: `same` (where absent) or `symmetric`, for every convolution of the network.
    Padding,
}

impl Key {
    /// Every key, in the order in which lines are printed.
    pub const ALL: [Key; 11] = [
        Key::Repeats,
        Key::Kernel,
        Key::Stride,
        Key::Expand,
        Key::Width,
        Key::HeadWidth,
        Key::Squeeze,
        Key::Dropout,
        Key::Act,
        Key::Skip,
        Key::Padding,
    ];

    /// The letters in front of the value.
    pub const fn letters(self) -> &'static str {
        match self {
            Key::Repeats => "r",
            Key::Kernel => "k",
            Key::Stride => "s",
            Key::Expand => "e",
            Key::Width | Key::HeadWidth => "c",
            Key::Squeeze => "se",
            Key::Dropout => "drop",
            Key::Act => "act",
            Key::Skip => "skip",
            Key::Padding => "pad",
        }
    }

    /// Largest value of a key that takes a number; 0 for one that takes a word.
    ///
    /// Wide enough for any network that can be trained; they keep the sizes of what an arbitrary
    /// text describes in range, and catch the two-digit strides (`s22`) of other dialects.
    pub const fn most(self) -> Decimal {
        Decimal::from_millionths(match self {
            Key::Repeats | Key::Expand => 64_000_000,
            Key::Kernel => 31_000_000,
            Key::Stride => 8_000_000,
            Key::Width | Key::HeadWidth => 16_384_000_000,
            Key::Squeeze => 16_000_000,
            Key::Dropout => 990_000,
            Key::Act | Key::Skip | Key::Padding => 0,
        })
    }
}

/// Most layers (repeats of all blocks together) in a spec.
pub(crate) const MOST_LAYERS: usize = 512;

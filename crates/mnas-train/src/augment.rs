//! Random changes of training images, on bytes, as a function of seed, epoch and image only.

use serde::{Deserialize, Serialize};

/// What lies outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadFill {
    /// Black.
    Zero,
    /// The image mirrored at its edge, the edge pixel not repeated.
    Reflect,
}

/// Random changes of a training image, applied in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// A box of 8 to 100 % of the stored image's area and an aspect ratio of 3/4 to 4/3, scaled to
    /// the network's input; after 10 boxes that don't fit, the evaluation crop (the reference
    /// code of MnasNet). Excludes `pad_crop`.
    pub random_resized_crop: bool,
    /// Shifts the evaluation crop by up to this many pixels each way; 0 for none.
    pub pad_crop: usize,
    /// What a shifted crop shows beyond the stored image.
    pub pad_fill: PadFill,
    /// Mirrors left and right half of the time.
    pub flip: bool,
    /// Side of a square set to the mean colour, its centre anywhere in the image; 0 for none.
    pub cutout: usize,
}

impl Augment {
    /// No change at all.
    pub const NONE: Self = Self {
        random_resized_crop: false,
        pad_crop: 0,
        pad_fill: PadFill::Zero,
        flip: false,
        cutout: 0,
    };
}

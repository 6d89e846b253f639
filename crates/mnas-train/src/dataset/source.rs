//! What a kind of data set provides: a listing and pictures.

use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::error::{DataError, ImageError};

/// The split that an image belongs to at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Trained on.
    Train = 0,
    /// A validation split of its own.
    Validation = 1,
    /// A test split of its own.
    Test = 2,
}

impl Part {
    /// The part's name in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }
}

/// One image of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its split.
    pub(crate) part: Part,
    /// Position of its class.
    pub(crate) label: u16,
    /// Its name in messages.
    pub(crate) name: String,
}

/// A decoded image, upright, bytes `height x width x channels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Width in pixels.
    pub(crate) width: usize,
    /// Height in pixels.
    pub(crate) height: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub(crate) channels: usize,
    /// Rows from the top.
    pub(crate) pixels: Vec<u8>,
}

/// What the head of an image file tells: size when upright, and whether it is gray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Width in pixels.
    pub(crate) width: usize,
    /// Height in pixels.
    pub(crate) height: usize,
    /// A single channel.
    pub(crate) gray: bool,
}

/// A data set that was found and not read yet.
pub(crate) trait Found {
    /// Text that changes whenever the images may have: names, sizes, times of change.
    fn state(&self) -> String;

    /// Reads what it holds; called only where the cache lacks it.
    fn load(self: Box<Self>) -> Result<Box<dyn Source>, DataError>;
}

/// A data set's listing, and its images one by one.
pub(crate) trait Source: Sync {
    /// Class names in the order of labels, two or more.
    fn classes(&self) -> &[String];

    /// Every image, in an order that depends on names only.
    fn items(&self) -> &[Item];

    /// Size and kind of image `i`, from its head.
    fn probe(&self, i: usize) -> Result<Probe, ImageError>;

    /// Image `i`, whole or at a reduced size that still covers `kept` (width and height).
    fn read(&self, i: usize, kept: (usize, usize)) -> Result<Picture, ImageError>;
}

/// A kind of data set; one file and one line in [`super::DATASETS`] each.
pub(crate) trait DatasetKind: Sync {
    /// What it accepts, for messages.
    fn accepts(&self) -> &'static str;

    /// A data set built into the program under this name.
    fn builtin(&self, _name: &str) -> Option<Box<dyn Found>> {
        None
    }

    /// The data set at `path`, or `None` where another kind may know better.
    fn find(&self, path: &Path) -> Result<Option<Box<dyn Found>>, DataError>;
}

/// Nanoseconds since 1970 of a file's last change; 0 where the system doesn't say.
pub(crate) fn modified(facts: &Metadata) -> u128 {
    let time = facts.modified().ok();
    let since = time.and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |d| d.as_nanos())
}

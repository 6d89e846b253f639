//! Data sets: what is trained on, decoded once into a file that worker processes share.

use std::path::{Path, PathBuf};

use mnas_net::Shape;
use serde::{Deserialize, Serialize};

use crate::{Normalize, Split};

pub(crate) mod split;

/// Facts about a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Short name, as `fashion-mnist-10k` or the folder's.
    pub name: String,
    /// Class names; a label is a position in this list.
    pub classes: Vec<String>,
    /// Shape of an image as the network sees it.
    pub shape: Shape,
    /// Mean and deviation of the training images.
    pub normalize: Normalize,
    /// Where the images came from, as given.
    pub source: String,
    /// 16 hex digits of the SHA-256 of decoded images, labels and class names.
    pub fingerprint: String,
    /// Broken images left out.
    pub skipped: u64,
}

/// A data set in three splits without common images.
#[derive(Debug, Clone)]
pub struct Data {
    /// Facts about it.
    pub meta: Meta,
    /// Images to train on.
    pub train: Split,
    /// Images that choose between networks; cut from the training images unless the source has
    /// its own.
    pub validation: Split,
    /// Images that judge the chosen network, once.
    pub test: Split,
}

/// How to open a data set.
pub struct OpenOptions<'a> {
    /// Side of the square images that the network sees; where absent, the images' own size if
    /// they share one of at most 224 pixels, else 224.
    pub image_size: Option<usize>,
    /// Folder for decoded images.
    pub cache_dir: &'a Path,
    /// Seed of the splits that are cut here.
    pub seed: u64,
    /// Share of each class's training images cut off for validation, more than 0, at most 0.5.
    pub validation_fraction: f64,
    /// Called with images decoded and images in all.
    pub progress: &'a dyn Fn(u64, u64),
}

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Neither a known name nor a path.
    #[error(
        "no data set {name:?}: it is no known name, and no such file or folder exists; expected {accepted}"
    )]
    Unknown {
        /// What was given.
        name: String,
        /// What would do.
        accepted: String,
    },
    /// A file or folder that could not be read or written.
    #[error("{path}: can't {action}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        error: std::io::Error,
    },
}

/// Opens a data set by known name or path, decoding its images into the cache where they are not
/// there yet.
///
/// # Errors
/// [`DataError`] with the path and what to do.
pub fn open(source: &str, _options: &OpenOptions) -> Result<Data, DataError> {
    Err(DataError::Unknown {
        name: source.into(),
        accepted: String::new(),
    })
}

/// Reads one JPEG or PNG as the network sees it: decoded, turned upright, resized and cropped as
/// the data set's images are. Bytes `h x w x c`.
///
/// # Errors
/// [`DataError`] with the path.
pub fn load_image(path: &Path, _shape: Shape) -> Result<Vec<u8>, DataError> {
    Err(DataError::Unknown {
        name: path.display().to_string(),
        accepted: String::new(),
    })
}

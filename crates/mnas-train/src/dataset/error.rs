//! Why data could not be opened, in words that say what to do.

use std::io;
use std::path::PathBuf;

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Neither a known name nor a path.
    #[error(
        "no data set {name:?}: no such file or folder, and no such name in {}; expected {accepted}",
        list(searched)
    )]
    Unknown {
        /// What was given.
        name: String,
        /// Folders searched for the name.
        searched: Vec<PathBuf>,
        /// What would do.
        accepted: String,
    },
    /// A file or folder that is no data set.
    #[error("{path}: no data set is laid out like this; expected {accepted}")]
    Layout {
        /// The file or folder.
        path: PathBuf,
        /// What would do.
        accepted: String,
    },
    /// One of a data set's files is not there.
    #[error("{path}: this file, or the same with .gz, belongs to the data set and is missing")]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder that could not be read or written.
    #[error("{path}: can't {action}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        error: io::Error,
    },
    /// The cache's disk is full.
    #[error(
        "{path}: the disk is full; decoded images need {} MB there: free some space or choose another cache folder",
        bytes.div_ceil(1_000_000)
    )]
    DiskFull {
        /// The cache folder.
        path: PathBuf,
        /// Bytes of all decoded images.
        bytes: u64,
    },
    /// A tree without images.
    #[error(
        "{path}: no images found; put JPEG or PNG files into a folder per class, or into train/CLASS/ and test/CLASS/"
    )]
    NoImages {
        /// The folder or archive.
        path: PathBuf,
    },
    /// A class folder without images.
    #[error(
        "{path}: the class folder {class} holds no JPEG or PNG images; add some or remove the folder"
    )]
    EmptyClass {
        /// The folder or archive.
        path: PathBuf,
        /// The folder's name, with its split where there is one.
        class: String,
    },
    /// A single class.
    #[error(
        "{path}: only one class ({class}); a classifier needs at least two, each in its own folder"
    )]
    OneClass {
        /// The folder or archive.
        path: PathBuf,
        /// The only class.
        class: String,
    },
    /// More classes than labels can name.
    #[error("{path}: {classes} classes; at most 65535 are supported")]
    TooManyClasses {
        /// The folder or archive.
        path: PathBuf,
        /// Classes found.
        classes: usize,
    },
    /// A split that lacks a class.
    #[error("{path}: {part} has no images of class {class}; every class needs some in every split")]
    MissingClass {
        /// The folder or archive.
        path: PathBuf,
        /// The split.
        part: &'static str,
        /// The class.
        class: String,
    },
    /// A class with too few images to cut splits from.
    #[error(
        "{path}: class {class} has {images} training image(s); at least {needed} are needed to cut the splits"
    )]
    TooFewImages {
        /// The folder or archive.
        path: PathBuf,
        /// The class.
        class: String,
        /// Its images.
        images: usize,
        /// Images needed.
        needed: usize,
    },
    /// Too many images that can't be decoded.
    #[error(
        "{path}: {broken} of {images} images can't be read, more than 1 %; repair or remove them. The first: {first}: {reason}"
    )]
    Broken {
        /// The folder or archive.
        path: PathBuf,
        /// Broken images found before giving up.
        broken: u64,
        /// Images in all.
        images: u64,
        /// The first broken image.
        first: String,
        /// What is wrong with it.
        reason: ImageError,
    },
    /// An image that can't be decoded.
    #[error("{path}: {reason}")]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: ImageError,
    },
    /// A raw file (IDX or CIFAR-10 binary) that is not what it should be.
    #[error("{path}: {reason}; get the file again")]
    Raw {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: RawFault,
    },
    /// An archive that ends too early or is none.
    #[error("{path}: no valid tar archive ({error}); get or make it again")]
    Tar {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// An option outside its range.
    #[error("{option} = {value}: expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        expected: &'static str,
    },
}

/// What is wrong with one image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be read.
    #[error("can't be read: {0}")]
    Read(#[from] io::Error),
    /// Neither JPEG nor PNG by its first bytes.
    #[error("is neither JPEG nor PNG")]
    Kind,
    /// A broken or truncated JPEG.
    #[error("broken JPEG: {0}")]
    Jpeg(zune_jpeg::errors::DecodeErrors),
    /// A broken or truncated PNG.
    #[error("broken PNG: {0}")]
    Png(#[from] png::DecodingError),
    /// More pixels than any photo: a mistake or an attack.
    #[error("{width}x{height} pixels are too many; at most {limit} are read")]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Most pixels read.
        limit: usize,
    },
}

/// What is wrong with a raw file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawFault {
    /// Not the format's first bytes.
    #[error("no IDX file of bytes with {dimensions} dimension(s): it starts with {start:02x?}")]
    Magic {
        /// Dimensions expected.
        dimensions: u8,
        /// The first bytes.
        start: Vec<u8>,
    },
    /// Too short or too long.
    #[error("{got} bytes where {expected} are expected")]
    Length {
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        got: u64,
    },
    /// Images without pixels.
    #[error("images of {size} have no pixels")]
    Empty {
        /// Size found.
        size: String,
    },
    /// Not as many labels as images.
    #[error("{labels} labels for {images} images")]
    Count {
        /// Labels found.
        labels: usize,
        /// Images found.
        images: usize,
    },
    /// Images of another size than the training images.
    #[error("images of {got}; the training images are {expected}")]
    Size {
        /// Size of the training images.
        expected: String,
        /// Size found.
        got: String,
    },
    /// A label outside the classes.
    #[error("image {image} has label {label}; there are {classes} classes")]
    Label {
        /// Number of the image, from 0.
        image: usize,
        /// Its label.
        label: u8,
        /// Classes known.
        classes: usize,
    },
}

impl DataError {
    /// For `map_err`: an [`DataError::Io`] about `path`.
    pub(super) fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io {
            path,
            action,
            error,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    names.join(" or ")
}

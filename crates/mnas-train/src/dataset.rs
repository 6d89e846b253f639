//! Data sets: what is trained on, decoded once into a file that worker processes share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mnas_net::{Purpose, Shape, stream};
use serde::{Deserialize, Serialize};

use crate::{Normalize, Split};
use cache::{Cache, CachePlan};
use error::DataError;
use source::{DatasetKind, Found, Part, Picture};

mod archive;
pub(crate) mod cache;
mod cifar;
mod cut;
mod digest;
mod embedded;
pub(crate) mod error;
mod folder;
mod idx;
mod jpeg;
mod picture;
mod raw;
pub(crate) mod resize;
mod source;
pub(crate) mod split;
#[cfg(test)]
mod tests;
mod tree;

/// Every kind of data set; the first that knows a path opens it.
const DATASETS: &[&dyn DatasetKind] = &[
    &embedded::Embedded,
    &idx::Idx,
    &cifar::Cifar10,
    &archive::Archive,
    &folder::Folder,
];

/// Share of each class cut off for testing where the source brings no test split.
const TEST_FRACTION: f64 = 0.2;
/// Largest side of an image that networks here are built for.
const MAX_SIDE: usize = 1024;

/// Facts about a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Short name, as `fashion-mnist-10k` or the folder's.
    pub name: String,
    /// Class names; a label is a position in this list.
    pub classes: Vec<String>,
    /// Shape of an image as the network sees it.
    pub shape: Shape,
    /// Mean and deviation of the training images, per channel, on the scale 0 to 1.
    pub normalize: Normalize,
    /// Where the images came from: the known name, or the path in full.
    pub source: String,
    /// 16 hex digits of a hash of decoded images, labels and class names.
    pub fingerprint: String,
    /// Broken images left out.
    pub skipped: u64,
    /// Share of the training images held out to choose between networks, where the source brings no
    /// validation split along.
    pub validation_fraction: f64,
}

/// A data set in three splits without common images.
///
/// A test split that the source brings along is the test split; without one, its validation split
/// is; without either, a fifth of each class is cut off. A validation split beside a test split is
/// the validation split; else validation is cut from the training images. What is cut depends on
/// the images and the seed only.
#[derive(Debug, Clone)]
pub struct Data {
    /// Facts about it.
    pub meta: Meta,
    /// Images to train on.
    pub train: Split,
    /// Images that choose between networks.
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
    /// Share of each class's training images cut off for validation, more than 0, at most 0.5; where
    /// absent, [`validation_fraction`] of the training images.
    pub validation_fraction: Option<f64>,
    /// Called with images decoded and images in all; not called where the cache has them.
    pub progress: &'a dyn Fn(u64, u64),
}

/// Share of `images` training images held out to choose between networks: a tenth, or more to have
/// 3,000, but at most three tenths. The paper holds out 4 % (50,000 of 1.28 million). The standard
/// error of an accuracy of 86 % is 1.1 points on 1,000 images and 0.6 on 3,000.
pub fn validation_fraction(images: usize) -> f64 {
    (3000.0 / images.max(1) as f64).clamp(0.1, 0.3)
}

/// Opens a data set by known name or path, decoding its images into the cache where they are not
/// there yet.
///
/// `source` is `fashion-mnist-10k` (built in), the path of one of the accepted layouts, or the
/// name of one in `/usr/share/datasets` or the user's data folder (`fashion-mnist`, `mnist`).
///
/// # Errors
/// [`DataError`] with the path and what to do.
pub fn open(source: &str, options: &OpenOptions) -> Result<Data, DataError> {
    check_options(options)?;
    let (name, path, found) = find(source)?;
    let plan = CachePlan {
        folder: options.cache_dir,
        source: &path,
        image_size: options.image_size,
        progress: options.progress,
    };
    divide(plan.open(found)?, name, &path, options)
}

fn check_options(options: &OpenOptions) -> Result<(), DataError> {
    if let Some(fraction) = options.validation_fraction
        && !(fraction > 0.0 && fraction <= 0.5)
    {
        return Err(DataError::Option {
            option: "validation fraction",
            value: fraction,
            expected: "more than 0, at most 0.5",
        });
    }
    match options.image_size {
        Some(side) if !(8..=MAX_SIDE).contains(&side) => Err(DataError::Option {
            option: "image size",
            value: side as f64,
            expected: "8 to 1024 pixels",
        }),
        _ => Ok(()),
    }
}

/// Name, path and listing of a data set.
fn find(source: &str) -> Result<(String, PathBuf, Box<dyn Found>), DataError> {
    if let Some(found) = DATASETS.iter().find_map(|kind| kind.builtin(source)) {
        return Ok((source.into(), source.into(), found));
    }
    let searched = data_folders();
    let given = PathBuf::from(source);
    let mut candidates = vec![given.clone()];
    if !source.is_empty() && given.components().count() == 1 {
        for folder in &searched {
            candidates.extend([folder.join(source), folder.join(format!("{source}.tar"))]);
        }
    }
    let Some(path) = candidates.into_iter().find(|p| p.exists()) else {
        return Err(DataError::Unknown {
            name: source.into(),
            searched,
            accepted: accepted(),
        });
    };
    let path = path.canonicalize().map_err(DataError::io(path, "open"))?;
    for kind in DATASETS {
        if let Some(found) = kind.find(&path)? {
            let stem = if path.is_dir() {
                path.file_name()
            } else {
                path.file_stem()
            };
            let name = stem.map_or(source.into(), |s| s.to_string_lossy().into_owned());
            return Ok((name, path, found));
        }
    }
    Err(DataError::Layout {
        path,
        accepted: accepted(),
    })
}

fn accepted() -> String {
    let kinds: Vec<&str> = DATASETS.iter().map(|k| k.accepts()).collect();
    kinds.join("; ")
}

/// Folders in which data sets are found by name.
fn data_folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/share/datasets")];
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || var("HOME");
    let user = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|h| h.join("Library/Application Support"))
    } else {
        var("XDG_DATA_HOME").or_else(|| home().map(|h| h.join(".local/share")))
    };
    folders.extend(user.map(|u| u.join("mnas").join("datasets")));
    folders
}

/// Makes the three splits.
fn divide(
    cache: Cache,
    name: String,
    path: &Path,
    options: &OpenOptions,
) -> Result<Data, DataError> {
    let of_part = |part: Part| -> Vec<u32> {
        let indices = (0..cache.parts.len() as u32).zip(&cache.parts);
        indices
            .filter(|(_, p)| **p == part)
            .map(|(i, _)| i)
            .collect()
    };
    let mut train = of_part(Part::Train);
    let mut validation = of_part(Part::Validation);
    let mut test = of_part(Part::Test);
    if test.is_empty() {
        std::mem::swap(&mut test, &mut validation);
    }
    let needed = 1 + usize::from(test.is_empty()) + usize::from(validation.is_empty());
    let classes = &cache.classes;
    let labels = &cache.images.labels;
    let mut counts = vec![0; classes.len()];
    train
        .iter()
        .for_each(|i| counts[usize::from(labels[*i as usize])] += 1);
    let too_few = |class: usize| DataError::TooFewImages {
        path: path.into(),
        class: classes[class].clone(),
        images: counts[class],
        needed,
    };
    if let Some(class) = counts.iter().position(|n| *n < needed) {
        return Err(too_few(class));
    }
    let mut random = stream(options.seed, 0, Purpose::Split);
    let mut cut = |train: &mut Vec<u32>, fraction: f64| {
        cut::cut(train, labels, classes.len(), fraction, &mut random).map_err(&too_few)
    };
    if test.is_empty() {
        test = cut(&mut train, TEST_FRACTION)?;
    }
    let usual = validation_fraction(train.len());
    let validation_fraction = options.validation_fraction.unwrap_or(usual);
    if validation.is_empty() {
        validation = cut(&mut train, validation_fraction)?;
    }
    let meta = Meta {
        name,
        classes: cache.classes,
        shape: cache.images.shape,
        normalize: normalize(&cache.moments, cache.images.stored, &train),
        source: path.display().to_string(),
        fingerprint: cache.fingerprint,
        skipped: cache.skipped,
        validation_fraction,
    };
    let images = Arc::new(cache.images);
    let view = |indices| Split::view(&images, indices);
    Ok(Data {
        train: view(train),
        validation: view(validation),
        test: view(test),
        meta,
    })
}

/// Mean and standard deviation of these images, per channel, on the scale 0 to 1. A deviation of
/// less than one grey level counts as one, so that a constant channel can be divided by it.
fn normalize(moments: &[[u64; 2]], stored: Shape, indices: &[u32]) -> Normalize {
    let n = (indices.len() * stored.pixels()) as f64;
    let channel = |c: usize| {
        let moment = |i: &u32| moments[*i as usize * stored.c + c];
        let (sum, squares) = indices
            .iter()
            .map(moment)
            .fold((0u128, 0u128), |(s, q), m| {
                (s + u128::from(m[0]), q + u128::from(m[1]))
            });
        let mean = sum as f64 / n;
        let variance = squares as f64 / n - mean * mean;
        let std = variance.max(0.0).sqrt().max(1.0);
        ((mean / 255.0) as f32, (std / 255.0) as f32)
    };
    let (mean, std) = (0..stored.c).map(channel).unzip();
    Normalize { mean, std }
}

/// Reads one JPEG or PNG as the network sees it: decoded, turned upright, resized and cropped as
/// a data set's images are. Bytes `h x w x c`; colour becomes luma for a network that takes gray.
///
/// # Errors
/// [`DataError::Io`] or [`DataError::Image`] with the path.
pub fn load_image(path: &Path, shape: Shape) -> Result<Vec<u8>, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path, "read"))?;
    let stored = resize::with_margin(shape);
    let picture = picture::decode(&bytes, Some((stored.w, stored.h)));
    let picture = picture.map_err(|reason| DataError::Image {
        path: path.into(),
        reason,
    })?;
    Ok(as_seen(picture, shape))
}

/// The picture as a network of this input sees it.
fn as_seen(picture: Picture, shape: Shape) -> Vec<u8> {
    let small = picture.width <= shape.w || picture.height <= shape.h;
    if small {
        return resize::fit(picture, shape);
    }
    let stored = resize::with_margin(shape);
    let mut out = vec![0; shape.len()];
    split::centre(&resize::fit(picture, stored), stored, shape, &mut out);
    out
}

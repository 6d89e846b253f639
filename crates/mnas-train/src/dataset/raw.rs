//! Images of one size whose pixels come in bulk: IDX files, CIFAR-10 binaries, the built-in set.

use std::fs;
use std::path::{Path, PathBuf};

use mnas_net::Shape;

use super::error::{DataError, ImageError, RawFault};
use super::source::{Item, Part, Picture, Probe, Source, modified};

/// Images of one size in memory.
#[derive(Debug)]
pub(crate) struct Raw {
    classes: Vec<String>,
    items: Vec<Item>,
    shape: Shape,
    pixels: Vec<u8>,
}

/// The images of one split.
pub(crate) struct RawPart {
    /// The split.
    pub(crate) part: Part,
    /// The file that errors name.
    pub(crate) path: PathBuf,
    /// A label per image.
    pub(crate) labels: Vec<u8>,
    /// `labels.len() x shape`.
    pub(crate) pixels: Vec<u8>,
}

impl Raw {
    /// Joins the splits once every label names a class and every class has images everywhere.
    pub(crate) fn new(
        classes: Vec<String>,
        shape: Shape,
        parts: Vec<RawPart>,
    ) -> Result<Self, DataError> {
        let (mut items, mut pixels) = (vec![], vec![]);
        for p in parts {
            let mut counts = vec![0usize; classes.len()];
            for (image, label) in p.labels.iter().copied().enumerate() {
                let Some(count) = counts.get_mut(usize::from(label)) else {
                    return Err(DataError::Raw {
                        path: p.path,
                        reason: RawFault::Label {
                            image,
                            label,
                            classes: classes.len(),
                        },
                    });
                };
                *count += 1;
                items.push(Item {
                    part: p.part,
                    label: label.into(),
                    name: format!("image {image}"),
                });
            }
            if let Some(class) = counts.iter().position(|n| *n == 0) {
                return Err(DataError::MissingClass {
                    path: p.path,
                    part: p.part.name(),
                    class: classes[class].clone(),
                });
            }
            if pixels.is_empty() {
                pixels = p.pixels;
            } else {
                pixels.extend_from_slice(&p.pixels);
            }
        }
        Ok(Self {
            classes,
            items,
            shape,
            pixels,
        })
    }
}

impl Source for Raw {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn probe(&self, _i: usize) -> Result<Probe, ImageError> {
        Ok(Probe {
            width: self.shape.w,
            height: self.shape.h,
            gray: self.shape.c == 1,
        })
    }

    fn read(&self, i: usize, _kept: (usize, usize)) -> Result<Picture, ImageError> {
        let n = self.shape.len();
        Ok(Picture {
            width: self.shape.w,
            height: self.shape.h,
            channels: self.shape.c,
            pixels: self.pixels[i * n..(i + 1) * n].to_vec(),
        })
    }
}

/// Path, length and time of change of files, for [`super::source::Found::state`].
pub(crate) fn file_state(kind: &str, files: &[PathBuf]) -> String {
    let mut text = kind.to_string();
    for path in files {
        let (len, time) = fs::metadata(path).map_or((0, 0), |m| (m.len(), modified(&m)));
        text += &format!("\n{path:?} {len} {time}");
    }
    text
}

/// The first of these files that exists in `folder`.
pub(crate) fn first_of(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let mut paths = names.iter().map(|n| folder.join(n));
    paths.find(|p| p.is_file())
}

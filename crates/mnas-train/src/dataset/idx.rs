//! The IDX files of MNIST and its kin, gzipped or not
//! (format: <http://yann.lecun.com/exdb/mnist/>).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use mnas_net::Shape;

use super::error::{DataError, RawFault};
use super::raw::{Raw, RawPart, file_state, first_of};
use super::source::{DatasetKind, Found, Part, Source};

/// Class names of Fashion-MNIST, in the order of its labels.
pub(crate) const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// IDX folders.
pub(crate) struct Idx;

struct IdxFiles {
    folder: PathBuf,
    /// Images and labels of the training split, then of the test split if it is there.
    files: Vec<PathBuf>,
}

impl DatasetKind for Idx {
    fn accepts(&self) -> &'static str {
        "a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and their t10k- twins, .gz or not"
    }

    fn find(&self, path: &Path) -> Result<Option<Box<dyn Found>>, DataError> {
        for folder in [path.to_path_buf(), path.join("raw")] {
            let file = |stem: &str| {
                let gz = format!("{stem}.gz");
                first_of(&folder, &[stem, &gz])
            };
            let Some(images) = file("train-images-idx3-ubyte") else {
                continue;
            };
            let need = |stem: &str| {
                file(stem).ok_or_else(|| DataError::MissingFile {
                    path: folder.join(stem),
                })
            };
            let mut files = vec![images, need("train-labels-idx1-ubyte")?];
            if let Some(images) = file("t10k-images-idx3-ubyte") {
                files.extend([images, need("t10k-labels-idx1-ubyte")?]);
            }
            return Ok(Some(Box::new(IdxFiles { folder, files })));
        }
        Ok(None)
    }
}

impl Found for IdxFiles {
    fn state(&self) -> String {
        file_state("idx", &self.files)
    }

    fn load(self: Box<Self>) -> Result<Box<dyn Source>, DataError> {
        let mut parts = vec![];
        let mut shape = None;
        for (files, part) in self.files.chunks_exact(2).zip([Part::Train, Part::Test]) {
            let (n, size, pixels) = read_images(&files[0])?;
            let expected = *shape.get_or_insert(size);
            if size != expected {
                return Err(DataError::Raw {
                    path: files[0].clone(),
                    reason: RawFault::Size {
                        expected: expected.to_string(),
                        got: size.to_string(),
                    },
                });
            }
            let labels = read_labels(&files[1])?;
            if labels.len() != n {
                return Err(DataError::Raw {
                    path: files[1].clone(),
                    reason: RawFault::Count {
                        labels: labels.len(),
                        images: n,
                    },
                });
            }
            let path = files[1].clone();
            parts.push(RawPart {
                part,
                path,
                labels,
                pixels,
            });
        }
        let highest = parts[0].labels.iter().max().copied();
        let n = highest.map_or(0, |l| usize::from(l) + 1);
        let fashion = self.folder.to_string_lossy().to_lowercase();
        let classes: Vec<String> = if n == FASHION.len() && fashion.contains("fashion") {
            FASHION.iter().map(ToString::to_string).collect()
        } else {
            (0..n).map(|l| l.to_string()).collect()
        };
        let path = &self.folder;
        match &classes[..] {
            [] => Err(DataError::NoImages { path: path.clone() }),
            [class] => Err(DataError::OneClass {
                path: path.clone(),
                class: class.clone(),
            }),
            _ => Ok(Box::new(Raw::new(
                classes,
                shape.unwrap_or(Shape::new(1, 1, 1)),
                parts,
            )?)),
        }
    }
}

/// Number, size and bytes of the images of a file.
fn read_images(path: &Path) -> Result<(usize, Shape, Vec<u8>), DataError> {
    let (sizes, bytes) = read(path, 3)?;
    let shape = Shape::new(sizes[1], sizes[2], 1);
    if shape.is_empty() {
        return Err(DataError::Raw {
            path: path.into(),
            reason: RawFault::Empty {
                size: shape.to_string(),
            },
        });
    }
    Ok((sizes[0], shape, bytes))
}

fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    Ok(read(path, 1)?.1)
}

/// The extents and bytes of an IDX file of unsigned bytes with this many dimensions.
fn read(path: &Path, dimensions: u8) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let mut bytes = vec![];
    let mut file = File::open(path).map_err(DataError::io(path, "open"))?;
    let gzipped = path.extension().is_some_and(|e| e == "gz");
    let read = if gzipped {
        GzDecoder::new(file).read_to_end(&mut bytes)
    } else {
        file.read_to_end(&mut bytes)
    };
    read.map_err(DataError::io(path, "read"))?;
    let fault = |reason| DataError::Raw {
        path: path.into(),
        reason,
    };
    let head = 4 + 4 * usize::from(dimensions);
    if bytes.len() < head || bytes[..4] != [0, 0, 8, dimensions] {
        let start = bytes[..bytes.len().min(4)].to_vec();
        return Err(fault(RawFault::Magic { dimensions, start }));
    }
    let word = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize;
    let sizes: Vec<usize> = bytes[4..head].chunks_exact(4).map(word).collect();
    let expected = sizes.iter().fold(1u64, |n, s| n.saturating_mul(*s as u64));
    let got = (bytes.len() - head) as u64;
    if got != expected {
        return Err(fault(RawFault::Length { expected, got }));
    }
    bytes.drain(..head);
    Ok((sizes, bytes))
}

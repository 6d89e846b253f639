//! The binary version of CIFAR-10: records of a label and 3072 bytes, planes red, green, blue
//! (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use std::fs;
use std::path::{Path, PathBuf};

use mnas_net::Shape;

use super::error::{DataError, RawFault};
use super::raw::{Raw, RawPart, file_state, first_of};
use super::source::{DatasetKind, Found, Part, Source};

/// Class names in the order of the labels (`batches.meta.txt`).
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];
const SHAPE: Shape = Shape::new(32, 32, 3);
const PLANE: usize = 32 * 32;
const RECORD: usize = 1 + 3 * PLANE;

/// CIFAR-10 folders.
pub(crate) struct Cifar10;

struct CifarFiles {
    train: Vec<PathBuf>,
    test: Option<PathBuf>,
}

impl DatasetKind for Cifar10 {
    fn accepts(&self) -> &'static str {
        "a folder with CIFAR-10's data_batch_1.bin to data_batch_5.bin and test_batch.bin"
    }

    fn find(&self, path: &Path) -> Result<Option<Box<dyn Found>>, DataError> {
        for folder in [path.to_path_buf(), path.join("cifar-10-batches-bin")] {
            let names = (1..=5).map(|i| format!("data_batch_{i}.bin"));
            let train: Vec<PathBuf> = names.filter_map(|n| first_of(&folder, &[&n])).collect();
            if !train.is_empty() {
                let test = first_of(&folder, &["test_batch.bin"]);
                return Ok(Some(Box::new(CifarFiles { train, test })));
            }
        }
        Ok(None)
    }
}

impl Found for CifarFiles {
    fn state(&self) -> String {
        let files: Vec<PathBuf> = self.train.iter().chain(&self.test).cloned().collect();
        file_state("cifar-10", &files)
    }

    fn load(self: Box<Self>) -> Result<Box<dyn Source>, DataError> {
        let mut parts = vec![read(Part::Train, &self.train)?];
        if let Some(test) = self.test {
            parts.push(read(Part::Test, &[test])?);
        }
        let classes = CLASSES.iter().map(ToString::to_string).collect();
        Ok(Box::new(Raw::new(classes, SHAPE, parts)?))
    }
}

fn read(part: Part, files: &[PathBuf]) -> Result<RawPart, DataError> {
    let (mut labels, mut pixels) = (vec![], vec![]);
    for path in files {
        let bytes = fs::read(path).map_err(DataError::io(path, "read"))?;
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            return Err(DataError::Raw {
                path: path.clone(),
                reason: RawFault::Length {
                    expected: (bytes.len().div_ceil(RECORD).max(1) * RECORD) as u64,
                    got: bytes.len() as u64,
                },
            });
        }
        pixels.reserve(bytes.len());
        for record in bytes.chunks_exact(RECORD) {
            labels.push(record[0]);
            let planes = &record[1..];
            let pixel = |i: usize| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]];
            pixels.extend((0..PLANE).flat_map(pixel));
        }
    }
    Ok(RawPart {
        part,
        path: files[0].clone(),
        labels,
        pixels,
    })
}

//! The built-in data set: 10,000 training and 2,000 test images of Fashion-MNIST, every class
//! equally often. Made by `cargo run -p mnas-train --example embed_fashion_mnist`; its licence
//! (MIT) lies beside it.

use std::path::{Path, PathBuf};

use mnas_net::Shape;

use super::error::DataError;
use super::idx::FASHION;
use super::picture;
use super::raw::{Raw, RawPart};
use super::source::{DatasetKind, Found, Part, Source};

/// Its name.
pub(crate) const NAME: &str = "fashion-mnist-10k";

/// One gray PNG of 28 pixels width: the images one below the other, image `i` of class `i % 10`,
/// 10,000 to train on and then 2,000 to test.
const STRIP: &[u8] = include_bytes!("../../data/fashion-mnist-10k.png");
const SHAPE: Shape = Shape::new(28, 28, 1);
const TRAIN_IMAGES: usize = 10_000;

/// The built-in data set.
pub(crate) struct Embedded;

struct Strip;

impl DatasetKind for Embedded {
    fn accepts(&self) -> &'static str {
        "fashion-mnist-10k (built in)"
    }

    fn builtin(&self, name: &str) -> Option<Box<dyn Found>> {
        (name == NAME).then(|| Box::new(Strip) as Box<dyn Found>)
    }

    fn find(&self, _path: &Path) -> Result<Option<Box<dyn Found>>, DataError> {
        Ok(None)
    }
}

impl Found for Strip {
    fn state(&self) -> String {
        format!("{NAME} {}", STRIP.len())
    }

    fn load(self: Box<Self>) -> Result<Box<dyn Source>, DataError> {
        let path = PathBuf::from(NAME);
        let strip = picture::decode(STRIP, None).map_err(|reason| {
            let path = path.clone();
            DataError::Image { path, reason }
        })?;
        let mut train = strip.pixels;
        let test = train.split_off(TRAIN_IMAGES * SHAPE.len());
        let part = |part, pixels: Vec<u8>| RawPart {
            part,
            path: path.clone(),
            labels: (0..pixels.len() / SHAPE.len())
                .map(|i| (i % FASHION.len()) as u8)
                .collect(),
            pixels,
        };
        let classes = FASHION.iter().map(ToString::to_string).collect();
        let parts = vec![part(Part::Train, train), part(Part::Test, test)];
        Ok(Box::new(Raw::new(classes, SHAPE, parts)?))
    }
}

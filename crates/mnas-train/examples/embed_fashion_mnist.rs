//! Makes `data/fashion-mnist-10k.png`, the built-in data set, from Fashion-MNIST's IDX files:
//!
//!     cargo run --release -p mnas-train --example embed_fashion_mnist -- FOLDER
//!
//! The first 1000 training and 200 test images of each class, one below the other in a gray strip
//! 28 pixels wide, image `i` of class `i % 10`. A PNG with a filter chosen per row (5.00 MB)
//! is the smallest simple form; Paeth's filter throughout gives 5.09 MB.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::path::Path;

const IMAGE: usize = 28 * 28;
const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("give the IDX files' folder")?;
    let mut strip = balanced(Path::new(&folder), "train", 1000)?;
    strip.extend(balanced(Path::new(&folder), "t10k", 200)?);
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist-10k.png");
    let height = (strip.len() / 28) as u32;
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(&out)?), 28, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_deflate_compression(png::DeflateCompression::Level(9));
    encoder.set_filter(png::Filter::MinEntropy);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&strip)?;
    writer.finish()?;
    println!("{}: {} bytes", out.display(), fs::metadata(&out)?.len());
    Ok(())
}

/// The first `each` images of every class, classes in turn.
fn balanced(folder: &Path, stem: &str, each: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let images = gunzip(&folder.join(format!("{stem}-images-idx3-ubyte.gz")))?;
    let labels = gunzip(&folder.join(format!("{stem}-labels-idx1-ubyte.gz")))?;
    let mut of_class = vec![vec![]; CLASSES];
    for (image, label) in images[16..].chunks_exact(IMAGE).zip(&labels[8..]) {
        of_class[usize::from(*label)].push(image);
    }
    let mut strip = vec![];
    for i in 0..each {
        for images in &of_class {
            strip.extend_from_slice(images.get(i).ok_or("a class has too few images")?);
        }
    }
    Ok(strip)
}

fn gunzip(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = vec![];
    flate2::read::GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! From a picture of any size to the size that is kept.

use std::cell::RefCell;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use mnas_net::Shape;

use super::source::{Picture, Probe};

/// Side of the images that networks see where the images don't say.
const DEFAULT_SIDE: usize = 224;

thread_local! {
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// The larger size kept for random crops, of which evaluation sees the centre: 8/7 of the side,
/// as 256 for 224.
pub(crate) fn with_margin(shape: Shape) -> Shape {
    let larger = |side: usize| (side * 8 + 3) / 7;
    Shape::new(larger(shape.h), larger(shape.w), shape.c)
}

/// What the network sees and what is kept, given the heads of all images.
///
/// Without `image_size`, images that share a size of at most 224 pixels keep it. Else images are
/// scaled until the shorter side fits and cut to a centred square, with a margin
/// ([`with_margin`]) unless all images share a size that isn't larger: enlarging first to cut the
/// rim off next would only lose it. One channel where every image is gray, else three.
pub(crate) fn sizes(probes: &[Probe], image_size: Option<usize>) -> (Shape, Shape) {
    let channels = if probes.iter().all(|p| p.gray) { 1 } else { 3 };
    let first = (probes[0].width, probes[0].height);
    let common = probes
        .iter()
        .all(|p| (p.width, p.height) == first)
        .then_some(first);
    match (image_size, common) {
        (None, Some((w, h))) if w.max(h) <= DEFAULT_SIDE => {
            let shape = Shape::new(h, w, channels);
            (shape, shape)
        }
        _ => {
            let side = image_size.unwrap_or(DEFAULT_SIDE);
            let shape = Shape::new(side, side, channels);
            match common {
                Some((w, h)) if w.min(h) <= side => (shape, shape),
                _ => (shape, with_margin(shape)),
            }
        }
    }
}

/// The picture as kept: scaled until it covers `shape`, cut around its centre, in the channels of
/// `shape`. Area-averaging bilinear filter.
pub(crate) fn fit(picture: Picture, shape: Shape) -> Vec<u8> {
    let mut out = vec![0; shape.len()];
    fit_into(picture, shape, &mut out);
    out
}

/// [`fit`] into `out`, bytes `h x w x c` of `shape`.
pub(crate) fn fit_into(picture: Picture, shape: Shape, out: &mut [u8]) {
    let picture = with_channels(picture, shape.c);
    if (picture.height, picture.width) == (shape.h, shape.w) {
        return out.copy_from_slice(&picture.pixels);
    }
    let from = Shape::new(picture.height, picture.width, shape.c);
    let options = ResizeOptions::new().fit_into_destination(Some((0.5, 0.5)));
    resize(&picture.pixels, from, shape, options, out);
}

/// A box of an image, scaled to `to`.
pub(crate) fn crop_and_resize(
    pixels: &[u8],
    from: Shape,
    (top, left, height, width): (usize, usize, usize, usize),
    to: Shape,
) -> Vec<u8> {
    let options = ResizeOptions::new().crop(left as f64, top as f64, width as f64, height as f64);
    let mut out = vec![0; to.len()];
    resize(pixels, from, to, options, &mut out);
    out
}

fn resize(pixels: &[u8], from: Shape, to: Shape, options: ResizeOptions, out: &mut [u8]) {
    let options = options.resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if from.c == 1 {
        resize_as::<U8>(pixels, from, to, &options, out)
    } else {
        resize_as::<U8x3>(pixels, from, to, &options, out)
    }
}

/// Typed, because the untyped call compiles the code for every pixel type there is.
fn resize_as<P: PixelTrait>(
    pixels: &[u8],
    from: Shape,
    to: Shape,
    options: &ResizeOptions,
    out: &mut [u8],
) {
    let source = TypedImageRef::<P>::from_buffer(from.w as u32, from.h as u32, pixels)
        .expect("a picture holds height x width x channels bytes");
    let mut target = TypedImage::<P>::from_buffer(to.w as u32, to.h as u32, out)
        .expect("the target holds height x width x channels bytes");
    RESIZER.with_borrow_mut(|r| {
        r.resize_typed(&source, &mut target, options)
            .expect("the box lies inside the source");
    });
}

/// Repeats gray three times, or reduces colour to luma (ITU-R BT.601).
fn with_channels(p: Picture, channels: usize) -> Picture {
    let pixels = match (p.channels, channels) {
        (1, 3) => p.pixels.iter().flat_map(|v| [*v; 3]).collect(),
        (3, 1) => {
            let luma = |p: &[u8]| {
                let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
                ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
            };
            p.pixels.chunks_exact(3).map(luma).collect()
        }
        _ => p.pixels,
    };
    Picture {
        channels,
        pixels,
        ..p
    }
}

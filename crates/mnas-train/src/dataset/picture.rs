//! Decoding of JPEG and PNG: any colour model, 8 or 16 bits, turned upright.

use std::io::Cursor;

use exif::{In, Tag};
use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::error::ImageError;
use super::jpeg::{self, Head};
use super::source::{Picture, Probe};

#[cfg(test)]
mod tests;

/// Most pixels read: beyond any camera, and 768 MB of memory.
const MAX_PIXELS: usize = 256 << 20;
/// Widest and highest JPEG: the format's own limit.
const MAX_JPEG_SIDE: usize = 65_535;

type Jpeg<'a> = JpegDecoder<Cursor<&'a [u8]>>;

enum Kind {
    Jpeg,
    Png,
}

/// Decodes an image. Transparent pixels are blended with white; CMYK and 16 bits become 8-bit RGB;
/// gray stays one channel. Where `kept` (width and height) is given, a JPEG may come reduced, but
/// still covers that.
pub(crate) fn decode(bytes: &[u8], kept: Option<(usize, usize)>) -> Result<Picture, ImageError> {
    let (picture, orientation) = match kind(bytes)? {
        Kind::Jpeg => decode_jpeg(bytes, kept)?,
        Kind::Png => decode_png(bytes)?,
    };
    Ok(upright(picture, orientation))
}

/// Reads the head of an image.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe, ImageError> {
    let (width, height, gray, orientation) = match kind(bytes)? {
        Kind::Jpeg => match Head::read(bytes) {
            Some(head) => {
                let (width, height) = limit(head.width, head.height)?;
                (width, height, head.is_gray(), jpeg_orientation(&head))
            }
            None => {
                let d = open_jpeg(bytes)?;
                let (width, height) = jpeg_size(&d)?;
                let gray = d.input_colorspace() == Some(ColorSpace::Luma);
                (width, height, gray, d.exif().map_or(1, |e| orientation(e)))
            }
        },
        Kind::Png => {
            let reader = open_png(bytes)?;
            let info = reader.info();
            let (width, height) = (info.width as usize, info.height as usize);
            let gray = matches!(
                info.color_type,
                ColorType::Grayscale | ColorType::GrayscaleAlpha
            );
            (width, height, gray, png_orientation(info))
        }
    };
    let (width, height) = if orientation >= 5 {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Probe {
        width,
        height,
        gray,
    })
}

fn kind(bytes: &[u8]) -> Result<Kind, ImageError> {
    match bytes {
        [0xff, 0xd8, ..] => Ok(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', ..] => Ok(Kind::Png),
        _ => Err(ImageError::Kind),
    }
}

fn limit(width: usize, height: usize) -> Result<(usize, usize), ImageError> {
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge {
            width,
            height,
            limit: MAX_PIXELS,
        });
    }
    Ok((width, height))
}

fn jpeg_options(space: ColorSpace, strict: bool) -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(strict)
        .set_max_width(MAX_JPEG_SIDE)
        .set_max_height(MAX_JPEG_SIDE)
        .jpeg_set_out_colorspace(space)
}

fn open_jpeg(bytes: &[u8]) -> Result<Jpeg<'_>, ImageError> {
    let mut d =
        JpegDecoder::new_with_options(Cursor::new(bytes), jpeg_options(ColorSpace::RGB, false));
    d.decode_headers().map_err(ImageError::Jpeg)?;
    Ok(d)
}

fn jpeg_size(d: &Jpeg) -> Result<(usize, usize), ImageError> {
    let info = d.info().ok_or(ImageError::Kind)?;
    limit(info.width.into(), info.height.into())
}

fn jpeg_orientation(head: &Head) -> u16 {
    head.exif.map_or(1, orientation)
}

fn decode_jpeg(bytes: &[u8], kept: Option<(usize, usize)>) -> Result<(Picture, u16), ImageError> {
    if let Some(head) = Head::read(bytes) {
        limit(head.width, head.height)?;
        let orientation = jpeg_orientation(&head);
        let kept = kept.map(|(w, h)| if orientation >= 5 { (h, w) } else { (w, h) });
        if let Some(picture) = jpeg::decode(&head, kept) {
            return Ok((picture, orientation));
        }
    }
    decode_jpeg_generally(bytes)
}

/// Any JPEG, and what is wrong with a broken one.
fn decode_jpeg_generally(bytes: &[u8]) -> Result<(Picture, u16), ImageError> {
    let mut d = open_jpeg(bytes)?;
    let (width, height) = jpeg_size(&d)?;
    let gray = d.input_colorspace() == Some(ColorSpace::Luma);
    let (space, channels) = if gray {
        (ColorSpace::Luma, 1)
    } else {
        (ColorSpace::RGB, 3)
    };
    // Cameras leave odd bytes between headers, but from here on strict, or the missing part of a
    // truncated file decodes to gray without a word.
    d.set_options(jpeg_options(space, true));
    let pixels = d.decode().map_err(ImageError::Jpeg)?;
    let orientation = d.exif().map_or(1, |e| orientation(e));
    let picture = Picture {
        width,
        height,
        channels,
        pixels,
    };
    Ok((picture, orientation))
}

fn open_png(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, ImageError> {
    let limits = png::Limits {
        bytes: 8 * MAX_PIXELS,
    };
    let mut d = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    d.set_transformations(Transformations::normalize_to_color8());
    d.set_ignore_text_chunk(true);
    d.set_ignore_iccp_chunk(true);
    let reader = d.read_info()?;
    limit(reader.info().width as usize, reader.info().height as usize)?;
    Ok(reader)
}

fn decode_png(bytes: &[u8]) -> Result<(Picture, u16), ImageError> {
    let mut reader = open_png(bytes)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let mut bytes = vec![0; width * height * reader.output_color_type().0.samples()];
    let info = reader.next_frame(&mut bytes)?;
    reader.finish()?;
    let over_white = |value: u8, alpha: u8| {
        let (v, a) = (u32::from(value), u32::from(alpha));
        ((v * a + 255 * (255 - a) + 127) / 255) as u8
    };
    let (channels, pixels) = match info.color_type {
        ColorType::Grayscale => (1, bytes),
        ColorType::GrayscaleAlpha => {
            let gray = bytes.chunks_exact(2).map(|p| over_white(p[0], p[1]));
            (1, gray.collect())
        }
        ColorType::Rgba => {
            let pixel = |p: &[u8]| [p[0], p[1], p[2]].map(|v| over_white(v, p[3]));
            (3, bytes.chunks_exact(4).flat_map(pixel).collect())
        }
        // A palette has been expanded to RGB or RGBA.
        ColorType::Rgb | ColorType::Indexed => (3, bytes),
    };
    let orientation = png_orientation(reader.info());
    let picture = Picture {
        width,
        height,
        channels,
        pixels,
    };
    Ok((picture, orientation))
}

fn png_orientation(info: &png::Info) -> u16 {
    info.exif_metadata.as_ref().map_or(1, |e| orientation(e))
}

/// The EXIF orientation, 1 to 8; 1 (upright) where absent or unreadable.
fn orientation(tiff: &[u8]) -> u16 {
    let parsed = exif::Reader::new().read_raw(tiff.to_vec());
    let value = parsed.ok().and_then(|e| {
        let field = e.get_field(Tag::Orientation, In::PRIMARY)?;
        field.value.get_uint(0)
    });
    match value {
        Some(v @ 1..=8) => v as u16,
        _ => 1,
    }
}

/// Applies an EXIF orientation (EXIF 2.32, tag 274): 2 mirrors, 3 turns by 180 degrees, 4 flips,
/// 5 to 8 are the same after swapping rows and columns.
fn upright(p: Picture, orientation: u16) -> Picture {
    if orientation <= 1 {
        return p;
    }
    let (w, h, c) = (p.width, p.height, p.channels);
    let (out_w, out_h) = if orientation >= 5 { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(p.pixels.len());
    for y in 0..out_h {
        for x in 0..out_w {
            let (sx, sy) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            let at = (sy * w + sx) * c;
            pixels.extend_from_slice(&p.pixels[at..at + c]);
        }
    }
    Picture {
        width: out_w,
        height: out_h,
        channels: c,
        pixels,
    }
}

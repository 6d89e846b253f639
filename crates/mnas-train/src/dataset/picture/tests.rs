use std::fs;
use std::path::Path;

use super::*;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255; 3];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fs::read(folder.join(name)).unwrap()
}

/// Decodes a fixture, checks its size against its head, and compares the middles of its quarters.
fn check(name: &str, (width, height): (usize, usize), channels: usize, quarters: [[u8; 3]; 4]) {
    let bytes = fixture(name);
    let head = probe(&bytes).unwrap();
    let p = decode(&bytes, None).unwrap();
    assert_eq!((p.width, p.height), (width, height), "{name}");
    assert_eq!((head.width, head.height), (width, height), "{name}");
    assert_eq!((p.channels, head.gray), (channels, channels == 1), "{name}");
    assert_eq!(p.pixels.len(), width * height * channels, "{name}");
    let places = [(1, 1), (1, 3), (3, 1), (3, 3)];
    for ((y, x), expected) in places.into_iter().zip(quarters) {
        let at = ((height * y / 4) * width + width * x / 4) * channels;
        for c in 0..channels {
            let got = p.pixels[at + c];
            // JPEG is lossy, and so is its way to CMYK and back.
            let off = got.abs_diff(expected[c]);
            assert!(
                off <= 6,
                "{name} at {y}/4, {x}/4: channel {c} is {got}, expected {expected:?}"
            );
        }
    }
}

#[test]
fn every_kind_of_image_shows_the_same() {
    let colour = [RED, GREEN, BLUE, WHITE];
    for name in [
        "rgb.jpg",
        "progressive.jpg",
        "halved-chroma.jpg",
        "cmyk.jpg",
    ] {
        check(name, (48, 32), 3, colour);
    }
    check("odd-size.jpg", (37, 23), 3, colour);
    for name in ["rgb.png", "palette.png", "sixteen.png"] {
        check(name, (48, 32), 3, colour);
    }
    // Where alpha is 0 the page shows.
    check("alpha.png", (48, 32), 3, [WHITE, GREEN, BLUE, WHITE]);
    let gray = [76, 150, 29, 255].map(|v| [v; 3]);
    check("gray.jpg", (48, 32), 1, gray);
    check("gray.png", (48, 32), 1, gray);
}

#[test]
fn odd_bytes_between_headers_are_passed_over() {
    let whole = fixture("rgb.jpg");
    // After the start marker and the APP0 segment, whose length follows its marker.
    let end = 4 + usize::from(u16::from_be_bytes([whole[4], whole[5]]));
    let odd = [
        &whole[..end],
        &[0x11, 0x22, 0x33, 0x44, 0x55],
        &whole[end..],
    ]
    .concat();
    assert_eq!(decode(&odd, None).unwrap(), decode(&whole, None).unwrap());
}

#[test]
fn one_bit_images_are_gray() {
    let p = decode(&fixture("bits.png"), None).unwrap();
    assert_eq!((p.width, p.height, p.channels), (48, 32, 1));
    // The white quarter, and dithered shares of white in the others.
    assert_eq!(p.pixels[24 * 48 + 36], 255);
    assert!(p.pixels.iter().all(|v| *v == 0 || *v == 255));
}

#[test]
fn exif_turns_images_upright() {
    for orientation in 2..=8 {
        let name = format!("orientation-{orientation}.jpg");
        check(&name, (48, 32), 3, [RED, GREEN, BLUE, WHITE]);
    }
}

#[test]
fn pictures_on_their_side_come_as_large_as_they_are_kept() {
    // Upright 100 x 400, kept at a fifth; slopes that survive it.
    let (w, h) = (400, 100);
    let at = |i: usize| [i % w / 2, i / w * 2, (i % w + i / w) / 2].map(|v| v as u8);
    let pixels: Vec<u8> = (0..w * h).flat_map(at).collect();
    let kept = (20, 80);
    for orientation in 5..=8 {
        let mut bytes = vec![];
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
        // TIFF, big-endian: one field, tag 0x112, a short.
        let tiff = [
            b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
            &[orientation, 0, 0, 0, 0, 0, 0][..],
        ]
        .concat();
        encoder.add_app_segment(1, tiff).unwrap();
        encoder
            .encode(&pixels, w as u16, h as u16, jpeg_encoder::ColorType::Rgb)
            .unwrap();
        let reduced = decode(&bytes, Some(kept)).unwrap();
        assert_eq!((reduced.width, reduced.height), (25, 100), "{orientation}");
        let shape = mnas_net::Shape::new(kept.1, kept.0, 3);
        let fit = |p| crate::dataset::resize::fit(p, shape);
        let whole = decode(&bytes, None).unwrap();
        assert_eq!((whole.width, whole.height), (h, w), "{orientation}");
        let (reduced, whole) = (fit(reduced), fit(whole));
        let largest = reduced
            .iter()
            .zip(&whole)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(largest.unwrap() < 6, "{orientation}: {largest:?}");
    }
}

#[test]
fn turning_is_undone_by_turning_back() {
    let p = Picture {
        width: 3,
        height: 2,
        channels: 1,
        pixels: vec![1, 2, 3, 4, 5, 6],
    };
    for (there, back) in [(2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)] {
        let turned = upright(p.clone(), there);
        assert_ne!(turned, p);
        assert_eq!(upright(turned, back), p, "{there} then {back}");
    }
    // Six: a quarter turn clockwise.
    assert_eq!(upright(p, 6).pixels, [4, 1, 5, 2, 6, 3]);
}

#[test]
fn broken_images_are_errors() {
    let check = |bytes: &[u8], expected: &str| {
        let error = decode(bytes, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(&fixture("truncated.jpg"), "broken JPEG: ");
    check(&fixture("truncated.png"), "broken PNG: ");
    check(b"", "is neither JPEG nor PNG");
    check(b"GIF89a----", "is neither JPEG nor PNG");
    check(&fixture("rgb.jpg")[..20], "broken JPEG: ");
    check(&fixture("rgb.png")[..20], "broken PNG: ");
    // 30,000 x 30,000 pixels in 70 bytes.
    let mut bomb = fixture("rgb.png");
    bomb[16..20].copy_from_slice(&30_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&30_000u32.to_be_bytes());
    let crc = {
        let mut c = flate2::Crc::new();
        c.update(&bomb[12..29]);
        c.sum()
    };
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    check(&bomb, "30000x30000 pixels are too many");
}

#[test]
fn every_cut_of_a_file_is_an_error_or_a_picture_but_no_panic() {
    for name in [
        "rgb.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "orientation-6.jpg",
        "alpha.png",
    ] {
        let whole = fixture(name);
        for n in 0..whole.len() {
            let _ = probe(&whole[..n]);
            let cut = decode(&whole[..n], None);
            // Only the end marker may be missing.
            assert!(
                cut.is_err() || n + 4 >= whole.len(),
                "{name} cut to {n} of {}",
                whole.len()
            );
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0x55;
            let _ = decode(&bent, None);
        }
    }
}

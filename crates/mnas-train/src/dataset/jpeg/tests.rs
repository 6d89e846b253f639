use std::io::Cursor;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::*;

/// How a picture is encoded.
#[derive(Debug, Clone, Copy)]
struct Case {
    size: (usize, usize),
    /// `None` for gray.
    sampling: Option<SamplingFactor>,
    quality: u8,
    restart: u16,
    optimised: bool,
}

const PLAIN: Case = Case {
    size: (48, 32),
    sampling: Some(SamplingFactor::F_2_2),
    quality: 90,
    restart: 0,
    optimised: false,
};

/// Slopes, an edge and some noise: every frequency, and neighbours that differ little.
fn pixels((w, h): (usize, usize), channels: usize) -> Vec<u8> {
    let mut noise = 9u32;
    let mut out = vec![];
    for y in 0..h {
        for x in 0..w {
            for c in 0..channels {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let slope = 40 + ((x * (c + 2) + y * (4 - c)) / 4 % 300).abs_diff(150);
                let edge = if x > y + 20 { 30 } else { 0 };
                out.push((slope + edge) as u8 + (noise >> 29) as u8);
            }
        }
    }
    out
}

fn encode(case: Case) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = Encoder::new(&mut bytes, case.quality);
    if let Some(sampling) = case.sampling {
        encoder.set_sampling_factor(sampling);
    }
    if case.restart > 0 {
        encoder.set_restart_interval(case.restart);
    }
    encoder.set_optimized_huffman_tables(case.optimised);
    let (w, h) = case.size;
    let (channels, colour) = match case.sampling {
        Some(_) => (3, ColorType::Rgb),
        None => (1, ColorType::Luma),
    };
    let pixels = pixels(case.size, channels);
    encoder.encode(&pixels, w as u16, h as u16, colour).unwrap();
    bytes
}

fn ours(bytes: &[u8]) -> Option<Picture> {
    decode(&Head::read(bytes)?, None)
}

/// The general decoder's picture.
fn general(bytes: &[u8], gray: bool) -> Option<Vec<u8>> {
    let space = if gray {
        ColorSpace::Luma
    } else {
        ColorSpace::RGB
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(space);
    JpegDecoder::new_with_options(Cursor::new(bytes), options)
        .decode()
        .ok()
}

/// Compares a case with the general decoder: `most` at any sample, half a step on average (of few
/// samples more).
fn check(case: Case, most: u8) {
    let bytes = encode(case);
    let p = ours(&bytes).unwrap_or_else(|| panic!("{case:?} is common"));
    assert_eq!((p.width, p.height), case.size, "{case:?}");
    let other = general(&bytes, case.sampling.is_none()).unwrap();
    assert_eq!(p.pixels.len(), other.len(), "{case:?}");
    let off = p.pixels.iter().zip(&other).map(|(a, b)| a.abs_diff(*b));
    let largest = off.clone().max().unwrap();
    let usual = if other.len() < 500 { 1.5 } else { 0.5 };
    let mean = off.map(f64::from).sum::<f64>() / other.len() as f64;
    assert!(
        largest <= most && mean < usual,
        "{case:?}: {largest}, {mean}"
    );
}

const SAMPLINGS: [SamplingFactor; 4] = [
    SamplingFactor::F_1_1,
    SamplingFactor::F_2_1,
    SamplingFactor::F_1_2,
    SamplingFactor::F_2_2,
];

#[test]
fn every_sampling_and_size_agrees_with_the_general_decoder() {
    let sizes = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 50, 70];
    for (i, w) in sizes.into_iter().enumerate() {
        for (j, h) in sizes.into_iter().enumerate() {
            let restart = [0, 1, 3][(i + 2 * j) % 3];
            let case = Case {
                size: (w, h),
                quality: [50, 75, 90, 100][(i + j) % 4],
                restart,
                // The encoder counts symbols as if there were no restarts.
                optimised: restart == 0,
                sampling: None,
            };
            check(case, 2);
            for sampling in SAMPLINGS {
                let sampling = Some(sampling);
                // The encoder fits tables to colour in a scan of each component, which is uncommon.
                let case = Case {
                    sampling,
                    optimised: false,
                    ..case
                };
                check(
                    case,
                    if sampling == Some(SamplingFactor::F_1_1) {
                        3
                    } else {
                        8
                    },
                );
            }
        }
    }
}

/// Sums that Pillow's libjpeg-turbo gives for the same files, as `fixtures/make.py` prints them.
#[test]
fn pixels_are_those_of_libjpeg_turbo() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (name, expected) in [
        ("halved-chroma.jpg", 0x83b2_bfb8),
        ("odd-size.jpg", 0x2268_7205),
        ("gray.jpg", 0xf332_ed51),
        ("rgb.jpg", 0x99dc_bbe4),
        ("noise-420.jpg", 0xce76_cf56),
        ("noise-422.jpg", 0xb2a9_afc6),
        ("noise-444.jpg", 0x9e04_a79c),
        ("noise-gray.jpg", 0x9205_3f85),
        ("noise-restart.jpg", 0x0675_3b27),
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&ours(&bytes).unwrap().pixels);
        assert_eq!(crc.sum(), expected, "{name}");
    }
}

#[test]
fn every_instruction_set_decodes_alike() {
    for sampling in SAMPLINGS.map(Some).into_iter().chain([None]) {
        let size = (61, 45);
        let bytes = encode(Case {
            size,
            sampling,
            ..PLAIN
        });
        let head = Head::read(&bytes).unwrap();
        for kept in [None, Some((30, 20)), Some((4, 4))] {
            let run = |isa| decode_with(isa, &head, kept).unwrap();
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                assert_eq!(
                    run(isa),
                    run(Isa::Portable),
                    "{isa:?} {sampling:?} {kept:?}"
                );
            }
        }
    }
}

#[test]
fn reduced_pictures_cover_what_is_kept_and_show_the_same() {
    let size = (200, 136);
    for sampling in SAMPLINGS.map(Some).into_iter().chain([None]) {
        let bytes = encode(Case {
            size,
            sampling,
            ..PLAIN
        });
        let head = Head::read(&bytes).unwrap();
        let whole = decode(&head, None).unwrap();
        for n in 1..=6 {
            let kept = (size.0 * n / 8, size.1 * n / 8);
            let p = decode(&head, Some(kept)).unwrap();
            assert_eq!((p.width, p.height), (25 * n, 17 * n), "{sampling:?}");
            // Means over blocks, which reducing keeps.
            for c in 0..p.channels {
                for (by, bx) in [(1, 1), (8, 12), (15, 20)] {
                    let mean = |p: &Picture, n: usize| {
                        let at = |i: usize| {
                            let (y, x) = (by * n + i / n, bx * n + i % n);
                            f64::from(p.pixels[(y * p.width + x) * p.channels + c])
                        };
                        (0..n * n).map(at).sum::<f64>() / (n * n) as f64
                    };
                    let (a, b) = (mean(&p, n), mean(&whole, 8));
                    assert!((a - b).abs() < 4.0, "{sampling:?} {n}/8: {a}, {b}");
                }
            }
        }
        let all = decode(&head, Some((176, 119))).unwrap();
        assert_eq!(all, whole, "7/8 is not worth a step");
    }
}

#[test]
fn reduced_odd_sizes_show_no_padding() {
    // Black but for the last column and row, which the encoder repeats to fill whole blocks.
    let (w, h) = (257, 129);
    let lit = |i: usize| i % w == w - 1 || i / w == h - 1;
    let pixels: Vec<u8> = (0..w * h)
        .flat_map(|i| [u8::from(lit(i)) * 255; 3])
        .collect();
    for sampling in SAMPLINGS {
        let mut bytes = vec![];
        let mut encoder = Encoder::new(&mut bytes, 95);
        encoder.set_sampling_factor(sampling);
        encoder
            .encode(&pixels, w as u16, h as u16, ColorType::Rgb)
            .unwrap();
        let head = Head::read(&bytes).unwrap();
        for n in 1..=2 {
            let kept = (w * n / 8, h * n / 8);
            let reduced = decode(&head, Some(kept)).unwrap();
            assert_eq!((reduced.width, reduced.height), kept, "{sampling:?} {n}/8");
            let whole = decode(&head, None).unwrap();
            let shape = mnas_net::Shape::new(kept.1, kept.0, 3);
            let expected = crate::dataset::resize::fit(whole, shape);
            let off = reduced.pixels.iter().zip(&expected);
            let largest = off.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // The share that the lit line has in the last pixel; padding would fill it.
            assert!(largest < 100, "{sampling:?} {n}/8: {largest}");
        }
    }
    let tiny = encode(Case {
        size: (3, 2),
        ..PLAIN
    });
    let head = Head::read(&tiny).unwrap();
    let frame = Frame::new(&head, 1, None).unwrap();
    let arithmetic = Arithmetic::new(Isa::detect());
    let p = frame
        .decode(arithmetic, &head, &mut Scratch::default())
        .unwrap();
    assert_eq!((p.width, p.height), (1, 1));
}

#[test]
fn sides_that_are_cut_off_later_change_nothing() {
    for sampling in SAMPLINGS.map(Some).into_iter().chain([None]) {
        for (size, kept) in [
            ((300, 100), (32, 32)),
            ((100, 300), (32, 32)),
            ((310, 75), (64, 64)),
            ((75, 311), (80, 64)),
            ((90, 80), (85, 70)),
        ] {
            let bytes = encode(Case {
                size,
                sampling,
                ..PLAIN
            });
            let head = Head::read(&bytes).unwrap();
            let cut = decode(&head, Some(kept)).unwrap();
            let eighths = eighths(size, kept);
            let whole = SCRATCH.with_borrow_mut(|s| {
                let frame = Frame::new(&head, eighths, None).unwrap();
                let arithmetic = Arithmetic::new(Isa::detect());
                frame.decode(arithmetic, &head, s).unwrap()
            });
            let narrow = size.0.max(size.1) > 200;
            assert_eq!(cut.pixels.len() < whole.pixels.len(), narrow, "{size:?}");
            let shape = mnas_net::Shape::new(kept.1, kept.0, cut.channels);
            let fit = |p| crate::dataset::resize::fit(p, shape);
            assert!(fit(cut) == fit(whole), "{sampling:?} {size:?} {kept:?}");
        }
    }
}

#[test]
fn sizes_are_the_smallest_that_cover() {
    for (size, kept, expected) in [
        ((672, 448), (256, 256), 5),
        ((4000, 3000), (256, 256), 1),
        ((512, 2048), (256, 256), 4),
        ((511, 2048), (256, 256), 5),
        ((300, 300), (256, 256), 8),
        ((100, 100), (256, 256), 8),
    ] {
        assert_eq!(eighths(size, kept), expected, "{size:?}");
    }
}

#[test]
fn the_uncommon_is_left_to_the_general_decoder() {
    let with = |set: &dyn Fn(&mut Encoder<&mut Vec<u8>>), colour, channels| {
        let mut bytes = vec![];
        let mut encoder = Encoder::new(&mut bytes, 90);
        set(&mut encoder);
        encoder
            .encode(&pixels((40, 24), channels), 40, 24, colour)
            .unwrap();
        bytes
    };
    assert!(ours(&with(&|_| {}, ColorType::Rgb, 3)).is_some());
    for bytes in [
        with(&|e| e.set_progressive(true), ColorType::Rgb, 3),
        with(&|_| {}, ColorType::Cmyk, 4),
        with(
            &|e| e.set_sampling_factor(SamplingFactor::F_4_1),
            ColorType::Rgb,
            3,
        ),
    ] {
        assert!(Head::read(&bytes).is_some(), "its size is known");
        assert!(ours(&bytes).is_none());
    }
}

#[test]
fn components_of_one_name_are_refused() {
    let mut bytes = encode(PLAIN);
    let frame = bytes.windows(2).position(|b| b == [0xff, 0xc0]).unwrap();
    let scan = bytes.windows(2).position(|b| b == [0xff, 0xda]).unwrap();
    // Names stand every three bytes after the frame's count, every two after the scan's.
    bytes[frame + 16] = bytes[frame + 10];
    bytes[scan + 9] = bytes[scan + 5];
    assert!(ours(&bytes).is_none());
    assert!(general(&bytes, false).is_none());
}

#[test]
fn damage_is_noticed_or_harmless_and_never_a_panic() {
    let mut next = 1u32;
    let mut random = |n: usize| {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (next >> 8) as usize % n
    };
    for (i, sampling) in SAMPLINGS.map(Some).into_iter().chain([None]).enumerate() {
        let whole = encode(Case {
            size: (57, 39),
            sampling,
            restart: [0, 4][i % 2],
            optimised: sampling.is_none(),
            ..PLAIN
        });
        for n in 0..whole.len() - 3 {
            assert!(ours(&whole[..n]).is_none(), "cut to {n} of {}", whole.len());
        }
        assert!(
            ours(&whole[..whole.len() - 2]).is_some(),
            "the end marker may miss"
        );
        for round in 0..4000 {
            let mut bent = whole.clone();
            for _ in 0..1 + round % 4 {
                bent[random(whole.len())] = [0, 0xff, random(256) as u8][round % 3];
            }
            bent.truncate(whole.len() - [0, random(whole.len())][round % 2]);
            let Some(head) = Head::read(&bent) else {
                continue;
            };
            for kept in [None, Some((9, 9))] {
                if let Some(p) = decode(&head, kept) {
                    assert_eq!(p.pixels.len(), p.width * p.height * p.channels);
                }
            }
        }
    }
}

#[test]
fn a_small_file_takes_little_memory() {
    let mut bytes = encode(PLAIN);
    // The frame's size stands after marker, length and precision.
    let frame = bytes.windows(2).position(|b| b == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
    let head = Head::read(&bytes).unwrap();
    let mut scratch = Scratch::default();
    let frame = Frame::new(&head, 8, None).unwrap();
    let arithmetic = Arithmetic::new(Isa::detect());
    assert!(frame.decode(arithmetic, &head, &mut scratch).is_none());
    assert!(scratch.bytes() < 1 << 20);
}

#[test]
fn a_large_file_leaves_little_memory() {
    let small = encode(PLAIN);
    let (plain, end) = small.split_at(small.len() - 2);
    let restarts: Vec<u8> = (0xd0..=0xd7).flat_map(|m| [0xff, m]).collect();
    for filling in [&[1, 2][..], &restarts] {
        let large = [plain, &filling.repeat(2 * KEPT_BYTES / filling.len()), end].concat();
        let _ = ours(&large);
        SCRATCH.with_borrow(|s| assert!(s.coded.capacity() <= KEPT_BYTES, "{filling:?}"));
    }
}

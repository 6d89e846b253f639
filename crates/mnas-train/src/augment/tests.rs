use mnas_net::{Purpose, stream};
use proptest::prelude::*;

use super::*;

/// An image whose bytes tell their place.
fn marked(shape: Shape) -> Vec<u8> {
    (0..shape.len()).map(|i| (i % 251) as u8 + 1).collect()
}

fn applied(augment: &Augment, from: Shape, to: Shape, seed: u64) -> Vec<u8> {
    let mut out = vec![0; to.len()];
    let mut random = stream(seed, 0, Purpose::Augment);
    augment.apply(
        &marked(from),
        (from, to),
        &vec![77; from.c],
        &mut random,
        &mut out,
    );
    out
}

#[test]
fn no_change_is_the_evaluation_crop() {
    let shape = Shape::new(5, 7, 3);
    assert_eq!(applied(&Augment::NONE, shape, shape, 0), marked(shape));
    // The centre 2x2 of 4x4.
    let out = applied(&Augment::NONE, Shape::new(4, 4, 1), Shape::new(2, 2, 1), 0);
    assert_eq!(out, [6, 7, 10, 11]);
}

#[test]
fn shifts_with_black_and_with_mirror() {
    let (from, to) = (Shape::new(1, 4, 1), Shape::new(1, 4, 1));
    let check = |by: (isize, isize), fill, expected: [u8; 4]| {
        let mut out = vec![0; 4];
        shifted(&[1, 2, 3, 4], (from, to), by, fill, &mut out);
        assert_eq!(out, expected, "by {by:?} with {fill:?}");
    };
    check((0, 2), PadFill::Zero, [3, 4, 0, 0]);
    check((0, -1), PadFill::Zero, [0, 1, 2, 3]);
    check((1, 0), PadFill::Zero, [0, 0, 0, 0]);
    check((0, 2), PadFill::Reflect, [3, 4, 3, 2]);
    check((0, -2), PadFill::Reflect, [3, 2, 1, 2]);
    check((1, 0), PadFill::Reflect, [1, 2, 3, 4]);
    check((0, 40), PadFill::Reflect, [3, 2, 1, 2]);
}

#[test]
fn flips_half_of_the_images() {
    let augment = Augment {
        flip: true,
        ..Augment::NONE
    };
    let shape = Shape::new(2, 2, 2);
    let mirrored = [3, 4, 1, 2, 7, 8, 5, 6];
    let flips = (0..1000).filter(|seed| {
        let out = applied(&augment, shape, shape, *seed);
        assert!(out == mirrored || out == marked(shape), "{out:?}");
        out == mirrored
    });
    let flips = flips.count();
    assert!((430..570).contains(&flips), "{flips} of 1000");
}

#[test]
fn every_shift_occurs_equally_often() {
    let augment = Augment {
        pad_crop: 2,
        ..Augment::NONE
    };
    let shape = Shape::new(1, 9, 1);
    let mut seen = [0; 5];
    for seed in 0..5000 {
        let out = applied(&augment, Shape::new(9, 9, 1), shape, seed);
        let (left, row) = (i32::from(out[4]) - 41, 9);
        // Rows of 9: the middle pixel's byte tells both shifts.
        let across = (left + 2 * row + 4).rem_euclid(row) - 4;
        seen[(across + 2) as usize] += 1;
    }
    assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn boxes_lie_inside_and_keep_their_bounds(h in 1usize..300, w in 1usize..300, seed: u64) {
        let shape = Shape::new(h, w, 3);
        if let Some((top, left, height, width)) = random_box(shape, &mut stream(seed, 0, Purpose::Augment)) {
            prop_assert!(height >= 1 && width >= 1);
            prop_assert!(top + height <= h && left + width <= w);
            let (area, all) = ((height * width) as f64, (h * w) as f64);
            // Rounding moves each side by at most half a pixel.
            let slack = 0.5 * (height + width) as f64 + 1.0;
            prop_assert!(area + slack >= 0.08 * all && area - slack <= all);
        }
    }

    #[test]
    fn any_mix_fills_the_whole_image_and_repeats(
        crop in 0usize..3, reflect: bool, flip: bool, cutout in 0usize..9, margin in 0usize..4,
        gray: bool, seed: u64,
    ) {
        let c = if gray { 1 } else { 3 };
        let to = Shape::new(8, 6, c);
        let from = Shape::new(8 + margin, 6 + margin, c);
        let augment = Augment {
            random_resized_crop: crop == 2,
            pad_crop: if crop == 1 { 3 } else { 0 },
            pad_fill: if reflect { PadFill::Reflect } else { PadFill::Zero },
            flip,
            cutout,
        };
        let out = applied(&augment, from, to, seed);
        prop_assert_eq!(&out, &applied(&augment, from, to, seed));
        let black = out.iter().filter(|v| **v == 0).count();
        // Only padding with black brings a byte that the image doesn't have.
        prop_assert!(black == 0 || (crop == 1 && !reflect), "{} black bytes", black);
        let cut = out.chunks_exact(c).filter(|p| p.iter().all(|v| *v == 77)).count();
        if cutout > 0 && crop == 0 {
            prop_assert!(cut >= 1 && cut <= cutout * cutout + 1, "{} cut", cut);
        }
    }
}

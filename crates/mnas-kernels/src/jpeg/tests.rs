use super::*;

/// Pseudo-random numbers, the same each time (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 24) as u8).collect()
    }

    /// A block with `kept` of 64 coefficients, each below `size`.
    fn block(&mut self, kept: u64, size: i64) -> Block {
        let mut block = Block([0; 64]);
        for v in &mut block.0 {
            let r = self.next();
            if r % 64 < kept {
                *v = ((r >> 20) as i64 % (2 * size) - size) as i16;
            }
        }
        block
    }
}

fn others() -> impl Iterator<Item = Isa> {
    let all = Isa::ALL.into_iter();
    all.filter(|i| *i != Isa::Portable && i.available())
}

/// The transform of T.81, A.3.3, in floats; of `n x n` pixels, its low frequencies.
fn reference(block: &Block, n: usize) -> Vec<f64> {
    let basis = |k: usize, i: usize| {
        let angle = (2 * i + 1) as f64 * k as f64 * std::f64::consts::PI / (2 * n) as f64;
        let scale = if k == 0 { 0.5f64.sqrt() } else { 1.0 };
        0.5 * scale * angle.cos()
    };
    let mut out = vec![];
    for y in 0..n {
        for x in 0..n {
            let terms = (0..n * n).map(|i| (i / n, i % n));
            let sum: f64 = terms
                .map(|(r, c)| f64::from(block.0[place(r, c)]) * basis(r, y) * basis(c, x))
                .sum();
            out.push((sum + 128.0).clamp(0.0, 255.0));
        }
    }
    out
}

#[test]
fn the_transform_is_that_of_the_standard_at_every_size() {
    let mut noise = Noise(7);
    for size in 1..=8 {
        for kept in [2, 10, 64] {
            let block = noise.block(kept, 120);
            let mut out = [0; 7 * 11 + 8];
            Arithmetic::new(Isa::Portable).inverse_dct(size, &block, &mut out, 11);
            for (i, exact) in reference(&block, size).into_iter().enumerate() {
                let got = f64::from(out[i / size * 11 + i % size]);
                assert!(
                    (got - exact).abs() < 0.51 + 0.05 * size as f64,
                    "{size}: {got}, {exact}"
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_transforms_to_the_same_bytes() {
    let mut noise = Noise(1);
    for isa in others() {
        for size in 1..=8 {
            for (kept, range) in [(1, 1000), (6, 300), (64, 100), (64, 32_767)] {
                let block = noise.block(kept, range);
                let run = |isa| {
                    let mut out = vec![9; (size - 1) * 13 + 8];
                    Arithmetic::new(isa).inverse_dct(size, &block, &mut out, 13);
                    out.chunks(13)
                        .map(|r| r[..size].to_vec())
                        .collect::<Vec<_>>()
                };
                assert_eq!(run(isa), run(Isa::Portable), "{isa:?} {size}");
            }
        }
    }
}

#[test]
fn flat_blocks_equal_the_whole_transform() {
    for dc in (-2100..2100).step_by(7) {
        for size in [1, 3, 8] {
            let mut block = Block([0; 64]);
            block.0[0] = dc;
            let (mut whole, mut flat) = ([0; 64], [0; 64]);
            Arithmetic::new(Isa::Portable).inverse_dct(size, &block, &mut whole, 8);
            inverse_dct_flat(size, dc, &mut flat, 8);
            for y in 0..size {
                assert_eq!(whole[8 * y..][..size], flat[8 * y..][..size], "{dc} {size}");
            }
        }
    }
}

#[test]
fn blocks_fit_without_wrapping() {
    let half = usize::MAX / 2 + 1;
    for (size, len, stride, fits) in [
        (8, 64, 8, true),
        (8, 63, 8, false),
        (8, 8, 0, true),
        // Of one row the stride doesn't count.
        (1, 8, half, true),
        (1, 7, 8, false),
        // Twice this wraps to 0.
        (3, 64, half, false),
        (8, 64, usize::MAX, false),
        (0, 64, 8, false),
        (9, 128, 8, false),
    ] {
        assert_eq!(block_fits(size, len, stride), fits, "{size} {len} {stride}");
    }
}

#[test]
#[should_panic(expected = "block_fits")]
fn a_stride_that_wraps_is_refused() {
    let stride = usize::MAX / 2 + 1;
    Arithmetic::new(Isa::detect()).inverse_dct(3, &Block([1; 64]), &mut [0; 64], stride);
}

#[test]
fn every_instruction_set_gives_the_same_colours() {
    // Each chroma pair once, with luma that moves along.
    let pairs = 0..1 << 16;
    let y: Vec<u8> = pairs.clone().map(|i| (i * 7 + i / 256) as u8).collect();
    let cb: Vec<u8> = pairs.clone().map(|i| i as u8).collect();
    let cr: Vec<u8> = pairs.map(|i| (i >> 8) as u8).collect();
    for isa in others() {
        for n in [1, 15, 16, 50, 1 << 16] {
            let run = |isa| {
                let mut rgb = vec![0; 3 * n];
                Arithmetic::new(isa).ycc_to_rgb(&y[..n], &cb[..n], &cr[..n], &mut rgb);
                rgb
            };
            assert!(run(isa) == run(Isa::Portable), "{isa:?} {n}");
        }
    }
    let mut rgb = [0; 9];
    // Red, gray and blue of JFIF.
    Arithmetic::new(Isa::detect()).ycc_to_rgb(
        &[76, 90, 29],
        &[85, 128, 255],
        &[255, 128, 107],
        &mut rgb,
    );
    assert_eq!(rgb, [254, 0, 0, 90, 90, 90, 0, 0, 254]);
}

#[test]
fn every_instruction_set_upsamples_alike() {
    let mut noise = Noise(3);
    let kinds = [
        Upsample::No,
        Upsample::Across,
        Upsample::Down,
        Upsample::Both,
    ];
    for kind in kinds {
        for n in (1..70).chain([200]) {
            let (near, far) = (noise.bytes(n), noise.bytes(n));
            let across = matches!(kind, Upsample::Across | Upsample::Both);
            for lower in [false, true] {
                let run = |isa| {
                    let mut out = vec![0; n << u32::from(across)];
                    Arithmetic::new(isa).upsample(kind, lower, &near, &far, &mut out);
                    out
                };
                for isa in others() {
                    assert_eq!(run(isa), run(Isa::Portable), "{isa:?} {kind:?} {n}");
                }
            }
        }
    }
}

#[test]
fn upsampling_is_the_triangle_filter() {
    let check = |kind, near: &[u8], far: &[u8], expected: &[u8]| {
        let mut out = vec![0; expected.len()];
        Arithmetic::new(Isa::Portable).upsample(kind, false, near, far, &mut out);
        assert_eq!(out, expected, "{kind:?}");
    };
    check(Upsample::No, &[1, 2], &[7, 8], &[1, 2]);
    check(Upsample::Down, &[0, 100], &[40, 200], &[10, 125]);
    check(Upsample::Across, &[0, 100], &[0, 0], &[0, 0, 100, 100]);
    check(
        Upsample::Across,
        &[0, 100, 20],
        &[0; 3],
        &[0, 25, 75, 80, 40, 20],
    );
    check(
        Upsample::Both,
        &[0, 100, 20],
        &[0, 100, 20],
        &[0, 25, 75, 80, 40, 20],
    );
}

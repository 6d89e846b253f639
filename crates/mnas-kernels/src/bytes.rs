//! Sums over bytes.

use crate::isa::Isa;

/// Bytes summed side by side: a multiple of any vector and of three channels.
const LANES: usize = 48;
/// Steps before a sum of squares could leave 32 bits.
const STEPS: usize = 1 << 15;

/// For each of `channels` (1 or 3) interleaved channels the sum of the bytes and of their squares.
///
/// # Panics
/// Where `channels` is neither, or `bytes` no whole number of pixels, or the processor lacks `isa`.
pub fn byte_moments(isa: Isa, bytes: &[u8], channels: usize) -> [[u64; 2]; 3] {
    assert!(matches!(channels, 1 | 3) && bytes.len().is_multiple_of(channels));
    assert!(isa.available(), "this processor has no {}", isa.name());
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: it is available.
        Isa::Avx2 | Isa::Avx512 => unsafe { avx2(bytes, channels) },
        _ => sums(bytes, channels),
    }
}

/// [`sums`] as the compiler vectorises it for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &[u8], channels: usize) -> [[u64; 2]; 3] {
    sums(bytes, channels)
}

#[inline(always)]
fn sums(bytes: &[u8], channels: usize) -> [[u64; 2]; 3] {
    let mut total = [[0; 2]; 3];
    for part in bytes.chunks(STEPS * LANES) {
        let (mut sum, mut squares) = ([0u32; LANES], [0u32; LANES]);
        let (steps, rest) = part.as_chunks::<LANES>();
        for step in steps {
            for ((s, q), v) in sum.iter_mut().zip(&mut squares).zip(step) {
                let v = u32::from(*v);
                *s += v;
                *q += v * v;
            }
        }
        for (i, (s, q)) in sum.into_iter().zip(squares).enumerate() {
            let channel = &mut total[i % channels];
            channel[0] += u64::from(s);
            channel[1] += u64::from(q);
        }
        for (i, v) in rest.iter().enumerate() {
            let (channel, v) = (&mut total[i % channels], u64::from(*v));
            channel[0] += v;
            channel[1] += v * v;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_each_channel() {
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for (n, channels) in [(0, 3), (1, 1), (3, 3), (300, 3), (4_800_003, 3), (99, 1)] {
                let bytes: Vec<u8> = (0..n).map(|i| 255 - (i * 7 % 13) as u8).collect();
                let mut expected = [[0; 2]; 3];
                for (i, v) in bytes.iter().enumerate() {
                    let v = u64::from(*v);
                    expected[i % channels][0] += v;
                    expected[i % channels][1] += v * v;
                }
                assert_eq!(byte_moments(isa, &bytes, channels), expected, "{isa:?} {n}");
            }
        }
    }
}

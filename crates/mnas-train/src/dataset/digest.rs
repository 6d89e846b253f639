//! A fast digest of pixels.

/// A digest: a word per lane.
pub(crate) type Digest = [u64; 4];

/// Constants without pattern: the digits of pi.
const START: Digest = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
];

/// The digest of these bytes: 256 bits, of which a change of any byte changes about half of one
/// word's.
///
/// It tells data sets apart that differ by mistake, at 16 bytes per multiplication, as wyhash does
/// (Wang Yi, 2019); against a forger it is no protection, and neither are the 16 digits that the
/// fingerprint is cut to.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut state = START;
    let mut steps = bytes.chunks_exact(64);
    for step in &mut steps {
        mix(&mut state, step);
    }
    let mut last = [0; 64];
    let rest = steps.remainder();
    last[..rest.len()].copy_from_slice(rest);
    mix(&mut state, &last);
    // Zeros at the end count.
    state[0] ^= bytes.len() as u64;
    state
}

/// Takes in 64 bytes: 16 for each lane.
#[inline(always)]
fn mix(state: &mut Digest, step: &[u8]) {
    for ((s, lane), start) in state.iter_mut().zip(step.as_chunks::<16>().0).zip(START) {
        let both = u128::from_le_bytes(*lane);
        let (a, b) = (both as u64 ^ start, (both >> 64) as u64 ^ *s);
        let product = u128::from(a) * u128::from(b);
        // Without the sum a factor of zero would forget all that came before.
        *s = s
            .rotate_left(29)
            .wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bent_byte_and_any_length_has_its_own_digest() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * i) as u8).collect();
        let mut seen = std::collections::BTreeSet::from([digest(&bytes)]);
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut bent = bytes.clone();
                bent[at] ^= change;
                assert!(seen.insert(digest(&bent)), "byte {at}");
            }
        }
        for n in 0..130 {
            assert!(seen.insert(digest(&vec![0; n])), "{n} zeros");
        }
    }
}

//! Numbers in snapshots, and what policies compute with probabilities.

use super::RestoreError;
use crate::Tokens;

/// Base64 (RFC 4648) of little-endian 32-bit floats. Exact for values that 32 bits can hold, which
/// is why learners round their state to 32 bits after every step.
pub(super) fn encode_f32(values: &[f64]) -> String {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|v| (*v as f32).to_le_bytes())
        .collect();
    encode(&bytes)
}

/// The inverse of [`encode_f32`], of exactly `len` finite values.
pub(super) fn decode_f32(
    text: &str,
    len: usize,
    field: &'static str,
) -> Result<Vec<f64>, RestoreError> {
    let bytes = decode(text).ok_or(RestoreError::Numbers { field })?;
    if bytes.len() != 4 * len {
        return Err(RestoreError::Size {
            field,
            found: bytes.len() / 4,
            expected: len,
        });
    }
    let (chunks, _) = bytes.as_chunks::<4>();
    let values = chunks.iter().map(|b| f64::from(f32::from_le_bytes(*b)));
    let values: Vec<f64> = values.collect();
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(RestoreError::Numbers { field })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= chunk.len() {
                let digit = (bits >> (18 - 6 * i)) & 63;
                text.push(char::from(ALPHABET[digit as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (i, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|c| **c == b'=').count();
        if padding > 2 || (padding > 0 && i + 1 < groups.len()) {
            return None;
        }
        let mut bits = 0;
        for c in &group[..4 - padding] {
            bits = bits << 6 | digit(*c)?;
        }
        bits <<= 6 * padding;
        let used = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        bytes.extend_from_slice(&used[..3 - padding]);
    }
    Some(bytes)
}

fn digit(c: u8) -> Option<u32> {
    Some(u32::from(match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The nearest value that 32 bits can hold.
pub(super) fn round_f32(value: f64) -> f64 {
    f64::from(value as f32)
}

pub(super) fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut values: Vec<f64> = logits.iter().map(|l| libm::exp(l - most)).collect();
    let sum: f64 = values.iter().sum();
    // Never 0: a token that was once proposed keeps a finite log-probability.
    values.iter_mut().for_each(|v| *v = (*v / sum).max(1e-12));
    values
}

/// The choice that `uniform` in `0..1` falls on.
pub(super) fn draw(probabilities: &[f64], uniform: f64) -> u16 {
    let mut below = 0.0;
    for (i, p) in probabilities.iter().enumerate() {
        below += p;
        if uniform < below {
            return i as u16;
        }
    }
    (probabilities.len() - 1) as u16
}

/// How often samples make each choice of each decision, as shares of them; empty where there are none.
pub(super) fn shares(choices: &[usize], samples: &[&Tokens]) -> Vec<Vec<f64>> {
    if samples.is_empty() {
        return vec![];
    }
    let mut shares: Vec<Vec<f64>> = choices.iter().map(|n| vec![0.0; *n]).collect();
    for tokens in samples {
        for (share, token) in shares.iter_mut().zip(*tokens) {
            share[usize::from(*token)] += 1.0 / samples.len() as f64;
        }
    }
    shares
}

/// Entropy in nats.
pub(super) fn entropy(probabilities: &[f64]) -> f64 {
    let terms = probabilities.iter().filter(|p| **p > 0.0);
    -terms.map(|p| p * libm::log(*p)).sum::<f64>()
}

/// Mean over decisions of the entropy as a fraction of the uniform distribution's; `None` where no
/// decision has a choice.
pub(super) fn relative_entropy(probabilities: &[Vec<f64>]) -> Option<f64> {
    let free: Vec<f64> = probabilities
        .iter()
        .filter(|p| p.len() > 1)
        .map(|p| entropy(p) / libm::log(p.len() as f64))
        .collect();
    (!free.is_empty()).then(|| free.iter().sum::<f64>() / free.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_standard() {
        // RFC 4648, section 10.
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        for broken in ["Zg=", "Z===", "Zg==Zg==", "Zm9*", "Zm 9"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn numbers_survive_and_sizes_are_checked() {
        let values: Vec<f64> = [0.1, -3.0e-30, 7.5e12, 0.0].map(round_f32).into();
        let text = encode_f32(&values);
        assert_eq!(decode_f32(&text, 4, "x").unwrap(), values);
        assert!(matches!(
            decode_f32(&text, 5, "x"),
            Err(RestoreError::Size {
                found: 4,
                expected: 5,
                ..
            })
        ));
        assert!(matches!(
            decode_f32(&encode(&f32::NAN.to_le_bytes()), 1, "x"),
            Err(RestoreError::Numbers { .. })
        ));
    }

    #[test]
    fn entropy_is_relative_to_uniform() {
        let uniform = vec![vec![0.25; 4], vec![1.0], vec![0.5; 2]];
        assert!((relative_entropy(&uniform).unwrap() - 1.0).abs() < 1e-15);
        assert_eq!(relative_entropy(&[vec![1.0, 0.0]]), Some(0.0));
        assert_eq!(relative_entropy(&[vec![1.0]]), None);
    }
}

//! Randomness comes only from [`stream`]: same seed, trial and purpose, same numbers, on every
//! machine and whatever ran before.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What a stream of random numbers is for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Initial weights of a network.
    Init,
    /// Order of the training images.
    Shuffle,
    /// Crops, flips and cut-outs.
    Augment,
    /// Dropout masks.
    Dropout,
    /// A controller's proposals.
    Propose,
    /// A controller's learning (initial policy weights, minibatch order).
    Learn,
    /// Cutting splits from a data set.
    Split,
    /// Inputs fed to a network whose latency is measured.
    Measure,
    /// Samples drawn outside a study (`mnas space`, tests).
    Sample,
}

/// A deterministic stream of random numbers (ChaCha8).
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

/// The stream for `purpose` in `trial` (0 where there is none) of a study seeded with `seed`.
pub fn stream(seed: u64, trial: u64, purpose: Purpose) -> Stream {
    let mut h = Sha256::new();
    h.update(seed.to_le_bytes());
    h.update(trial.to_le_bytes());
    h.update(format!("{purpose:?}"));
    Stream(ChaCha8Rng::from_seed(h.finalize().into()))
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`, without modulo bias (Lemire's multiply-and-reject).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0) has no answer");
        let n = n as u64;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if (wide as u64) >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Standard normal (Box-Muller, `libm`).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_pinned_and_differ() {
        assert_eq!(
            stream(1, 2, Purpose::Init).bits(),
            stream(1, 2, Purpose::Init).bits()
        );
        let all = [
            (1, 2, Purpose::Init),
            (1, 3, Purpose::Init),
            (2, 2, Purpose::Init),
            (1, 2, Purpose::Learn),
        ];
        let first: std::collections::HashSet<u64> = all
            .iter()
            .map(|(s, t, p)| stream(*s, *t, *p).bits())
            .collect();
        assert_eq!(first.len(), all.len());
    }

    #[test]
    fn moments_and_range() {
        let mut s = stream(0, 0, Purpose::Sample);
        let n = 20_000;
        let xs: Vec<f64> = (0..n).map(|_| s.normal()).collect();
        let mean = xs.iter().sum::<f64>() / n as f64;
        let var = xs.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(
            mean.abs() < 0.03 && (var - 1.0).abs() < 0.05,
            "{mean} {var}"
        );
        let mut seen = [0usize; 5];
        (0..5_000).for_each(|_| seen[s.below(5)] += 1);
        assert!(seen.iter().all(|c| (800..1200).contains(c)), "{seen:?}");
    }
}

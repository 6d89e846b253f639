//! Batch normalisation between the layers that compute it on the fly: statistics to factors,
//! gradient sums to factors, and the passes that stand alone where no layer is there to fuse with.

use crate::fused::Rows;
use crate::source::{Affine, Finish, Moments, Source, Upstream, UpstreamNorm};
use crate::stats::{TileFinish, TileMoments, carve, join_sums, scratch_len};
use crate::stored::{SharedValues, Values, ValuesMut};
use crate::tile::{self, Size, Staged, Tile};
use crate::workers::{Shared, Workers};

#[cfg(test)]
mod tests;

/// Floats of a tile.
const TILE: usize = 16 * 1024;

/// One batch-norm layer's per-channel state during a step.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Statistics of this batch.
    pub moments: Moments,
    /// `Σ g`, then `Σ g·(z - mean)`: what [`Finish`] gathers.
    pub sums: Vec<f64>,
    /// Mean of each channel, as [`Finish::mean`] takes it.
    pub mean: Vec<f32>,
    inverse: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    upstream: [Vec<f32>; 3],
}

impl BatchNorm {
    /// State of `channels` channels.
    pub fn new(channels: usize) -> Self {
        let zeros = || vec![0.0; channels];
        Self {
            moments: Moments::new(channels),
            sums: vec![0.0; 2 * channels],
            mean: zeros(),
            inverse: zeros(),
            scale: zeros(),
            shift: zeros(),
            upstream: [zeros(), zeros(), zeros()],
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.mean.len() * (4 * 8 + 7 * 4)) as u64
    }

    /// Turns this batch's moments into the affine function.
    pub fn train(&mut self, gamma: &[f32], beta: &[f32], epsilon: f32) {
        let n = self.moments.count as f64;
        for c in 0..self.mean.len() {
            let (mean, variance) = (self.moments.mean[c], self.moments.deviation[c] / n);
            self.factors(c, mean, variance, gamma[c], beta[c], epsilon);
        }
    }

    /// Moves running statistics towards this batch's: `keep·running + (1-keep)·batch`. The
    /// running variance takes the unbiased batch variance, as TensorFlow's fused batch norm and
    /// PyTorch do; normalisation takes the biased one.
    pub fn move_running(&self, keep: f32, mean: &mut [f32], variance: &mut [f32]) {
        let keep = f64::from(keep);
        let unbiased = (self.moments.count as f64 - 1.0).max(1.0);
        let moved = |old: f32, new: f64| (keep * f64::from(old) + (1.0 - keep) * new) as f32;
        for c in 0..self.mean.len() {
            mean[c] = moved(mean[c], self.moments.mean[c]);
            variance[c] = moved(variance[c], self.moments.deviation[c] / unbiased);
        }
    }

    /// Makes the affine function of running statistics.
    pub fn evaluate(
        &mut self,
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
        mean: &[f32],
        variance: &[f32],
    ) {
        for c in 0..self.mean.len() {
            let (m, v) = (f64::from(mean[c]), f64::from(variance[c]));
            self.factors(c, m, v, gamma[c], beta[c], epsilon);
        }
    }

    fn factors(&mut self, c: usize, mean: f64, variance: f64, gamma: f32, beta: f32, epsilon: f32) {
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let scale = f64::from(gamma) * inverse;
        self.mean[c] = mean as f32;
        self.inverse[c] = inverse as f32;
        self.scale[c] = scale as f32;
        self.shift[c] = (f64::from(beta) - scale * mean) as f32;
    }

    /// The affine function that layers apply while they read.
    pub fn affine(&self) -> Affine<'_> {
        Affine {
            scale: &self.scale,
            shift: &self.shift,
        }
    }

    /// From the gathered sums, the gradients of gamma and beta, and the factors of
    /// [`BatchNorm::upstream`]. With `x̂ = (z - mean)·inverse` over `n` values,
    /// `dz = gamma·inverse·(g - mean(g) - x̂·mean(g·x̂))` (Ioffe and Szegedy 2015).
    pub fn backward(&mut self, gamma: &[f32], dgamma: &mut [f32], dbeta: &mut [f32]) {
        let channels = self.mean.len();
        let n = self.moments.count as f64;
        for c in 0..channels {
            let inverse = f64::from(self.inverse[c]);
            let sum = self.sums[c];
            let product = self.sums[channels + c] * inverse;
            dbeta[c] = sum as f32;
            dgamma[c] = product as f32;
            let a = f64::from(gamma[c]) * inverse;
            let b = -a * inverse * product / n;
            self.upstream[0][c] = a as f32;
            self.upstream[1][c] = b as f32;
            self.upstream[2][c] = (-a * sum / n - b * f64::from(self.mean[c])) as f32;
        }
    }

    /// The backward pass as layers apply it to gradient `g` and raw values `z`.
    pub fn upstream<'a>(&'a self, g: Values<'a>, z: Values<'a>) -> Upstream<'a> {
        let [a, b, d] = &self.upstream;
        Upstream {
            g,
            norm: Some(UpstreamNorm { z, a, b, d }),
        }
    }
}

/// Rows of `channels`, in tiles for the first cache levels.
fn cut(rows: usize, channels: usize) -> Rows {
    Rows {
        count: rows,
        tile: (TILE / channels.max(1)).clamp(1, 512),
    }
}

/// Moments of `x`, rows by the moments' channels, where the layer before could not gather them.
pub fn moments(workers: &mut Workers, x: Values, moments: &mut Moments) {
    let c = moments.mean.len();
    let cut = cut(x.len() / c, c);
    assert_eq!(x.len(), cut.count * c, "moments: length");
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(cut.tasks() * 2 * c, 0.0);
    let totals = Shared::new(&mut sums);
    workers.run(cut.tasks(), |task, scratch| {
        let [stats] = carve(scratch, [scratch_len(c)]);
        // SAFETY: each task has its own part.
        let total = unsafe { totals.part(task * 2 * c..(task + 1) * 2 * c) };
        let mut gathered = TileMoments::new(c, stats, total);
        for rows in cut.tiles(cut.of_task(task, cut.tasks())) {
            let start = x.part(rows.start * c..rows.end * c);
            // SAFETY: the part is the tile.
            unsafe { gathered.add(workers.isa(), rows.len(), Tile::at(start, c)) };
        }
        gathered.close();
    });
    moments.join(
        &sums,
        (0..cut.tasks()).map(|t| cut.of_task(t, cut.tasks()).len()),
    );
    workers.sums = sums;
}

/// [`Finish`] of a complete gradient `g` at the source's activation, where the layer that
/// completed it could not.
pub fn finish(workers: &mut Workers, channels: usize, source: &Source, g: ValuesMut, f: Finish) {
    let c = channels;
    let cut = cut(g.len() / c, c);
    assert_eq!(
        (g.len(), source.raw.len()),
        (cut.count * c, cut.count * c),
        "finish: length"
    );
    let mut sums = std::mem::take(&mut workers.sums);
    sums.resize(cut.tasks() * 2 * c, 0.0);
    let (totals, target) = (Shared::new(&mut sums), SharedValues::new(g));
    workers.run(cut.tasks(), |task, scratch| {
        let [stats, staging] = carve(scratch, [scratch_len(c), target.staging(cut.tile * c)]);
        // SAFETY: each task has its own part.
        let total = unsafe { totals.part(task * 2 * c..(task + 1) * 2 * c) };
        let mut gathered = TileFinish::new(c, stats, total);
        for rows in cut.tiles(cut.of_task(task, cut.tasks())) {
            let range = rows.start * c..rows.end * c;
            let z = Tile::at(source.raw.part(range.clone()), c);
            let (isa, size) = (workers.isa(), Size::new(rows.len(), c));
            // SAFETY: tiles belong to one task each; both parts are the tile.
            unsafe {
                let g = target.part(range).part(0..rows.len() * c);
                let g = Staged::new(Tile::at(g, c), size, staging);
                g.fetch(isa, size);
                gathered.add(isa, rows.len(), g, z, source, f.mean, 0);
            }
        }
    });
    join_sums(f.sums, &sums);
    workers.sums = sums;
}

/// `out (+)=` the gradient that reaches a batch norm's input, where no layer fuses it.
pub fn norm_gradient(
    workers: &Workers,
    channels: usize,
    upstream: &Upstream,
    out: ValuesMut,
    accumulate: bool,
) {
    let c = channels;
    upstream.check(out.len(), c);
    let cut = cut(out.len() / c, c);
    let target = SharedValues::new(out);
    workers.run(cut.tasks(), |task, scratch| {
        let [staging] = carve(scratch, [target.staging(cut.tile * c)]);
        for rows in cut.tiles(cut.of_task(task, cut.tasks())) {
            let range = rows.start * c..rows.end * c;
            let (isa, size) = (workers.isa(), Size::new(rows.len(), c));
            let g = Tile::at(upstream.g.part(range.clone()), c);
            // SAFETY: tiles belong to one task each; all parts are the tile, and factors are c
            // floats each.
            unsafe {
                let out = target.part(range.clone()).part(0..rows.len() * c);
                let out = Staged::new(Tile::at(out, c), size, staging);
                if accumulate {
                    out.fetch(isa, size);
                }
                match upstream.norm {
                    None => tile::copy(isa, size, g, out.work.into(), accumulate),
                    Some(n) => {
                        let z = Tile::at(n.z.part(range), c);
                        let k = [n.a, n.b, n.d].map(|p| p.as_ptr());
                        tile::norm_gradient(isa, size, g, z, k, out.work, accumulate);
                    }
                }
                out.store(isa, size);
            }
        }
    });
}

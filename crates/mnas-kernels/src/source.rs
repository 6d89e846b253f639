//! How fused layers see their neighbours: the activation a layer reads, the gradient it receives
//! and the gradient it hands on, each computed tile by tile so that no pass over memory is spent
//! on batch norm or activation alone.

use crate::stored::{Values, ValuesMut};

/// An activation function that layers compute while they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `x`.
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HSwish,
}

/// `scale * x + shift` per channel: batch norm with its statistics known.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Factor of each channel.
    pub scale: &'a [f32],
    /// Summand of each channel.
    pub shift: &'a [f32],
}

/// What a layer reads: `act(affine(raw)) * gate`, rows `images * pixels` by channels.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Values as stored.
    pub raw: Values<'a>,
    /// Batch norm, where there is one.
    pub affine: Option<Affine<'a>>,
    /// Activation after it.
    pub act: Act,
    /// Factor of each image and channel (squeeze-excitation), where there is one.
    pub gate: Option<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// Values read as they are.
    pub fn plain(raw: Values<'a>) -> Self {
        Self {
            raw,
            affine: None,
            act: Act::Linear,
            gate: None,
        }
    }

    /// Whether the stored values are the activation.
    pub fn is_plain(&self) -> bool {
        self.affine.is_none() && self.act == Act::Linear && self.gate.is_none()
    }

    pub(crate) fn check(&self, images: usize, pixels: usize, channels: usize) {
        assert_eq!(
            self.raw.len(),
            images * pixels * channels,
            "source: wrong number of values"
        );
        if let Some(a) = self.affine {
            assert!(
                a.scale.len() == channels && a.shift.len() == channels,
                "affine: channels"
            );
        }
        assert!(
            self.gate.is_none_or(|g| g.len() == images * channels),
            "gate: wrong length"
        );
    }
}

/// Gradient that reaches a layer's raw output `z`: `g` itself, or through batch norm
/// `a*g + b*z + d` ([`crate::BatchNorm::backward`]).
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    /// Gradient at the batch norm's output (after the activation's own), or at `z`.
    pub g: Values<'a>,
    /// Batch norm between, where there is one.
    pub norm: Option<UpstreamNorm<'a>>,
}

/// Batch norm's backward pass as an affine function of gradient and value.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamNorm<'a> {
    /// The layer's raw output.
    pub z: Values<'a>,
    /// Factor of the gradient, per channel.
    pub a: &'a [f32],
    /// Factor of the value, per channel.
    pub b: &'a [f32],
    /// Summand, per channel.
    pub d: &'a [f32],
}

impl Upstream<'_> {
    pub(crate) fn check(&self, values: usize, channels: usize) {
        assert_eq!(self.g.len(), values, "upstream: wrong number of values");
        if let Some(n) = self.norm {
            assert_eq!(n.z.len(), values, "upstream: wrong number of raw values");
            let fits = [n.a, n.b, n.d].iter().all(|p| p.len() == channels);
            assert!(fits, "upstream: wrong number of channels");
        }
    }
}

/// Where a layer's input gradient goes.
#[derive(Debug)]
pub struct Sink<'a> {
    /// Gradient at the activation that the layer read; or, with `finish`, at its batch norm's
    /// output.
    pub out: ValuesMut<'a>,
    /// Whether to add to what is there: other readers of the same activation came before.
    pub accumulate: bool,
    /// Set where this is the last contribution to an activation behind a batch norm.
    pub finish: Option<Finish<'a>>,
}

/// Passing the gradient through the source's activation, and summing what batch norm's backward
/// pass needs: per channel `Σ g` and `Σ g·(z - mean)`.
#[derive(Debug)]
pub struct Finish<'a> {
    /// Batch mean of each channel.
    pub mean: &'a [f32],
    /// `channels` sums of `g`, then `channels` sums of `g·(z - mean)`; overwritten.
    pub sums: &'a mut [f64],
}

/// Mean and sum of squared deviations per channel, of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// Values per channel.
    pub count: usize,
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// `Σ (x - mean)²` of each channel.
    pub deviation: Vec<f64>,
}

impl Moments {
    /// Of `channels` channels, empty.
    pub fn new(channels: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; channels],
            deviation: vec![0.0; channels],
        }
    }

    /// Joins `parts` (each `channels` means, then `channels` deviations) of `counts` values,
    /// in order (Chan, Golub, LeVeque 1979).
    pub(crate) fn join(&mut self, parts: &[f64], counts: impl Iterator<Item = usize>) {
        let c = self.mean.len();
        self.count = 0;
        self.mean.fill(0.0);
        self.deviation.fill(0.0);
        for (part, n) in parts
            .chunks_exact(2 * c)
            .zip(counts)
            .filter(|(_, n)| *n > 0)
        {
            let total = self.count + n;
            let share = n as f64 / total as f64;
            let weight = self.count as f64 * share;
            let (means, deviations) = part.split_at(c);
            for j in 0..c {
                let d = means[j] - self.mean[j];
                self.mean[j] += d * share;
                self.deviation[j] += deviations[j] + d * d * weight;
            }
            self.count = total;
        }
    }
}

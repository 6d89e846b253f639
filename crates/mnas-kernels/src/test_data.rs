//! Numbers for tests, and fused sources and gradients beside their meaning in double precision.

use crate::isa::Isa;
use crate::source::{Act, Affine, Finish, Sink, Source, Upstream, UpstreamNorm};
use crate::stored::{Bf16, Values, ValuesMut};
use crate::workers::Workers;

/// `n` numbers in -1..1, the same for the same seed (a linear congruential generator).
pub(crate) fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        s = s
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((s >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// In double precision.
pub(crate) fn double(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

/// Values as they are stored, of either type.
#[derive(Clone)]
pub(crate) enum Kept {
    F32(Vec<f32>),
    Bf16(Vec<Bf16>),
}

impl Kept {
    pub(crate) fn new(values: &[f32], bf16: bool) -> Self {
        match bf16 {
            false => Kept::F32(values.to_vec()),
            true => Kept::Bf16(values.iter().map(|v| Bf16::from_f32(*v)).collect()),
        }
    }

    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Kept::F32(v) => Values::F32(v),
            Kept::Bf16(v) => Values::Bf16(v),
        }
    }

    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_> {
        match self {
            Kept::F32(v) => ValuesMut::F32(v),
            Kept::Bf16(v) => ValuesMut::Bf16(v),
        }
    }

    pub(crate) fn read(&self) -> Vec<f32> {
        match self {
            Kept::F32(v) => v.clone(),
            Kept::Bf16(v) => v.iter().map(|v| v.to_f32()).collect(),
        }
    }
}

/// The instruction sets of this processor.
pub(crate) fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

/// Workers of each instruction set.
pub(crate) fn teams() -> impl Iterator<Item = Workers> {
    isas().map(|isa| Workers::new(1, isa).unwrap())
}

/// Fails where a number differs by more than `tolerance`, or is NaN.
#[track_caller]
pub(crate) fn close(got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let d = (f64::from(*g) - e).abs();
        assert!(
            d <= tolerance,
            "at {i}: {g} instead of {e} (tolerance {tolerance})"
        );
    }
}

/// [`close`] for sums.
#[track_caller]
pub(crate) fn close_sums(got: &[f64], expected: &[f64], tolerance: f64) {
    let got: Vec<f32> = got.iter().map(|v| *v as f32).collect();
    close(&got, expected, tolerance);
}

pub(crate) const ACTS: [Act; 4] = [Act::Linear, Act::Relu, Act::Relu6, Act::HSwish];

pub(crate) fn act(a: Act, x: f64) -> f64 {
    match a {
        Act::Linear => x,
        Act::Relu => x.max(0.0),
        Act::Relu6 => x.clamp(0.0, 6.0),
        Act::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// The slope, by a difference so small that only a kink itself could tell.
pub(crate) fn slope(a: Act, x: f64) -> f64 {
    let h = 1e-9;
    (act(a, x + h) - act(a, x - h)) / (2.0 * h)
}

/// A source with everything that it may have.
#[derive(Clone)]
pub(crate) struct Given {
    raw: Kept,
    scale: Vec<f32>,
    shift: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    gate: Vec<f32>,
    act: Act,
    normed: bool,
    gated: bool,
    pixels: usize,
}

impl Given {
    pub(crate) fn new(
        (images, pixels, channels): (usize, usize, usize),
        act: Act,
        normed: bool,
        gated: bool,
    ) -> Self {
        let spread = |n, seed, factor: f32, base: f32| -> Vec<f32> {
            values(n, seed).iter().map(|v| v * factor + base).collect()
        };
        Self {
            raw: Kept::F32(spread(images * pixels * channels, 11, 2.0, 0.1)),
            scale: spread(channels, 12, 1.0, 1.5),
            shift: spread(channels, 13, 2.0, 0.3),
            mean: spread(channels, 14, 0.2, 0.0),
            gate: spread(images * channels, 15, 0.5, 0.5),
            act: if normed { act } else { Act::Linear },
            normed,
            gated,
            pixels,
        }
    }

    /// With raw values that bfloat16 holds, stored so or as f32.
    pub(crate) fn rounded(&self, bf16: bool) -> Self {
        let raw = Kept::new(&Kept::new(&self.raw.read(), true).read(), bf16);
        Self {
            raw,
            ..self.clone()
        }
    }

    pub(crate) fn source(&self) -> Source<'_> {
        let affine = Affine {
            scale: &self.scale,
            shift: &self.shift,
        };
        Source {
            raw: self.raw.values(),
            affine: self.normed.then_some(affine),
            act: self.act,
            gate: self.gated.then_some(&self.gate),
        }
    }

    /// The value `x` at `i` before the activation.
    fn before(&self, i: usize, x: f32) -> f64 {
        let c = i % self.scale.len();
        let x = f64::from(x);
        if self.normed {
            f64::from(self.scale[c]) * x + f64::from(self.shift[c])
        } else {
            x
        }
    }

    /// What the source means.
    pub(crate) fn meant(&self) -> Vec<f64> {
        let c = self.scale.len();
        let value = |(i, x): (usize, &f32)| {
            let gate = self.gate[i / (self.pixels * c) * c + i % c];
            act(self.act, self.before(i, *x)) * if self.gated { f64::from(gate) } else { 1.0 }
        };
        self.raw.read().iter().enumerate().map(value).collect()
    }

    /// A gradient at the activation after [`Finish`], and its sums.
    pub(crate) fn finished(&self, g: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let raw = self.raw.read();
        let pass = |(i, g): (usize, &f64)| g * slope(self.act, self.before(i, raw[i]));
        let g: Vec<f64> = g.iter().enumerate().map(pass).collect();
        let sums = self.sums(&g);
        (g, sums)
    }

    /// The sums of [`Finish`] over a gradient that has passed the activation.
    pub(crate) fn sums(&self, g: &[f64]) -> Vec<f64> {
        let c = self.scale.len();
        let mut sums = vec![0.0; 2 * c];
        for (i, (g, x)) in g.iter().zip(self.raw.read()).enumerate() {
            sums[i % c] += g;
            sums[c + i % c] += g * (f64::from(x) - f64::from(self.mean[i % c]));
        }
        sums
    }
}

/// An upstream gradient, through a batch norm or not.
#[derive(Clone)]
pub(crate) struct Coming {
    g: Kept,
    z: Kept,
    factors: [Vec<f32>; 3],
    normed: bool,
}

impl Coming {
    pub(crate) fn new(rows: usize, channels: usize, normed: bool) -> Self {
        let n = rows * channels;
        let factors = [23, 24, 25].map(|seed| values(channels, seed));
        Self {
            g: Kept::F32(values(n, 21)),
            z: Kept::F32(values(n, 22)),
            factors,
            normed,
        }
    }

    /// With values that bfloat16 holds, each of `g` and `z` stored so or as f32.
    pub(crate) fn rounded(&self, bf16: [bool; 2]) -> Self {
        let round = |k: &Kept, bf16| Kept::new(&Kept::new(&k.read(), true).read(), bf16);
        Self {
            g: round(&self.g, bf16[0]),
            z: round(&self.z, bf16[1]),
            ..self.clone()
        }
    }

    pub(crate) fn upstream(&self) -> Upstream<'_> {
        let [a, b, d] = &self.factors;
        Upstream {
            g: self.g.values(),
            norm: self.normed.then_some(UpstreamNorm {
                z: self.z.values(),
                a,
                b,
                d,
            }),
        }
    }

    /// What it means.
    pub(crate) fn meant(&self) -> Vec<f64> {
        let c = self.factors[0].len();
        let factor = |k: usize, i: usize| f64::from(self.factors[k][i % c]);
        let (g, z) = (self.g.read(), self.z.read());
        let value = |i: usize| {
            let (g, z) = (f64::from(g[i]), f64::from(z[i]));
            if self.normed {
                factor(0, i) * g + factor(1, i) * z + factor(2, i)
            } else {
                g
            }
        };
        (0..g.len()).map(value).collect()
    }
}

/// Runs `backward` with a sink of the given kind and checks what it wrote against the gradient
/// `meant` at the activation.
pub(crate) fn check_sink(
    given: &Given,
    meant: &[f64],
    (accumulate, finish): (bool, bool),
    tolerance: f64,
    backward: impl FnOnce(Option<Sink>),
) {
    let before = if accumulate {
        values(meant.len(), 31)
    } else {
        vec![f32::NAN; meant.len()]
    };
    let mut out = before.clone();
    let mut sums = vec![f64::NAN; 2 * given.mean.len()];
    let end = finish.then_some(Finish {
        mean: &given.mean,
        sums: &mut sums,
    });
    backward(Some(Sink {
        out: ValuesMut::F32(&mut out),
        accumulate,
        finish: end,
    }));
    let add = |(m, b): (&f64, &f32)| if accumulate { m + f64::from(*b) } else { *m };
    let total: Vec<f64> = meant.iter().zip(&before).map(add).collect();
    if finish {
        let (finished, expected) = given.finished(&total);
        close(&out, &finished, tolerance);
        let rows = (meant.len() / given.mean.len()) as f64;
        close_sums(&sums, &expected, tolerance * rows.sqrt() * 4.0);
    } else {
        close(&out, &total, tolerance);
    }
}

/// Checks gathered moments against the values that they are of.
pub(crate) fn check_moments(m: &crate::Moments, values: &[f64]) {
    let c = m.mean.len();
    let n = values.len() / c;
    assert_eq!(m.count, n);
    for j in 0..c {
        let column = || values.iter().skip(j).step_by(c);
        let mean = column().sum::<f64>() / n as f64;
        let deviation: f64 = column().map(|v| (v - mean).powi(2)).sum();
        assert!(
            (m.mean[j] - mean).abs() < 1e-4 * (1.0 + mean.abs()),
            "{} {mean}",
            m.mean[j]
        );
        let tolerance = 1e-3 * deviation + 1e-4;
        assert!(
            (m.deviation[j] - deviation).abs() < tolerance,
            "{} {deviation}",
            m.deviation[j]
        );
    }
}

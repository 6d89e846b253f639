//! Ranges of activations, from histograms of the values seen.

use std::fmt;
use std::str::FromStr;

use super::params::{Params, Range};

/// How the range that 255 steps are spread over is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeMethod {
    /// All values seen. One stray value makes every step coarser.
    MinMax,
    /// All but one in 10,000 values at either end.
    Percentile,
    /// The range with the least mean squared error of rounding and clipping together.
    Mse,
}

impl RangeMethod {
    /// Every method.
    pub const ALL: [RangeMethod; 3] = [
        RangeMethod::MinMax,
        RangeMethod::Percentile,
        RangeMethod::Mse,
    ];

    /// Name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            RangeMethod::MinMax => "min-max",
            RangeMethod::Percentile => "percentile",
            RangeMethod::Mse => "mse",
        }
    }
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no method's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no way of choosing ranges is called {0:?}; there are min-max, percentile and mse")]
pub struct UnknownRangeMethod(pub String);

impl FromStr for RangeMethod {
    type Err = UnknownRangeMethod;

    fn from_str(name: &str) -> Result<Self, UnknownRangeMethod> {
        let found = Self::ALL.into_iter().find(|m| m.as_str() == name);
        found.ok_or_else(|| UnknownRangeMethod(name.into()))
    }
}

/// Most bins of a histogram. Eight to sixteen to a step: more than the choice of a range needs.
const BINS_MAX: f64 = 4096.0;
/// Exponent of the narrowest bin; what is finer counts as zero.
const EXPONENT_MIN: i32 = -100;
/// Share of values that [`RangeMethod::Percentile`] leaves out at either end.
const TAIL: f64 = 1e-4;
/// Candidate ranges of [`RangeMethod::Mse`]: this many, from the whole range down to
/// [`SHRINK_MIN`] of it.
const CANDIDATES: usize = 71;
const SHRINK_MIN: f64 = 0.3;

/// Counts of values in bins whose width is a power of two and whose edges are multiples of it, so that
/// halving the number of bins is exact and histograms of parts add up to that of the whole, whatever
/// the parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    exponent: i32,
    /// Position of the first bin: it begins at `first * 2^exponent`.
    first: i64,
    counts: Vec<u64>,
    low: f32,
    high: f32,
}

impl Histogram {
    /// A histogram of no values.
    pub(super) fn new() -> Self {
        Self {
            exponent: EXPONENT_MIN,
            first: 0,
            counts: vec![],
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
        }
    }

    /// Counts values; false, and nothing counted, where one is not finite.
    pub(super) fn add(&mut self, values: &[f32]) -> bool {
        let (mut low, mut high) = (self.low, self.high);
        for v in values {
            if !v.is_finite() {
                return false;
            }
            low = low.min(*v);
            high = high.max(*v);
        }
        self.hold(low, high);
        let per_unit = f64::from(-self.exponent).exp2();
        for v in values {
            let bin = (f64::from(*v) * per_unit).floor() as i64 - self.first;
            self.counts[bin as usize] += 1;
        }
        true
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        self.hold(self.low.min(other.low), self.high.max(other.high));
        let shift = halvings(self.exponent - other.exponent);
        for (i, count) in other.counts.iter().enumerate() {
            let bin = (other.first + i as i64) >> shift;
            self.counts[(bin - self.first) as usize] += count;
        }
    }

    /// Makes room for a range, zero included, with bins as narrow as their number allows.
    fn hold(&mut self, low: f32, high: f32) {
        let (from, to) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let fit = ((to - from) / BINS_MAX).log2().ceil();
        let exponent = (fit.max(f64::from(EXPONENT_MIN)) as i32).max(self.exponent);
        let per_unit = f64::from(-exponent).exp2();
        let first = (from * per_unit).floor() as i64;
        let last = (to * per_unit).floor() as i64;
        let mut counts = vec![0; (last - first + 1) as usize];
        let shift = halvings(exponent - self.exponent);
        for (i, count) in self.counts.iter().enumerate() {
            let bin = (self.first + i as i64) >> shift;
            counts[(bin - first) as usize] += count;
        }
        *self = Self {
            exponent,
            first,
            counts,
            low,
            high,
        };
    }

    /// The range of the values.
    pub(super) fn range(&self, method: RangeMethod) -> Range {
        let whole = Range {
            low: self.low.min(0.0),
            high: self.high.max(0.0),
        };
        match method {
            RangeMethod::MinMax => whole,
            RangeMethod::Percentile => self.percentile(whole),
            RangeMethod::Mse => self.least_error(whole),
        }
    }

    fn percentile(&self, whole: Range) -> Range {
        let total: u64 = self.counts.iter().sum();
        let tail = (TAIL * total as f64) as u64;
        let width = f64::from(self.exponent).exp2();
        let edge = |bin: i64| (bin as f64 * width) as f32;
        let below = bins_of(&mut self.counts.iter().copied(), tail);
        let above = bins_of(&mut self.counts.iter().rev().copied(), tail);
        let last = self.first + self.counts.len() as i64;
        Range {
            low: edge(self.first + below).clamp(whole.low, 0.0),
            high: edge(last - above).clamp(0.0, whole.high),
        }
    }

    fn least_error(&self, whole: Range) -> Range {
        let shrunk = |i: usize| {
            let share = 1.0 - (1.0 - SHRINK_MIN) * i as f64 / (CANDIDATES - 1) as f64;
            Range {
                low: (f64::from(whole.low) * share) as f32,
                high: (f64::from(whole.high) * share) as f32,
            }
        };
        let candidates = (0..CANDIDATES).map(shrunk);
        let errors = candidates.map(|range| (range, self.squared_error(Params::of(range))));
        // The first of equals is the widest.
        let best = errors.reduce(|a, b| if b.1 < a.1 { b } else { a });
        best.map_or(whole, |(range, _)| range)
    }

    /// Sum over all values of the squared distance to the nearest value that `params` holds.
    fn squared_error(&self, params: Params) -> f64 {
        let width = f64::from(self.exponent).exp2();
        let (scale, zero) = (f64::from(params.scale), f64::from(params.zero_point));
        let error = |(i, count): (usize, &u64)| {
            if *count == 0 {
                return 0.0;
            }
            let value = ((self.first + i as i64) as f64 + 0.5) * width;
            let q = (value / scale + zero).round().clamp(-128.0, 127.0);
            let d = value - scale * (q - zero);
            *count as f64 * d * d
        };
        self.counts.iter().enumerate().map(error).sum()
    }
}

/// How many bins in a row hold no more than `tail` values.
fn bins_of(counts: &mut dyn Iterator<Item = u64>, tail: u64) -> i64 {
    let (mut bins, mut seen) = (0, 0);
    for count in counts {
        seen += count;
        if seen > tail {
            break;
        }
        bins += 1;
    }
    bins
}

/// A difference of exponents as a shift: beyond 63 only the sign is left, which is the bin at zero.
fn halvings(difference: i32) -> i32 {
    difference.min(63)
}

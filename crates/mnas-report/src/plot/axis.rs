//! Axes: the range shown, round tick values and the map from values to pixels.

use std::ops::RangeInclusive;

/// A linear map from values to pixels, with the round values that lie on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    from_px: f64,
    to_px: f64,
    step: f64,
}

impl Axis {
    /// An axis from `range`, widened to whole ticks, of which there are about `ticks`. An empty or
    /// pointless range is widened first, so that an axis always has a length.
    pub(crate) fn new(range: Range, ticks: usize, from_px: f64, to_px: f64) -> Self {
        let Range { mut low, mut high } = range;
        if !(low.is_finite() && high.is_finite()) || low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 * high.abs().max(1e-3) {
            let margin = 0.1 * high.abs().max(0.01);
            (low, high) = (low - margin, high + margin);
        }
        let step = nice_step((high - low) / ticks.max(1) as f64);
        Self {
            low: (low / step + 1e-9).floor() * step,
            high: (high / step - 1e-9).ceil() * step,
            from_px,
            to_px,
            step,
        }
    }

    /// An axis that ends exactly where `range` does, with round ticks inside.
    pub(crate) fn exactly(range: Range, ticks: usize, from_px: f64, to_px: f64) -> Self {
        let whole = Self::new(range, ticks, from_px, to_px);
        if !(range.low.is_finite() && range.high > range.low) {
            return whole;
        }
        Self {
            low: range.low,
            high: range.high,
            ..whole
        }
    }

    /// Pixel of a value; values beyond the axis lie on its end.
    pub(crate) fn px(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from_px + share * (self.to_px - self.from_px)
    }

    /// Whether the axis shows `value` at its own place.
    pub(crate) fn shows(&self, value: f64) -> bool {
        let slack = 1e-9 * (self.high - self.low);
        (self.low - slack..=self.high + slack).contains(&value)
    }

    /// Least and greatest value shown.
    pub(crate) fn ends(&self) -> RangeInclusive<f64> {
        self.low..=self.high
    }

    /// Distance of two ticks.
    pub(crate) fn step(&self) -> f64 {
        self.step
    }

    /// Tick values with their labels, `scale` times the value (100 for percent).
    pub(crate) fn ticks(&self, scale: f64) -> Vec<(f64, String)> {
        let decimals = decimals(self.step * scale);
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first) as i64;
        (0..=count)
            .map(|i| {
                let value = (first + i as f64) * self.step;
                (value, format!("{:.decimals$}", value * scale + 0.0))
            })
            .collect()
    }
}

/// A range of values, grown point by point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    /// Least value, infinite while empty.
    pub(crate) low: f64,
    /// Greatest value, minus infinite while empty.
    pub(crate) high: f64,
}

impl Range {
    /// The range of finite values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut range = Self {
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        };
        for v in values {
            range = range.with(v);
        }
        range
    }

    /// The range with a value added.
    pub(crate) fn with(self, value: f64) -> Self {
        if !value.is_finite() {
            return self;
        }
        Self {
            low: self.low.min(value),
            high: self.high.max(value),
        }
    }

    /// Both ends moved outwards by a share of the length.
    pub(crate) fn padded(self, share: f64) -> Self {
        let pad = share * (self.high - self.low);
        Self {
            low: self.low - pad,
            high: self.high + pad,
        }
    }

    /// The range without stragglers at the low end, which would press the rest against the top: it
    /// starts no lower than the fifth percentile less half the distance from there to the greatest.
    pub(crate) fn without_low_stragglers(values: &[f64]) -> Self {
        let full = Self::of(values.iter().copied());
        let mut finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        if finite.is_empty() {
            return full;
        }
        let fifth = finite.len() / 20;
        let (_, &mut low, _) = finite.select_nth_unstable_by(fifth, f64::total_cmp);
        Self {
            low: full.low.max(low - 0.5 * (full.high - low)),
            ..full
        }
    }

    /// The range without a long upper tail, as [`Range::without_low_stragglers`].
    pub(crate) fn without_high_stragglers(values: &[f64]) -> Self {
        let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
        let r = Self::without_low_stragglers(&mirrored);
        Self {
            low: -r.high,
            high: -r.low,
        }
    }
}

/// The number nearest to `raw`, as ratios go, among 1, 2 and 5 times a power of ten.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    // Squared, the geometric means of neighbours (1 x 2, 2 x 5, 5 x 10) are whole numbers.
    let ratio = raw / power;
    let step = match ratio * ratio {
        r if r < 2.0 => 1.0,
        r if r < 10.0 => 2.0,
        r if r < 50.0 => 5.0,
        _ => 10.0,
    };
    step * power
}

/// Decimals needed to write multiples of `step` exactly, at most six.
fn decimals(step: f64) -> usize {
    (0..6)
        .find(|d| {
            let scaled = step * 10f64.powi(*d as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        })
        .unwrap_or(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_range() {
        let cases: &[(f64, f64, f64, &[&str])] = &[
            (0.13, 2.2, 1.0, &["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]),
            (
                0.801,
                0.91,
                100.0,
                &["80", "82", "84", "86", "88", "90", "92"],
            ),
            (
                0.0,
                0.0,
                1.0,
                &["-0.0010", "-0.0005", "0.0000", "0.0005", "0.0010"],
            ),
            (
                3.0,
                3.0,
                1.0,
                &["2.7", "2.8", "2.9", "3.0", "3.1", "3.2", "3.3"],
            ),
            (
                -5.0,
                120.0,
                1.0,
                &["-20", "0", "20", "40", "60", "80", "100", "120"],
            ),
        ];
        for (low, high, scale, want) in cases {
            let axis = Axis::new(
                Range {
                    low: *low,
                    high: *high,
                },
                5,
                0.0,
                100.0,
            );
            let labels: Vec<String> = axis.ticks(*scale).into_iter().map(|t| t.1).collect();
            assert_eq!(&labels, want, "{low}..{high}");
            assert!(axis.shows(*low) && axis.shows(*high));
        }
    }

    #[test]
    fn an_empty_range_gives_an_axis() {
        let axis = Axis::new(Range::of([]), 5, 10.0, 20.0);
        assert_eq!(axis.px(0.0), 10.0);
        assert_eq!(axis.px(f64::INFINITY), 20.0);
        assert_eq!(Range::of([f64::NAN]), Range::of([]));
    }

    #[test]
    fn stragglers_do_not_set_the_range() {
        let mut values: Vec<f64> = (0..100).map(|i| 0.80 + 0.001 * f64::from(i)).collect();
        values.extend([0.1, 0.1]);
        let r = Range::without_low_stragglers(&values);
        assert!(r.low > 0.7 && r.high == 0.899, "{r:?}");
        let tight = Range::without_low_stragglers(&[0.8, 0.9]);
        assert_eq!((tight.low, tight.high), (0.8, 0.9));
        let high = Range::without_high_stragglers(&[1.0, 1.1, 1.2, 1.3, 90.0]);
        assert_eq!(high.high, 90.0, "one in five is no straggler");
        assert_eq!(Range::without_low_stragglers(&[]), Range::of([]));
    }
}

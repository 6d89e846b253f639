//! Exact decimal numbers, so that specs compare, hash and print without rounding.

use std::fmt;

/// A number of at least 0 with at most six decimals, as `0.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal {
    millionths: u64,
}

/// Why a text is no [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalError {
    Malformed,
    TooPrecise,
    Overflow,
}

impl Decimal {
    /// 0.
    pub const ZERO: Decimal = Decimal { millionths: 0 };

    /// The number `millionths / 1,000,000`.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// The number in millionths.
    pub const fn millionths(self) -> u64 {
        self.millionths
    }

    /// The nearest `f64`.
    pub fn value(self) -> f64 {
        self.millionths as f64 / 1e6
    }

    /// `floor(self * n)`, exactly.
    pub fn of(self, n: usize) -> usize {
        (u128::from(self.millionths) * n as u128 / 1_000_000) as usize
    }

    /// Reads `12`, `0.25`; no sign, no exponent, a digit on both sides of the point.
    pub(super) fn parse(text: &str) -> Result<Self, DecimalError> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || decimals.is_some_and(|d| !digits(d)) {
            return Err(DecimalError::Malformed);
        }
        let decimals = decimals.unwrap_or("").trim_end_matches('0');
        if decimals.len() > 6 {
            return Err(DecimalError::TooPrecise);
        }
        format!("{whole}{decimals:0<6}")
            .parse()
            .map(Self::from_millionths)
            .map_err(|_| DecimalError::Overflow)
    }
}

impl fmt::Display for Decimal {
    /// Shortest form: `0.25`, `1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 1_000_000, self.millionths % 1_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{rest:06}").trim_end_matches('0'))
    }
}

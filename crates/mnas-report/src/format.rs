//! How numbers are written for people: three significant digits, units after the number.

/// Milliseconds with three significant digits: `0.812 ms`, `78.3 ms`, `1,250 ms`.
pub(crate) fn ms(value_ms: f64) -> String {
    format!("{} ms", significant(value_ms))
}

/// A fraction as percent with two decimals: `91.25 %`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// A count of parameters or multiply-accumulates: `3.89 M`, `61.7 k`, `950`.
pub(crate) fn si(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{} k", significant(value / 1e3)),
        1_000_000..1_000_000_000 => format!("{} M", significant(value / 1e6)),
        _ => format!("{} G", significant(value / 1e9)),
    }
}

/// A whole number with commas: `12,480`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// Seconds as a person says them: `4.2 s`, `12 min 5 s`, `3 h 20 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 59.5 => format!("{} s", significant(seconds)),
        0..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", thousands(whole / 3600), whole % 3600 / 60),
    }
}

/// Three significant digits without exponent; whole numbers from 100 on, with commas.
pub(crate) fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return "n/a".into();
    }
    // The bounds are where rounding would reach the next row (9.995 prints as 10.0).
    match magnitude {
        0.0 => "0".into(),
        m if m < 0.000_999_5 => format!("{value:.5}"),
        m if m < 0.009_995 => format!("{value:.5}"),
        m if m < 0.099_95 => format!("{value:.4}"),
        m if m < 0.9995 => format!("{value:.3}"),
        m if m < 9.995 => format!("{value:.2}"),
        m if m < 99.95 => format!("{value:.1}"),
        m => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", thousands(m.round() as u64))
        }
    }
}

/// The median of values, where there are any.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// `1 trial`, `2 trials`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", thousands(n))
}

/// Text cut to `width` characters, the last of which is an ellipsis where something was cut.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A time in milliseconds since 1970 to the second, as `2026-11-24 08:53:05`, in UTC.
#[cfg(feature = "dashboard")]
pub(crate) fn utc(time_ms: u64) -> String {
    let mut text = mnas_search::utc(time_ms, ' ');
    text.truncate("2026-11-24 08:53:05".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        let cases = [
            (ms(0.0), "0 ms"),
            (ms(0.81234), "0.812 ms"),
            (ms(0.9996), "1.00 ms"),
            (ms(9.996), "10.0 ms"),
            (ms(78.26), "78.3 ms"),
            (ms(99.96), "100 ms"),
            (ms(1250.4), "1,250 ms"),
            (ms(f64::NAN), "n/a ms"),
            (percent(0.91254), "91.25 %"),
            (si(999), "999"),
            (si(61_700), "61.7 k"),
            (si(3_887_038), "3.89 M"),
            (si(311_580_000), "312 M"),
            (si(1_200_000_000), "1.20 G"),
            (thousands(0), "0"),
            (thousands(1_234_567), "1,234,567"),
            (duration(4.21), "4.21 s"),
            (duration(59.7), "1 min 0 s"),
            (duration(725.0), "12 min 5 s"),
            (duration(12_000.0), "3 h 20 min"),
            (duration(-1.0), "unknown"),
            (count(1, "trial"), "1 trial"),
            (count(2000, "trial"), "2,000 trials"),
            (format!("{:?}", median(vec![3.0, 1.0, 2.0])), "Some(2.0)"),
            (format!("{:?}", median(vec![3.0, 1.0])), "Some(2.0)"),
            (format!("{:?}", median(vec![])), "None"),
            (clip("abcdef", 4), "abc…"),
            (clip("abcd", 4), "abcd"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    #[cfg(feature = "dashboard")]
    #[test]
    fn known_times() {
        for (time_ms, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_709_251_199_999, "2024-02-29 23:59:59"),
            (1_795_510_385_250, "2026-11-24 08:53:05"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(time_ms), text);
        }
    }
}

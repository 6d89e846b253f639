//! Latency samples as strip plots: every sample a dot, a row per network, with median and quartiles.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::curve::SERIES;
use super::legend::Labels;
use super::{Px, dots, thinned};
use crate::format::{clip, ms, significant};

/// Dots drawn per row at most.
const DOTS_MAX: usize = 500;

const ROW: f64 = 62.0;
const TOP: f64 = 18.0;

/// A row of the plot.
pub(crate) struct Strip<'a> {
    /// The network.
    pub(crate) name: String,
    /// Kept samples, milliseconds, in the order they were taken.
    pub(crate) samples_ms: &'a [f64],
    /// Median.
    pub(crate) median_ms: f64,
    /// 25th percentile.
    pub(crate) p25_ms: f64,
    /// Interquartile range.
    pub(crate) iqr_ms: f64,
}

/// The plot, or nothing where there is no sample. From left to right within a row lies latency; from
/// top to bottom the order in which samples were taken, so that a drift shows as a slant.
pub(crate) fn strips(rows: &[Strip<'_>], target_ms: Option<f64>, width: f64) -> Option<Markup> {
    let all: Vec<f64> = rows
        .iter()
        .flat_map(|r| r.samples_ms.iter().copied())
        .collect();
    if all.is_empty() {
        return None;
    }
    let mut range = Range::without_high_stragglers(&all);
    // A target far from every sample would press them together.
    if let Some(target) = target_ms.filter(|t| *t < range.high * 1.3 && *t > range.low / 1.3) {
        range = range.with(target);
    }
    let bottom = TOP + ROW * rows.len() as f64;
    let (height, left, right) = (bottom + 42.0, 8.0, width - 14.0);
    let ticks = ((right - left) / 90.0).round().max(2.0) as usize;
    let x = Axis::new(range, ticks, left, right);
    let beyond = all.iter().filter(|v| !x.shows(**v)).count();
    Some(html! {
        svg class="chart strip" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            aria-label=(label(rows, beyond)) {
            @for (value, text) in x.ticks(1.0) {
                @let at = x.px(value);
                line class="grid" x1=(Px(at)) x2=(Px(at)) y1=(Px(TOP)) y2=(Px(bottom)) {}
                text class="tick" x=(Px(at)) y=(Px(bottom + 17.0)) text-anchor=(anchor(at, left, right)) { (text) }
            }
            line class="base" x1=(Px(left)) x2=(Px(right)) y1=(Px(bottom)) y2=(Px(bottom)) {}
            text class="name" x=(Px(right)) y=(Px(height - 6.0)) text-anchor="end" { "latency, ms" }
            @if let Some(target) = target_ms.filter(|t| x.shows(*t)) {
                @let at = x.px(target);
                line class="target" x1=(Px(at)) x2=(Px(at)) y1=(Px(TOP)) y2=(Px(bottom)) {}
                (Labels::default().place(at, TOP - 6.0, &format!("target {}", ms(target)), [0.0, 0.0, width, bottom]))
            }
            @for (i, strip) in rows.iter().enumerate() {
                (row(strip, TOP + ROW * i as f64, SERIES[i % SERIES.len()], &x))
            }
        }
    })
}

fn anchor(at: f64, left: f64, right: f64) -> &'static str {
    match at {
        _ if at - left < 12.0 => "start",
        _ if right - at < 12.0 => "end",
        _ => "middle",
    }
}

fn row(strip: &Strip<'_>, top: f64, class: &str, x: &Axis) -> Markup {
    let shown = thinned(strip.samples_ms, DOTS_MAX);
    let (first, room) = (top + 24.0, ROW - 32.0);
    let n = shown.len().max(2) as f64 - 1.0;
    let place = |(i, v): (usize, &f64)| (x.px(*v), first + room * i as f64 / n);
    let places: Vec<(f64, f64)> = shown.iter().enumerate().map(place).collect();
    let quartile = (x.px(strip.p25_ms), x.px(strip.p25_ms + strip.iqr_ms));
    html! {
        g {
            rect class="quartiles" x=(Px(quartile.0)) width=(Px((quartile.1 - quartile.0).max(1.0)))
                y=(Px(first - 4.0)) height=(Px(room + 8.0)) {}
            path class=(format!("{class} sample")) d=(dots(&places)) {}
            line class="median" x1=(Px(x.px(strip.median_ms))) x2=(Px(x.px(strip.median_ms)))
                y1=(Px(first - 6.0)) y2=(Px(first + room + 6.0)) {}
            text class="label halo" x="8" y=(Px(top + 15.0)) {
                (clip(&strip.name, 34)) ": median " (ms(strip.median_ms)) ", IQR " (significant(strip.iqr_ms))
            }
        }
    }
}

fn label(rows: &[Strip<'_>], beyond: usize) -> String {
    let each: Vec<String> = rows
        .iter()
        .map(|r| {
            format!(
                "{}: {} samples, median {}, interquartile range {} ms",
                r.name,
                r.samples_ms.len(),
                ms(r.median_ms),
                significant(r.iqr_ms)
            )
        })
        .collect();
    let rest = match beyond {
        0 => String::new(),
        n => format!("; {n} samples lie beyond the right edge"),
    };
    format!("Latency samples. {}{rest}", each.join("; "))
}

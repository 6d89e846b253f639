//! Several studies in one chart: fronts, latencies and best rewards. A study has the same colour
//! and dashes in each, and a mark of its own shape.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Legend};
use super::{Frame, LINE_POINTS_MAX, Labelled, Mark, Px, line, stair, thinned};
use crate::format::{clip, ms, percent};

/// Shapes of marks.
pub(crate) const SHAPES: usize = 5;

const LINES: [&str; 6] = [
    "series-0", "series-1", "series-2", "series-3", "series-4", "series-5",
];
const MARKS: [&str; 6] = ["mark-0", "mark-1", "mark-2", "mark-3", "mark-4", "mark-5"];

pub(crate) fn line_class(n: usize) -> &'static str {
    LINES[n % LINES.len()]
}

pub(crate) fn mark_class(n: usize) -> &'static str {
    MARKS[n % MARKS.len()]
}

/// A study's part of a chart: its number, which picks its looks, its name, and its points.
pub(crate) struct Series<'a> {
    /// Number of the study.
    pub(crate) number: usize,
    /// Its name.
    pub(crate) name: &'a str,
    /// Points of the chart, by rising horizontal value.
    pub(crate) points: Vec<(f64, f64)>,
}

fn legend(series: &[Series<'_>], key: fn(usize) -> Key, width: f64) -> Legend {
    let entry = |s: &Series<'_>| (key(s.number), clip(s.name, 32));
    Legend::new(series.iter().map(entry).collect(), width - 8.0)
}

/// Fronts in the plane of latency (ms) and accuracy (0 to 1), or nothing where none has a point.
pub(crate) fn fronts(
    series: &[Series<'_>],
    latency_axis: &str,
    size: (f64, f64),
) -> Option<Markup> {
    let all = || series.iter().flat_map(|s| &s.points);
    all().next()?;
    let legend = legend(series, |n| Key::Mark(Mark::Series(n)), size.0);
    let frame = Frame::new(size, legend.rows());
    let mut x = Range::of(all().map(|p| p.0)).padded(0.04);
    x.low = x.low.max(0.0);
    let y = Range::of(all().map(|p| p.1)).padded(0.05);
    let x = Axis::new(x, frame.ticks_x(), frame.left(), frame.right());
    let y = Axis::new(y, frame.ticks_y(), frame.bottom(), frame.top);
    // The best accuracy at or under each latency, as far as the plot goes.
    let steps = |s: &Series<'_>| {
        let corners = s.points.iter().map(|p| (x.px(p.0), y.px(p.1)));
        let end = s.points.last().map(|p| (frame.right(), y.px(p.1)));
        stair(&corners.chain(end).collect::<Vec<_>>())
    };
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: latency_axis, scale: 1.0 },
            &Labelled { axis: &y, name: "top-1 accuracy on the validation split, %", scale: 100.0 },
        ))
        @for s in series.iter().filter(|s| !s.points.is_empty()) {
            path class=(line_class(s.number)) d=(steps(s)) {}
        }
        @for s in series {
            @for p in &s.points {
                @let title = format!("{}: {}, {}", s.name, percent(p.1), ms(p.0));
                (Mark::Series(s.number).at(x.px(p.0), y.px(p.1), None, &title))
            }
        }
    };
    let description = format!("Fronts of {} studies", series.len());
    Some(frame.svg("fronts", "Accuracy against latency", &description, &body))
}

/// How latencies are distributed, as the outline of a histogram per study: points are latencies
/// (ms) and their share of the study's networks.
pub(crate) fn latencies(
    values: &[(usize, &str, &[f64])],
    latency_axis: &str,
    size: (f64, f64),
) -> Option<Markup> {
    let all: Vec<f64> = values.iter().flat_map(|v| v.2.iter().copied()).collect();
    if all.is_empty() {
        return None;
    }
    let names: Vec<Series<'_>> = values
        .iter()
        .map(|v| Series {
            number: v.0,
            name: v.1,
            points: vec![],
        })
        .collect();
    let legend = legend(&names, |n| Key::Line(line_class(n)), size.0);
    let frame = Frame::new(size, legend.rows());
    let range = Range::without_high_stragglers(&all);
    let x = Axis::new(range, frame.ticks_x(), frame.left(), frame.right());
    let (low, high) = (*x.ends().start(), *x.ends().end());
    let bins = (frame.ticks_x() * 4).max(8);
    let width = (high - low) / bins as f64;
    let share = |values: &[f64]| -> Vec<f64> {
        let mut counts = vec![0.0; bins];
        for v in values {
            // What lies beyond the axis counts in its last bin.
            counts[(((v - low) / width).max(0.0) as usize).min(bins - 1)] += 1.0;
        }
        counts
            .iter()
            .map(|c| c / values.len().max(1) as f64)
            .collect()
    };
    let shares: Vec<Vec<f64>> = values.iter().map(|v| share(v.2)).collect();
    let most = Range::of(shares.iter().flatten().copied()).with(0.0);
    let y = Axis::new(most, frame.ticks_y(), frame.bottom(), frame.top);
    let outline = |shares: &[f64]| {
        let mut corners = vec![(x.px(low), y.px(0.0))];
        for (i, share) in shares.iter().enumerate() {
            let from = low + width * i as f64;
            corners.push((x.px(from), y.px(*share)));
            corners.push((x.px(from + width), y.px(*share)));
        }
        corners.push((x.px(high), y.px(0.0)));
        line(&corners)
    };
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: latency_axis, scale: 1.0 },
            &Labelled { axis: &y, name: "share of the networks, %", scale: 100.0 },
        ))
        @for (v, shares) in values.iter().zip(&shares).filter(|v| !v.0.2.is_empty()) {
            path class=(line_class(v.0)) d=(outline(shares)) { title { (v.1) } }
        }
    };
    let description = format!("{} networks", all.len());
    Some(frame.svg("latencies", "Latency of the networks", &description, &body))
}

/// The best reward so far over trials.
pub(crate) fn rewards(series: &[Series<'_>], size: (f64, f64)) -> Option<Markup> {
    let all = || series.iter().flat_map(|s| &s.points);
    all().next()?;
    let legend = legend(series, |n| Key::Line(line_class(n)), size.0);
    let frame = Frame::new(size, legend.rows());
    let trials = Range::of(all().map(|p| p.0)).with(0.0);
    let values: Vec<f64> = all().map(|p| p.1).collect();
    let y = Range::without_low_stragglers(&values).padded(0.05);
    let ticks = frame.ticks_x().min(trials.high.max(1.0) as usize);
    let x = Axis::new(trials, ticks, frame.left(), frame.right());
    let y = Axis::new(y, frame.ticks_y(), frame.bottom(), frame.top);
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: "trial", scale: 1.0 },
            &Labelled { axis: &y, name: "best reward so far", scale: 1.0 },
        ))
        @for s in series {
            @let corners: Vec<(f64, f64)> = thinned(&s.points, LINE_POINTS_MAX)
                .iter().map(|p| (x.px(p.0), y.px(p.1))).collect();
            path class=(line_class(s.number)) d=(stair(&corners)) { title { (s.name) } }
            @if let Some(end) = corners.last() {
                circle class=(mark_class(s.number)) cx=(Px(end.0)) cy=(Px(end.1)) r="2.6" {}
            }
        }
    };
    let description = format!("{} studies", series.len());
    Some(frame.svg("rewards", "Best reward over trials", &description, &body))
}

//! The distribution of latency over the networks that were measured.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Labels, Legend};
use super::{Frame, Labelled, Px};
use crate::format::{count, ms, significant};
use crate::view::{State, View};

/// Networks in one interval of latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bin {
    trained: u64,
    too_slow: u64,
}

/// The chart, or nothing where nothing was measured.
pub(crate) fn histogram(view: &View, size: (f64, f64)) -> Option<Markup> {
    let measured: Vec<(f64, State)> = view
        .trials
        .iter()
        .filter(|t| t.duplicate_of.is_none())
        .filter_map(|t| Some((t.latency_ms?, t.state)))
        .collect();
    if measured.is_empty() {
        return None;
    }
    let any_slow = measured.iter().any(|m| m.1 == State::TooSlow);
    let mut entries = vec![(Key::Area("bar"), "trained".to_string())];
    if any_slow {
        entries.push((Key::Area("bar-slow"), "too slow to train".to_string()));
    }
    let legend = Legend::new(entries, size.0 - 8.0);
    let frame = Frame::new(size, legend.rows());
    let values: Vec<f64> = measured.iter().map(|m| m.0).collect();
    let mut range = Range::without_high_stragglers(&values);
    range = view.facts.target_ms.map_or(range, |t| range.with(t));
    let x = Axis::new(range, frame.ticks_x(), frame.left(), frame.right());
    let width = x.step() / bins_per_tick(&x, measured.len());
    let bins = bins(&measured, &x, width);
    let most = bins
        .iter()
        .map(|b| b.trained + b.too_slow)
        .max()
        .unwrap_or(0);
    let y = Axis::new(
        Range::of([0.0, most.max(2) as f64]),
        frame.ticks_y().min(most.max(2) as usize),
        frame.bottom(),
        frame.top,
    );
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: view.latency_axis(), scale: 1.0 },
            &Labelled { axis: &y, name: "networks", scale: 1.0 },
        ))
        (bars(&bins, &x, &y, width))
        (target(view, &frame, &x))
    };
    let description = format!("{} measured", count(measured.len() as u64, "network"));
    Some(frame.svg("latency", "Latency of the networks", &description, &body))
}

/// Bins per tick of the axis: about the square root of the count over all, and whole.
fn bins_per_tick(x: &Axis, measured: usize) -> f64 {
    let ticks = (x.ends().end() - x.ends().start()) / x.step();
    let wanted = (measured as f64).sqrt().clamp(8.0, 40.0);
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .into_iter()
        .find(|n| n * ticks >= wanted)
        .unwrap_or(10.0)
}

fn bins(measured: &[(f64, State)], x: &Axis, width: f64) -> Vec<Bin> {
    let (low, high) = (*x.ends().start(), *x.ends().end());
    let n = ((high - low) / width).round().max(1.0) as usize;
    let mut bins = vec![Bin::default(); n];
    for (latency_ms, state) in measured {
        // What lies beyond the axis counts in its last bin, which says so.
        let at = (((latency_ms - low) / width).max(0.0) as usize).min(n - 1);
        match state {
            State::TooSlow => bins[at].too_slow += 1,
            _ => bins[at].trained += 1,
        }
    }
    bins
}

fn bars(bins: &[Bin], x: &Axis, y: &Axis, width: f64) -> Markup {
    let low = *x.ends().start();
    let gap = 1.0;
    html! {
        @for (i, bin) in bins.iter().enumerate().filter(|b| *b.1 != Bin::default()) {
            @let from = low + width * i as f64;
            @let (left, right) = (x.px(from) + gap / 2.0, x.px(from + width) - gap / 2.0);
            @let (trained, all) = (y.px(bin.trained as f64), y.px((bin.trained + bin.too_slow) as f64));
            g {
                title { (title(*bin, from, width, i + 1 == bins.len())) }
                @if bin.trained > 0 {
                    rect class="bar" x=(Px(left)) width=(Px(right - left)) y=(Px(trained))
                        height=(Px(y.px(0.0) - trained)) {}
                }
                @if bin.too_slow > 0 {
                    rect class="bar-slow" x=(Px(left)) width=(Px(right - left)) y=(Px(all))
                        height=(Px(trained - all)) {}
                }
            }
        }
    }
}

fn title(bin: Bin, from: f64, width: f64, last: bool) -> String {
    let to = if last {
        "and more".into()
    } else {
        format!("to {}", ms(from + width))
    };
    format!(
        "{} {to}: {}, {} of them too slow to train",
        significant(from),
        count(bin.trained + bin.too_slow, "network"),
        bin.too_slow
    )
}

fn target(view: &View, frame: &Frame, x: &Axis) -> Markup {
    let Some(target) = view.facts.target_ms.filter(|t| x.shows(*t)) else {
        return html! {};
    };
    let at = x.px(target);
    let bounds = [
        frame.left(),
        frame.top - 14.0,
        frame.right(),
        frame.bottom(),
    ];
    html! {
        line class="target" x1=(Px(at)) x2=(Px(at)) y1=(Px(frame.top)) y2=(Px(frame.bottom())) {}
        (Labels::default().place(at, frame.top + 2.0, &format!("target {}", ms(target)), bounds))
    }
}

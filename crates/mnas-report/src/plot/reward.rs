//! Reward over trials: each proposal, the moving average over distinct trained networks, and the
//! best.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Legend};
use super::{Frame, LINE_POINTS_MAX, Labelled, Mark, POINTS_MAX, line, stair, thinned};
use crate::format::significant;
use crate::view::{State, TrialView, View};

/// The chart, or nothing where no reward was given.
pub(crate) fn rewards(view: &View, size: (f64, f64)) -> Option<Markup> {
    let rewarded: Vec<(&TrialView, f64)> = view
        .trials
        .iter()
        .filter_map(|t| Some((t, t.reward.filter(|r| r.is_finite())?)))
        .collect();
    if rewarded.is_empty() {
        return None;
    }
    let window = window(rewarded.len());
    let average = moving_average(&rewarded, window);
    let mut range = Range::without_low_stragglers(&shaping(&rewarded));
    for (_, mean) in &average {
        range = range.with(*mean);
    }
    let range = range.padded(0.04);
    let legend = Legend::new(entries(&rewarded, range, window, &average), size.0 - 8.0);
    let frame = Frame::new(size, legend.rows());
    let trials = Range::of(rewarded.iter().map(|r| r.0.trial as f64)).with(0.0);
    let ticks = frame.ticks_x().min(trials.high.max(1.0) as usize);
    let x = Axis::new(trials, ticks, frame.left(), frame.right());
    let y = Axis::new(range, frame.ticks_y(), frame.bottom(), frame.top);
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: "trial", scale: 1.0 },
            &Labelled { axis: &y, name: "reward", scale: 1.0 },
        ))
        (points(&rewarded, &frame, &x, &y))
        path class="best" d=(stair(&best_so_far(&rewarded, &x, &y))) {}
        @if average.len() > 1 {
            @let at: Vec<(f64, f64)> = thinned(&average, LINE_POINTS_MAX)
                .iter().map(|(t, r)| (x.px(*t as f64), y.px(*r))).collect();
            path class="average" d=(line(&at)) {}
        }
    };
    let description = format!("{} rewarded proposals", rewarded.len());
    Some(frame.svg("reward", "Reward over trials", &description, &body))
}

/// The rewards that set the range: those of trained networks, or all where none was trained. The
/// zeros of failures would press the rest against the top.
fn shaping(rewarded: &[(&TrialView, f64)]) -> Vec<f64> {
    let trained = rewarded.iter().filter(|r| r.0.state == State::Done);
    let trained: Vec<f64> = trained.map(|r| r.1).collect();
    match trained.is_empty() {
        true => rewarded.iter().map(|r| r.1).collect(),
        false => trained,
    }
}

fn entries(
    rewarded: &[(&TrialView, f64)],
    range: Range,
    window: usize,
    average: &[(u64, f64)],
) -> Vec<(Key, String)> {
    let mut entries = vec![(Key::Mark(Mark::Dot), "trained".to_string())];
    let other = |r: &&(&TrialView, f64)| r.0.state != State::Done;
    if rewarded.iter().filter(other).any(|r| r.1 >= range.low) {
        entries.push((Key::Mark(Mark::Faint), "not trained".into()));
    }
    if average.len() > 1 {
        let text = format!("mean of the last {window} trained");
        entries.push((Key::Line("average"), text));
    }
    entries.push((Key::Line("best"), "best so far".into()));
    entries
}

/// Networks averaged: a tenth of all, at least 5.
fn window(rewarded: usize) -> usize {
    (rewarded / 10).max(5)
}

/// After each distinct trained network, the mean reward of the last `window` of them. By running
/// sums, as the window grows with the study.
fn moving_average(rewarded: &[(&TrialView, f64)], window: usize) -> Vec<(u64, f64)> {
    let trained: Vec<(u64, f64)> = rewarded
        .iter()
        .filter(|(t, _)| t.duplicate_of.is_none() && t.state == State::Done)
        .map(|(t, r)| (t.trial, *r))
        .collect();
    let mut sums = vec![0.0];
    sums.extend(trained.iter().scan(0.0, |sum, (_, r)| {
        *sum += r;
        Some(*sum)
    }));
    let ends = trained.iter().zip(&sums[1..]).skip(window - 1);
    ends.zip(&sums)
        .map(|(((trial, _), end), start)| (*trial, (end - start) / window as f64))
        .collect()
}

/// Corners of the best reward so far, as far as the last proposal.
fn best_so_far(rewarded: &[(&TrialView, f64)], x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
    let mut best = f64::NEG_INFINITY;
    let mut corners = vec![];
    for (t, reward) in rewarded {
        if *reward > best {
            best = *reward;
            corners.push((x.px(t.trial as f64), y.px(best)));
        }
    }
    if let Some((last, _)) = rewarded.last() {
        corners.push((x.px(last.trial as f64), y.px(best)));
    }
    corners
}

fn points(rewarded: &[(&TrialView, f64)], frame: &Frame, x: &Axis, y: &Axis) -> Markup {
    let place = |r: &(&TrialView, f64)| (x.px(r.0.trial as f64), y.px(r.1));
    if rewarded.len() > POINTS_MAX {
        let shown: Vec<(f64, f64)> = rewarded
            .iter()
            .filter(|r| y.shows(r.1))
            .map(place)
            .collect();
        return html! { (super::crowd(&shown)) };
    }
    html! {
        @for r in rewarded {
            @let (px, py) = place(r);
            @let title = format!("trial {}: {}, reward {}", r.0.trial, r.0.state.words(), significant(r.1));
            @let mark = match r.0.state {
                _ if !y.shows(r.1) => Mark::Below,
                State::Done => Mark::Dot,
                _ => Mark::Faint,
            };
            (mark.at(px, py.min(frame.bottom()), Some(r.0.trial), &title))
        }
    }
}

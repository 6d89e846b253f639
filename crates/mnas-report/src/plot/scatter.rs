//! Accuracy against latency: every trained network, the front, the target, and how the finalists
//! and the references did after full training.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Labels, Legend};
use super::{Frame, Labelled, Mark, POINTS_MAX, Px, line, stair};
use crate::format::{clip, ms, percent};
use crate::view::{FinalView, State, TrialView, View};

/// A point of the chart: its place in values, and what is drawn there.
struct Point {
    latency_ms: f64,
    accuracy: f64,
    trial: Option<u64>,
    /// The name of a fully trained network; a trial is named by its number.
    name: Option<String>,
    mark: Mark,
}

impl Point {
    /// What is said at the pointer.
    fn title(&self) -> String {
        let (accuracy, latency) = (percent(self.accuracy), ms(self.latency_ms));
        match (&self.name, self.trial) {
            (Some(name), _) => format!("{name}, fully trained: {accuracy}, {latency}"),
            (None, Some(trial)) => format!("trial {trial}: {accuracy}, {latency}"),
            (None, None) => String::new(),
        }
    }
}

/// The chart, or nothing where no network has both numbers.
pub(crate) fn scatter(view: &View, size: (f64, f64)) -> Option<Markup> {
    let crowd = trials(view);
    let finals: Vec<Point> = view.finals.iter().filter_map(|f| entry(view, f)).collect();
    if crowd.is_empty() && finals.is_empty() {
        return None;
    }
    let legend = Legend::new(entries(view, &crowd, &finals), size.0 - 8.0);
    let frame = Frame::new(size, legend.rows());
    let (x, y) = axes(view, &frame, &crowd, &finals);
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: view.latency_axis(), scale: 1.0 },
            &Labelled { axis: &y, name: "top-1 accuracy on the validation split, %", scale: 100.0 },
        ))
        (over_target(view, &frame, &x))
        (front_line(view, &frame, &x, &y))
        (points(&frame, &crowd, &x, &y))
        (links(view, &finals, &x, &y))
        @for p in finals.iter().filter(|p| p.mark != Mark::Winner) {
            (p.mark.at(x.px(p.latency_ms), y.px(p.accuracy), p.trial, &p.title()))
        }
        @for p in crowd.iter().chain(&finals).filter(|p| p.mark == Mark::Winner) {
            (p.mark.at(x.px(p.latency_ms), y.px(p.accuracy), p.trial, &p.title()))
        }
        (labels(view, &frame, &crowd, &finals, &x, &y))
    };
    let description = format!(
        "{} trained networks, {} on the front",
        crowd.len(),
        view.front.len()
    );
    Some(frame.svg("scatter", "Accuracy against latency", &description, &body))
}

/// Every trained network once.
fn trials(view: &View) -> Vec<Point> {
    let leads = |t: &TrialView| {
        let w = view.winner.as_ref();
        w.is_some_and(|w| !w.fully_trained && w.trial == t.trial)
    };
    let front = view.front_ids();
    let on_front = |t: &TrialView| front.contains(&t.trial);
    let trained = |t: &&TrialView| t.state == State::Done && t.duplicate_of.is_none();
    let point = |t: &TrialView| {
        let (latency_ms, accuracy) = (t.latency_ms?, t.accuracy?);
        let mark = match () {
            () if leads(t) => Mark::Winner,
            () if on_front(t) => Mark::Front,
            () => Mark::Dot,
        };
        Some(Point {
            latency_ms,
            accuracy,
            trial: Some(t.trial),
            name: None,
            mark,
        })
    };
    view.trials
        .iter()
        .filter(trained)
        .filter_map(point)
        .collect()
}

/// A finalist or reference that was trained and measured.
fn entry(view: &View, f: &FinalView) -> Option<Point> {
    let (latency_ms, accuracy) = (f.latency_ms?, f.accuracy?);
    let wins = view.winning_final().is_some_and(|w| w.name == f.name);
    Some(Point {
        latency_ms,
        accuracy,
        trial: None,
        name: Some(f.name.clone()),
        mark: match f.trial {
            Some(_) if wins => Mark::Winner,
            Some(_) => Mark::Finalist,
            None => Mark::Reference,
        },
    })
}

fn entries(view: &View, crowd: &[Point], finals: &[Point]) -> Vec<(Key, String)> {
    let has = |mark: Mark| crowd.iter().chain(finals).any(|p| p.mark == mark);
    let winner = match &view.winner {
        Some(w) if w.fully_trained => format!("winner ({}), fully trained", w.name),
        Some(w) => format!("best so far ({})", w.name),
        None => String::new(),
    };
    [
        (Mark::Winner, winner.as_str()),
        (Mark::Front, "on the front"),
        (Mark::Dot, "other trial, short training"),
        (Mark::Finalist, "finalist, fully trained"),
        (Mark::Reference, "reference, fully trained"),
    ]
    .into_iter()
    .filter(|(mark, _)| has(*mark))
    .map(|(mark, text)| (Key::Mark(mark), clip(text, 40)))
    .collect()
}

fn axes(view: &View, frame: &Frame, crowd: &[Point], finals: &[Point]) -> (Axis, Axis) {
    let xs: Vec<f64> = crowd.iter().map(|p| p.latency_ms).collect();
    let ys: Vec<f64> = crowd.iter().map(|p| p.accuracy).collect();
    let mut x = Range::without_high_stragglers(&xs);
    let mut y = Range::without_low_stragglers(&ys);
    let named = view.front.iter().map(|t| (t.latency_ms, t.accuracy));
    let named = named.chain(
        finals
            .iter()
            .map(|p| (Some(p.latency_ms), Some(p.accuracy))),
    );
    for (latency, accuracy) in named {
        x = latency.map_or(x, |v| x.with(v));
        y = accuracy.map_or(y, |v| y.with(v));
    }
    x = view.facts.target_ms.map_or(x, |t| x.with(t)).padded(0.04);
    y = y.padded(0.05);
    x.low = x.low.max(0.0);
    (y.low, y.high) = (y.low.max(0.0), y.high.min(1.0));
    (
        Axis::new(x, frame.ticks_x(), frame.left(), frame.right()),
        Axis::new(y, frame.ticks_y(), frame.bottom(), frame.top),
    )
}

/// The target as a line, what lies over it shaded.
fn over_target(view: &View, frame: &Frame, x: &Axis) -> Markup {
    let Some(target) = view.facts.target_ms.filter(|t| x.shows(*t)) else {
        return html! {};
    };
    let at = x.px(target);
    html! {
        rect class="over" x=(Px(at)) y=(Px(frame.top)) width=(Px(frame.right() - at))
            height=(Px(frame.bottom() - frame.top)) {}
        line class="target" x1=(Px(at)) x2=(Px(at)) y1=(Px(frame.top)) y2=(Px(frame.bottom())) {}
    }
}

/// The best accuracy seen at or under each latency.
fn front_line(view: &View, frame: &Frame, x: &Axis, y: &Axis) -> Markup {
    let mut points: Vec<(f64, f64)> = view
        .front
        .iter()
        .filter_map(|t| Some((x.px(t.latency_ms?), y.px(t.accuracy?))))
        .collect();
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else {
        return html! {};
    };
    points.insert(0, (first.0, frame.bottom()));
    points.push((frame.right(), last.1));
    // The first step goes straight up from the axis, as a stair's do.
    html! { path class="frontier" d=(stair(&points)) {} }
}

/// Trials: each a marker, or where there are too many the crowd as one path.
fn points(frame: &Frame, crowd: &[Point], x: &Axis, y: &Axis) -> Markup {
    let each = crowd.len() <= POINTS_MAX;
    let place = |p: &Point| (x.px(p.latency_ms), y.px(p.accuracy));
    let off = |p: &&Point| !x.shows(p.latency_ms) || !y.shows(p.accuracy);
    let plain = |p: &&Point| p.mark == Mark::Dot;
    html! {
        @if each {
            @for p in crowd.iter().filter(plain) {
                @let (px, py) = place(p);
                @let mark = match () {
                    () if !y.shows(p.accuracy) => Mark::Below,
                    () if !x.shows(p.latency_ms) => Mark::Beyond,
                    () => Mark::Dot,
                };
                (mark.at(px, py.min(frame.bottom()), p.trial, &p.title()))
            }
        } @else {
            @let shown: Vec<(f64, f64)> =
                crowd.iter().filter(plain).filter(|p| !off(p)).map(place).collect();
            (super::crowd(&shown))
        }
        @for p in crowd.iter().filter(|p| p.mark == Mark::Front) {
            @let (px, py) = place(p);
            (p.mark.at(px, py, p.trial, &p.title()))
        }
    }
}

/// A thin line from where a finalist was in the search to where full training took it.
fn links(view: &View, finals: &[Point], x: &Axis, y: &Axis) -> Markup {
    let before = |f: &FinalView| {
        let t = view.trials.get(usize::try_from(f.trial?).ok()?)?;
        Some((x.px(t.latency_ms?), y.px(t.accuracy?)))
    };
    let pairs = view.finals.iter().filter_map(|f| {
        let after = (x.px(f.latency_ms?), y.px(f.accuracy?));
        Some([before(f)?, after])
    });
    html! {
        @if !finals.is_empty() {
            @for pair in pairs { path class="link" d=(line(&pair)) {} }
        }
    }
}

/// The target's label, then the winner's and the references'.
fn labels(
    view: &View,
    frame: &Frame,
    crowd: &[Point],
    finals: &[Point],
    x: &Axis,
    y: &Axis,
) -> Markup {
    let bounds = [frame.left(), frame.top - 4.0, frame.right(), frame.bottom()];
    let mut labels = Labels::default();
    for p in finals {
        labels.avoid(x.px(p.latency_ms), y.px(p.accuracy), 14.0, 14.0);
    }
    for p in crowd.iter().filter(|p| p.mark == Mark::Front) {
        labels.avoid(x.px(p.latency_ms), y.px(p.accuracy), 8.0, 8.0);
    }
    if let Some(target) = view.facts.target_ms {
        let height = frame.bottom() - frame.top;
        labels.avoid(x.px(target), frame.top + height / 2.0, 4.0, height);
    }
    let named = |mark: Mark| {
        move |f: &&FinalView| match mark {
            Mark::Winner => view.winning_final().is_some_and(|w| w.name == f.name),
            _ => f.trial.is_none(),
        }
    };
    html! {
        @if let Some(target) = view.facts.target_ms.filter(|t| x.shows(*t)) {
            (labels.place(x.px(target), frame.bottom() - 12.0, &format!("target {}", ms(target)), bounds))
        }
        @for mark in [Mark::Winner, Mark::Reference] {
            @for f in view.finals.iter().filter(named(mark)) {
                @if let (Some(latency), Some(accuracy)) = (f.latency_ms, f.accuracy) {
                    (labels.place(x.px(latency), y.px(accuracy), &clip(&f.name, 32), bounds))
                }
            }
        }
    }
}

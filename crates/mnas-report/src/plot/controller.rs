//! How sure the controller is, batch by batch.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::{Frame, LINE_POINTS_MAX, Labelled, line, thinned};
use crate::view::View;

/// The controller's entropy over batches, or nothing where it tells none twice.
pub(crate) fn entropy(view: &View, size: (f64, f64)) -> Option<Markup> {
    let points: Vec<(f64, f64)> = view
        .batches
        .iter()
        .filter_map(|b| Some((b.last_trial as f64, b.entropy.filter(|e| e.is_finite())?)))
        .collect();
    if points.len() < 2 {
        return None;
    }
    let frame = Frame::new(size, 0);
    let x = Axis::new(
        Range::of(points.iter().map(|p| p.0)).with(0.0),
        frame.ticks_x(),
        frame.left(),
        frame.right(),
    );
    let y = Axis::new(
        Range::of(points.iter().map(|p| p.1)).with(0.0).with(1.0),
        frame.ticks_y(),
        frame.bottom(),
        frame.top,
    );
    let at = thinned(&points, LINE_POINTS_MAX);
    let at: Vec<(f64, f64)> = at.iter().map(|p| (x.px(p.0), y.px(p.1))).collect();
    let body = html! {
        (frame.axes(
            &Labelled { axis: &x, name: "trial", scale: 1.0 },
            &Labelled { axis: &y, name: "entropy of the decisions, 1 = no preference", scale: 1.0 },
        ))
        path class="average" d=(line(&at)) {}
    };
    let description = format!("{} batches", points.len());
    Some(frame.svg("entropy", "The controller's entropy", &description, &body))
}

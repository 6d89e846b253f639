//! Training curves: validation accuracy over epochs, up to four networks in one chart.

use maud::{Markup, html};
use mnas_search::CurvePoint;

use super::axis::{Axis, Range};
use super::legend::{Key, Legend};
use super::{Frame, LINE_POINTS_MAX, Labelled, Px, line, thinned};
use crate::format::clip;

/// Classes of lines, told apart by dashes as well as colour.
pub(crate) const SERIES: [&str; 4] = ["series-0", "series-1", "series-2", "series-3"];

/// The chart of named curves, or nothing where none has a value.
pub(crate) fn curves(named: &[(String, &[CurvePoint])], size: (f64, f64)) -> Option<Markup> {
    let of = |p: &CurvePoint| p.accuracy.filter(|v| v.is_finite()).map(|v| (p.epoch, v));
    let lines: Vec<(&str, Vec<(f64, f64)>)> = named
        .iter()
        .map(|(name, curve)| (&**name, curve.iter().filter_map(of).collect()))
        .collect();
    let all = || lines.iter().flat_map(|l| &l.1);
    all().next()?;
    let entries = lines.iter().enumerate().filter(|l| !l.1.1.is_empty());
    let entries: Vec<(Key, String)> = entries
        .map(|(i, l)| (Key::Line(SERIES[i % SERIES.len()]), clip(l.0, 32)))
        .collect();
    let legend = Legend::new(if named.len() > 1 { entries } else { vec![] }, size.0 - 8.0);
    let frame = Frame::new(size, legend.rows());
    let x = Range::of(all().map(|p| p.0)).with(0.0);
    let y = Range::of(all().map(|p| p.1)).padded(0.06);
    let x = Axis::new(x, frame.ticks_x(), frame.left(), frame.right());
    let y = Axis::new(y, frame.ticks_y(), frame.bottom(), frame.top);
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: "epoch", scale: 1.0 },
            &Labelled { axis: &y, name: "validation accuracy, %", scale: 100.0 },
        ))
        @for (i, (name, points)) in lines.iter().enumerate() {
            @let class = SERIES[i % SERIES.len()];
            @let at: Vec<(f64, f64)> = thinned(points, LINE_POINTS_MAX)
                .iter().map(|p| (x.px(p.0), y.px(p.1))).collect();
            g {
                title { (name) }
                path class=(class) d=(line(&at)) {}
                @if at.len() <= 40 {
                    @for p in &at { circle class=(format!("{class} end")) cx=(Px(p.0)) cy=(Px(p.1)) r="2.6" {} }
                }
            }
        }
    };
    let last = |l: &(&str, Vec<(f64, f64)>)| Some(format!("{} ends at {:.4}", l.0, l.1.last()?.1));
    let description: Vec<String> = lines.iter().filter_map(last).collect();
    Some(frame.svg(
        "curve",
        "Accuracy over epochs",
        &description.join(", "),
        &body,
    ))
}

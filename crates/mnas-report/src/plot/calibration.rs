//! Predicted against measured latency, of a predictor that was fitted to a device.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Legend};
use super::{Frame, Labelled, Mark, Px, line, standalone};
use crate::format::{clip, ms};

/// A measured network beside its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// What to call it.
    pub name: String,
    /// Measured latency in milliseconds.
    pub measured_ms: f64,
    /// Predicted latency in milliseconds.
    pub predicted_ms: f64,
    /// Whether the predictor was fitted without it.
    pub held_out: bool,
}

/// The share beside the diagonal that the chart shades.
const BAND: f64 = 0.10;

/// Predicted against measured latency as an SVG file; `title` names the device.
pub fn calibration_chart(title: &str, predictions: &[Prediction]) -> String {
    standalone(&chart(title, predictions, (560.0, 480.0)))
}

fn chart(title: &str, predictions: &[Prediction], size: (f64, f64)) -> Markup {
    let entries = vec![
        (Key::Mark(Mark::Front), "kept out of the fit".to_string()),
        (Key::Mark(Mark::Faint), "fitted".to_string()),
        (Key::Area("over"), format!("within {:.0} %", 100.0 * BAND)),
    ];
    let legend = Legend::new(entries, size.0 - 8.0);
    let frame = Frame::new(size, legend.rows());
    let values = predictions
        .iter()
        .flat_map(|p| [p.measured_ms, p.predicted_ms]);
    let range = Range::of(values.chain([0.0]));
    let x = Axis::new(range, frame.ticks_x(), frame.left(), frame.right());
    let y = Axis::new(range, frame.ticks_x(), frame.bottom(), frame.top);
    let at = |p: &Prediction| (x.px(p.measured_ms), y.px(p.predicted_ms));
    let (later, earlier): (Vec<&Prediction>, Vec<&Prediction>) =
        predictions.iter().partition(|p| p.held_out);
    let top = *x.ends().end();
    let band = [
        (0.0, 0.0),
        (top / (1.0 + BAND), top),
        (top, top),
        (top, top * (1.0 - BAND)),
    ];
    let band: Vec<(f64, f64)> = band.iter().map(|(a, b)| (x.px(*a), y.px(*b))).collect();
    let body = html! {
        (legend.draw())
        (frame.axes(
            &Labelled { axis: &x, name: "measured, ms", scale: 1.0 },
            &Labelled { axis: &y, name: "predicted, ms", scale: 1.0 },
        ))
        path class="over" d=(format!("{}Z", line(&band))) {}
        line class="target" x1=(Px(x.px(0.0))) y1=(Px(y.px(0.0))) x2=(Px(x.px(top))) y2=(Px(y.px(top))) {}
        @for p in earlier {
            @let (px, py) = at(p);
            (Mark::Faint.at(px, py, None, &label(p)))
        }
        @for p in later {
            @let (px, py) = at(p);
            (Mark::Front.at(px, py, None, &label(p)))
        }
    };
    let description = format!("{} networks", predictions.len());
    frame.svg("calibration", title, &description, &body)
}

fn label(p: &Prediction) -> String {
    let error = 100.0 * (p.predicted_ms / p.measured_ms - 1.0);
    format!(
        "{}: measured {}, predicted {} ({error:+.1} %)",
        clip(&p.name, 80),
        ms(p.measured_ms),
        ms(p.predicted_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(measured_ms: f64, predicted_ms: f64, held_out: bool) -> Prediction {
        Prediction {
            name: "a <net>".into(),
            measured_ms,
            predicted_ms,
            held_out,
        }
    }

    #[test]
    fn a_chart_of_few_many_or_no_points_is_well_formed() {
        let many: Vec<Prediction> = (1..200)
            .map(|i| point(f64::from(i), 1.05 * f64::from(i), i % 3 == 0))
            .collect();
        for points in [&many[..], &many[..1], &[]] {
            let svg = calibration_chart("Some phone & more", points);
            crate::html::check::well_formed(&svg, true).unwrap();
            assert!(!svg.contains("var(") && !svg.contains("NaN"));
        }
    }

    #[test]
    fn points_on_the_diagonal_lie_within_the_band() {
        let svg = calibration_chart("t", &[point(1.0, 1.0, true), point(2.0, 2.5, false)]);
        assert!(svg.contains("(+0.0 %)") && svg.contains("(+25.0 %)"));
        assert!(svg.contains("a &lt;net&gt;"));
    }
}

//! What a controller would choose at one decision, over the trials: a small picture of stacked
//! areas.

use maud::{Markup, html};

use super::axis::{Axis, Range};
use super::legend::{Key, Legend};
use super::{Px, line};
use crate::format::clip;
use crate::view::BeliefHistory;

/// Width of a picture.
pub(crate) const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 84.0;
const LEFT: f64 = 2.0;

/// Classes of the areas, in the order of the choices; more choices begin again.
const AREAS: [&str; 6] = [
    "choice-0", "choice-1", "choice-2", "choice-3", "choice-4", "choice-5",
];

/// The picture, its legend below with the last probabilities.
pub(crate) fn belief(history: &BeliefHistory) -> Markup {
    let moments = &history.moments;
    let trials = Range::of(moments.iter().map(|m| m.0 as f64));
    let x = Axis::exactly(trials, 2, LEFT, WIDTH - LEFT);
    let y = Axis::exactly(
        Range {
            low: 0.0,
            high: 1.0,
        },
        2,
        HEIGHT,
        2.0,
    );
    let last = moments.last().map_or(&[][..], |m| &m.1);
    let entries = history.choices.iter().zip(last).enumerate();
    let entries = entries.map(|(i, (choice, p))| {
        let text = format!("{} {:.0} %", clip(choice, 18), 100.0 * p);
        (Key::Area(AREAS[i % AREAS.len()]), text)
    });
    let legend = Legend::new(entries.collect(), WIDTH);
    let height = HEIGHT + 8.0 + super::legend::ROW * legend.rows() as f64;
    html! {
        svg class="chart belief" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {WIDTH} {height}")) width=(WIDTH) height=(height)
            aria-label=(label(history)) {
            @for i in 0..history.choices.len() {
                path class=(AREAS[i % AREAS.len()]) d=(area(moments, i, &x, &y)) {}
            }
            g transform=(format!("translate(0 {})", Px(HEIGHT + 6.0))) { (legend.draw()) }
        }
    }
}

/// The area between the sums of the choices before and up to choice `i`.
fn area(moments: &[(u64, Vec<f64>)], i: usize, x: &Axis, y: &Axis) -> String {
    let edge = |upto: usize| {
        moments.iter().map(move |(trial, p)| {
            let sum: f64 = p[..upto].iter().sum();
            (x.px(*trial as f64), y.px(sum))
        })
    };
    let mut around: Vec<(f64, f64)> = edge(i + 1).collect();
    around.extend(edge(i).rev());
    format!("{}Z", line(&around))
}

fn label(history: &BeliefHistory) -> String {
    let ends = history.moments.first().zip(history.moments.last());
    let moves = ends.map(|(first, last)| {
        let named = history.choices.iter().zip(first.1.iter().zip(&last.1));
        named
            .map(|(c, (a, b))| format!("{c} from {:.0} to {:.0} %", 100.0 * a, 100.0 * b))
            .collect::<Vec<String>>()
            .join(", ")
    });
    format!("{}: {}", history.decision, moves.unwrap_or_default())
}

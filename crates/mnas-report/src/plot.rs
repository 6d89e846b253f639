//! Charts as SVG, drawn here: no script, no font and no network is needed to see them.
//!
//! Colours are classes of one style sheet (`assets/chart.css`) whose variables follow light and
//! dark; [`standalone`] writes the light ones out for files.

use std::fmt::{self, Write};

use maud::{Markup, PreEscaped, Render, html};

pub(crate) mod axis;
pub(crate) mod belief;
pub(crate) mod blocks;
pub(crate) mod calibration;
pub(crate) mod compare;
pub(crate) mod controller;
pub(crate) mod curve;
pub(crate) mod importance;
pub(crate) mod latency;
pub(crate) mod legend;
pub(crate) mod reward;
pub(crate) mod scatter;
pub(crate) mod strip;
#[cfg(test)]
mod tests;

use axis::Axis;

use crate::view::beliefs::evenly;

/// Style of everything in a chart.
pub(crate) const CHART_CSS: &str = include_str!("assets/chart.css");

/// Above this many points a chart draws its crowd as one path: a page of 10,000 trials stays
/// small and quick, but only the points that matter answer to the pointer.
pub(crate) const POINTS_MAX: usize = 1_500;

/// Points of a line at most.
pub(crate) const LINE_POINTS_MAX: usize = 600;

/// A length in pixels, written with at most one decimal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Px(pub(crate) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.1}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

impl Render for Px {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str(&self.to_string());
    }
}

/// The size of a chart and the room left around its plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    /// Width of the whole chart.
    pub(crate) width: f64,
    /// Height of the whole chart.
    pub(crate) height: f64,
    /// Room above the plot, for the legend and the title of the vertical axis.
    pub(crate) top: f64,
}

impl Frame {
    const LEFT: f64 = 44.0;
    const RIGHT: f64 = 14.0;
    const BOTTOM: f64 = 42.0;

    /// A chart of this size whose legend takes `legend_rows` rows.
    pub(crate) fn new((width, height): (f64, f64), legend_rows: usize) -> Self {
        Self {
            width,
            height,
            top: 30.0 + legend::ROW * legend_rows as f64,
        }
    }

    /// Left edge of the plot.
    pub(crate) fn left(&self) -> f64 {
        Self::LEFT
    }

    /// Right edge of the plot.
    pub(crate) fn right(&self) -> f64 {
        self.width - Self::RIGHT
    }

    /// Lower edge of the plot.
    pub(crate) fn bottom(&self) -> f64 {
        self.height - Self::BOTTOM
    }

    /// How many ticks the horizontal axis has room for.
    pub(crate) fn ticks_x(&self) -> usize {
        ((self.right() - self.left()) / 90.0).round().max(2.0) as usize
    }

    /// How many ticks the vertical axis has room for.
    pub(crate) fn ticks_y(&self) -> usize {
        ((self.bottom() - self.top) / 52.0).round().max(2.0) as usize
    }

    /// Grid, ticks and titles of both axes.
    pub(crate) fn axes(&self, x: &Labelled, y: &Labelled) -> Markup {
        let (left, right, bottom) = (self.left(), self.right(), self.bottom());
        html! {
            @for (value, label) in y.axis.ticks(y.scale) {
                @let at = y.axis.px(value);
                line class="grid" x1=(Px(left)) x2=(Px(right)) y1=(Px(at)) y2=(Px(at)) {}
                text class="tick" x=(Px(left - 7.0)) y=(Px(at + 4.0)) text-anchor="end" { (label) }
            }
            line class="base" x1=(Px(left)) x2=(Px(right)) y1=(Px(bottom)) y2=(Px(bottom)) {}
            @for (value, label) in x.axis.ticks(x.scale) {
                @let at = x.axis.px(value);
                line class="base" x1=(Px(at)) x2=(Px(at)) y1=(Px(bottom)) y2=(Px(bottom + 5.0)) {}
                text class="tick" x=(Px(at)) y=(Px(bottom + 18.0)) text-anchor="middle" { (label) }
            }
            text class="name" x="4" y=(Px(self.top - 12.0)) { (y.name) }
            text class="name" x=(Px(right)) y=(Px(self.height - 6.0)) text-anchor="end" { (x.name) }
        }
    }

    /// The chart itself, with a title and a description for those who don't see it.
    pub(crate) fn svg(&self, name: &str, title: &str, description: &str, body: &Markup) -> Markup {
        html! {
            svg class=(format!("chart {name}")) xmlns="http://www.w3.org/2000/svg" role="img"
                viewBox=(format!("0 0 {} {}", self.width, self.height))
                width=(self.width) height=(self.height)
                aria-label=(format!("{title}. {description}")) {
                (body)
            }
        }
    }
}

/// An axis with its name and the factor of its labels.
pub(crate) struct Labelled<'a> {
    /// The axis.
    pub(crate) axis: &'a Axis,
    /// What it shows, with the unit.
    pub(crate) name: &'a str,
    /// Labels are this times the value.
    pub(crate) scale: f64,
}

/// The shape of a marker. Kinds differ in shape as well as colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A small dot.
    Dot,
    /// A dot on the front.
    Front,
    /// A ring.
    Finalist,
    /// A diamond.
    Reference,
    /// A star.
    Winner,
    /// A dot in the colour of what was not trained.
    Faint,
    /// A triangle pointing to where the value lies, beyond the lower edge.
    Below,
    /// A triangle pointing beyond the right edge.
    Beyond,
    /// One of several series, each with a shape and a colour of its own.
    Series(usize),
}

impl Mark {
    /// The marker at a place, with the text that appears at the pointer and, for a trial, its
    /// number, by which the page's script finds the rest.
    pub(crate) fn at(self, x: f64, y: f64, trial: Option<u64>, title: &str) -> Markup {
        let body = html! { @if !title.is_empty() { title { (title) } } };
        let round = |class: &str, radius: f64| {
            html! {
                circle class=(class) data-t=[trial] cx=(Px(x)) cy=(Px(y)) r=(radius) { (body) }
            }
        };
        let polygon = |class: &str, points: &[(f64, f64)]| {
            let points: Vec<(f64, f64)> = points.iter().map(|p| (x + p.0, y + p.1)).collect();
            html! { path class=(class) data-t=[trial] d=(format!("{}Z", line(&points))) { (body) } }
        };
        match self {
            Mark::Dot => round("dot", 3.2),
            Mark::Faint => round("faint", 3.2),
            Mark::Front => round("front", 4.2),
            Mark::Finalist => round("finalist", 5.2),
            Mark::Reference => polygon(
                "reference",
                &[(0.0, -6.5), (6.5, 0.0), (0.0, 6.5), (-6.5, 0.0)],
            ),
            Mark::Winner => polygon("winner", &star(9.5)),
            Mark::Below => polygon("dot", &[(-4.0, -7.0), (4.0, -7.0), (0.0, 0.0)]),
            Mark::Beyond => polygon("dot", &[(-7.0, -4.0), (0.0, 0.0), (-7.0, 4.0)]),
            Mark::Series(n) => {
                let class = compare::mark_class(n);
                match n % compare::SHAPES {
                    0 => round(class, 4.4),
                    1 => polygon(class, &[(-4.2, -4.2), (4.2, -4.2), (4.2, 4.2), (-4.2, 4.2)]),
                    2 => polygon(class, &[(0.0, -5.6), (5.2, 4.2), (-5.2, 4.2)]),
                    3 => polygon(class, &[(0.0, -6.2), (6.2, 0.0), (0.0, 6.2), (-6.2, 0.0)]),
                    _ => polygon(class, &[(-5.2, -4.2), (5.2, -4.2), (0.0, 5.6)]),
                }
            }
        }
    }
}

/// Corners of a five-pointed star around the origin, the first on top.
fn star(radius: f64) -> Vec<(f64, f64)> {
    (0..10)
        .map(|i| {
            let r = if i % 2 == 0 { radius } else { 0.45 * radius };
            let turn = std::f64::consts::PI * (f64::from(i) / 5.0 - 0.5);
            (r * turn.cos(), r * turn.sin())
        })
        .collect()
}

/// Path data of a line through points.
pub(crate) fn line(points: &[(f64, f64)]) -> String {
    let mut d = String::with_capacity(points.len() * 12);
    for (i, (x, y)) in points.iter().enumerate() {
        d.push(if i == 0 { 'M' } else { 'L' });
        Px(*x).render_to(&mut d);
        d.push(' ');
        Px(*y).render_to(&mut d);
    }
    d
}

/// Path data of a stair through points: level until the next point, then straight to its height.
pub(crate) fn stair(points: &[(f64, f64)]) -> String {
    let mut corners = Vec::with_capacity(points.len() * 2);
    for (i, p) in points.iter().enumerate() {
        if i > 0 {
            corners.push((p.0, points[i - 1].1));
        }
        corners.push(*p);
    }
    line(&corners)
}

/// Steps of density in which a crowd is drawn: the first holds every place, each further one those
/// with at least four times as many dots as the one before.
const DENSITIES: u32 = 4;

/// Side of the cells in which a crowd's dots are counted, half a dot's width.
const CELL: u64 = 2;

/// A crowd of round dots: strokes of no length with round ends, in a few translucent paths, so that
/// where dots lie on dots the colour deepens. Dots that fall into one cell are drawn once per step
/// of density, so that a hundred thousand take hardly more room than ten thousand.
pub(crate) fn crowd(points: &[(f64, f64)]) -> Markup {
    // One number sorts faster than a pair; charts lie right of and below zero.
    let cell = |p: &(f64, f64)| {
        let [column, row] = [p.0, p.1].map(|v| (v / CELL as f64).round().max(0.0) as u64);
        column << 32 | row
    };
    let mut cells: Vec<u64> = points.iter().map(cell).collect();
    cells.sort_unstable();
    let path = |density: u32| {
        let mut path = String::new();
        let dense = cells.chunk_by(|a, b| a == b);
        for same in dense.filter(|same| same.len() >= 4usize.pow(density)) {
            let [x, y] = [same[0] >> 32, same[0] & 0xffff_ffff].map(|n| n * CELL);
            // Writing to a string can't fail.
            let _ = write!(path, "M{x} {y}h0");
        }
        path
    };
    html! {
        @for path in (0..DENSITIES).map(path).filter(|p| !p.is_empty()) {
            path class="crowd" d=(path) {}
        }
    }
}

fn dots(points: &[(f64, f64)]) -> String {
    points
        .iter()
        .map(|(x, y)| format!("M{} {}h0", Px(*x), Px(*y)))
        .collect()
}

/// Points of a line, at most so many, the last among them: more than a pixel can show only makes
/// the page heavy.
pub(crate) fn thinned<T: Copy>(points: &[T], most: usize) -> Vec<T> {
    evenly(points.len(), most)
        .into_iter()
        .map(|i| points[i])
        .collect()
}

/// About how wide a label is.
pub(crate) fn text_width(text: &str) -> f64 {
    6.6 * text.chars().count() as f64
}

/// A chart as a file of its own: the style inside, light colours, a white ground.
pub(crate) fn standalone(chart: &Markup) -> String {
    let svg = &chart.0;
    let mut css: String = CHART_CSS.into();
    for (name, light, _) in crate::html::palette::COLOURS {
        css = css.replace(&format!("var(--{name})"), light);
    }
    // The opening tag ends at the first '>': attribute values have theirs escaped.
    let head = svg.find('>').map_or(0, |i| i + 1);
    let style =
        html! { style { (PreEscaped(css)) } rect class="ground" width="100%" height="100%" {} };
    format!("{}{}{}\n", &svg[..head], style.0, &svg[head..])
}

//! Legends: markers with their meaning, in rows that fit the chart.

use maud::{Markup, html};

use super::{Mark, Px, text_width};

/// Height of a row.
pub(crate) const ROW: f64 = 20.0;

/// What a legend's entry shows before its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Key {
    /// A marker.
    Mark(Mark),
    /// A line of this class.
    Line(&'static str),
    /// A filled square of this class.
    Area(&'static str),
}

/// Entries placed in rows.
pub(crate) struct Legend {
    placed: Vec<(f64, f64, Key, String)>,
    rows: usize,
}

impl Legend {
    /// Places entries from left to right, in as many rows as `width` needs.
    pub(crate) fn new(entries: Vec<(Key, String)>, width: f64) -> Self {
        let (mut x, mut row) = (0.0, 0);
        let mut placed = Vec::with_capacity(entries.len());
        for (key, text) in entries {
            let needs = 24.0 + text_width(&text);
            if x > 0.0 && x + needs > width {
                (x, row) = (0.0, row + 1);
            }
            placed.push((x, ROW * row as f64 + 12.0, key, text));
            x += needs + 14.0;
        }
        let rows = if placed.is_empty() { 0 } else { row + 1 };
        Self { placed, rows }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The legend at the top left of a chart.
    pub(crate) fn draw(&self) -> Markup {
        html! {
            g class="legend" aria-hidden="true" {
                @for (x, y, key, text) in &self.placed {
                    @match key {
                        Key::Mark(mark) => (mark.at(x + 12.0, y - 1.0, None, "")),
                        Key::Line(class) => line class=(class) x1=(Px(x + 3.0)) x2=(Px(x + 20.0))
                            y1=(Px(y - 1.0)) y2=(Px(y - 1.0)) {},
                        Key::Area(class) => rect class=(class) x=(Px(x + 6.0)) y=(Px(y - 7.0))
                            width="12" height="12" {},
                    }
                    text class="label" x=(Px(x + 25.0)) y=(Px(y + 3.0)) { (text) }
                }
            }
        }
    }
}

/// Places labels beside points so that none lies on another or leaves the plot.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    taken: Vec<[f64; 4]>,
}

impl Labels {
    /// Keeps labels off a rectangle of this centre, width and height.
    pub(crate) fn avoid(&mut self, x: f64, y: f64, w: f64, h: f64) {
        self.taken
            .push([x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]);
    }

    /// A label beside the point, inside `bounds` (left, top, right, bottom), or nothing where no
    /// place is free: the point still answers to the pointer.
    pub(crate) fn place(&mut self, x: f64, y: f64, text: &str, bounds: [f64; 4]) -> Markup {
        let width = text_width(text);
        let offsets = [
            (11.0, 4.0),
            (-11.0 - width, 4.0),
            (-width / 2.0, -12.0),
            (-width / 2.0, 21.0),
            (9.0, -9.0),
            (9.0, 18.0),
            (-9.0 - width, -9.0),
            (-9.0 - width, 18.0),
        ];
        for (dx, dy) in offsets {
            let at = [x + dx, y + dy - 11.0, x + dx + width, y + dy + 3.0];
            let inside = at[0] >= bounds[0]
                && at[1] >= bounds[1]
                && at[2] <= bounds[2]
                && at[3] <= bounds[3];
            let free = self
                .taken
                .iter()
                .all(|t| at[0] >= t[2] || at[2] <= t[0] || at[1] >= t[3] || at[3] <= t[1]);
            if inside && free {
                self.taken.push(at);
                // Anchored at the point's side, so that a wider font grows away from the mark.
                let (anchor, from) = match (dx > 0.0, dx < -width) {
                    (true, _) => ("start", at[0]),
                    (_, true) => ("end", at[2]),
                    _ => ("middle", x),
                };
                return html! {
                    text class="label halo" x=(Px(from)) y=(Px(y + dy)) text-anchor=(anchor) { (text) }
                };
            }
        }
        html! {}
    }
}

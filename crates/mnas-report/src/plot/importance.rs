//! Which decisions explain accuracy and latency, as pairs of bars.

use maud::{Markup, html};

use super::Px;
use super::legend::{Key, Legend};
use crate::format::clip;
use crate::view::{Importance, View};

/// Decisions drawn at most, those that explain most.
pub(crate) const SHOWN: usize = 16;

const ROW: f64 = 26.0;
const BAR: f64 = 8.0;

/// The chart, or nothing where no decision explains anything.
pub(crate) fn importance(view: &View, width: f64) -> Option<Markup> {
    let mut rows: Vec<&Importance> = view.importance.iter().filter(|i| i.most() > 0.0).collect();
    rows.sort_by(|a, b| b.most().total_cmp(&a.most()));
    rows.truncate(SHOWN);
    if rows.is_empty() {
        return None;
    }
    let legend = Legend::new(
        vec![
            (Key::Area("bar"), "of the variance of accuracy".into()),
            (Key::Area("bar-params"), "of log latency".into()),
        ],
        width - 8.0,
    );
    let top = 10.0 + super::legend::ROW * legend.rows() as f64;
    let height = top + ROW * rows.len() as f64 + 6.0;
    // Names take what they need, bars the rest, and the figures stand behind the bars.
    let names = rows.iter().map(|r| r.decision.chars().count()).max();
    let left = (7.0 * names.unwrap_or(0) as f64 + 10.0).clamp(80.0, 0.42 * width);
    // The longest bar fills the width; the figures tell the shares.
    let scale = (width - left - 52.0) / rows[0].most();
    let name_chars = (left / 6.8) as usize;
    Some(html! {
        svg class="chart importance" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            aria-label=(label(&rows)) {
            (legend.draw())
            @for (i, row) in rows.iter().enumerate() {
                @let y = top + ROW * i as f64;
                g {
                    title { (words(row)) }
                    text class="tick" x=(Px(left - 8.0)) y=(Px(y + 13.0)) text-anchor="end" {
                        (clip(&row.decision, name_chars))
                    }
                    @for (class, value, dy) in [("bar", row.accuracy, 0.0), ("bar-params", row.latency, BAR + 1.0)] {
                        @let share = value.unwrap_or(0.0);
                        rect class=(class) x=(Px(left)) y=(Px(y + 1.0 + dy)) height=(BAR)
                            width=(Px((scale * share).max(1.0))) {}
                    }
                    @let reach = scale * row.most();
                    text class="tick" x=(Px(left + reach + 6.0)) y=(Px(y + 13.5)) {
                        (format!("{:.0} %", 100.0 * row.most()))
                    }
                }
            }
        }
    })
}

fn words(row: &Importance) -> String {
    let share = |v: Option<f64>| v.map_or("unknown".into(), |v| format!("{:.0} %", 100.0 * v));
    format!(
        "{}: {} of the variance of accuracy, {} of log latency",
        row.decision,
        share(row.accuracy),
        share(row.latency)
    )
}

fn label(rows: &[&Importance]) -> String {
    let first: Vec<String> = rows.iter().take(3).map(|r| words(r)).collect();
    format!("Importance of decisions. {}", first.join("; "))
}

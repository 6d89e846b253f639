//! Charts as SVG files, for papers and slides.

use maud::Markup;

use crate::html::tables;
use crate::plot::{belief, blocks, controller, importance, latency, reward, scatter, standalone};
use crate::view::View;

/// Every chart that the study has data for: file name and the file's text, in light colours.
pub fn figures(view: &View) -> Vec<(String, String)> {
    let net = view.winner.as_ref().and_then(|w| w.architecture.as_ref());
    let charts: [(&str, Option<Markup>); 8] = [
        ("accuracy-latency", scatter::scatter(view, (760.0, 460.0))),
        (
            "latency-histogram",
            latency::histogram(view, (560.0, 360.0)),
        ),
        ("reward", reward::rewards(view, (560.0, 360.0))),
        ("entropy", controller::entropy(view, (560.0, 320.0))),
        ("importance", importance::importance(view, 560.0)),
        ("final-latency", tables::final_strips(view, 560.0)),
        ("final-curves", tables::final_curves(view, (560.0, 360.0))),
        ("winner", net.map(blocks::stack)),
    ];
    let mut files: Vec<(String, String)> = charts
        .into_iter()
        .filter_map(|(name, chart)| Some((format!("{name}.svg"), standalone(&chart?))))
        .collect();
    for history in &view.belief_history {
        let name: String = history
            .decision
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let file = format!("belief-{name}.svg");
        files.push((file, standalone(&belief::belief(history))));
    }
    for (i, (_, chart)) in net
        .map(blocks::layers)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        files.push((format!("winner-layer-{}.svg", i + 1), standalone(chart)));
    }
    files
}

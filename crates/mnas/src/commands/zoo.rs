//! `mnas zoo`.

use mnas_net::{NetSpec, Shape, cost, zoo};
use serde_json::json;

use crate::exit::CommandResult;
use crate::output::{Output, table};

/// Lists the reference networks beside their published figures.
pub(crate) fn run(out: Output) -> CommandResult {
    let entries = zoo::entries();
    let exact = |e: &zoo::Entry| {
        let spec: NetSpec = e.text?.parse().ok()?;
        Some(cost(
            &spec.graph(Shape::new(e.input, e.input, 3), 1000).ok()?,
        ))
    };
    let value: Vec<_> = entries
        .iter()
        .map(|e| {
            let cost = exact(e);
            let published: Vec<_> = e
                .published
                .iter()
                .map(|p| {
                    json!({
                        "width": p.width, "input": p.input, "top1_percent": p.top1_percent,
                        "top5_percent": p.top5_percent, "params_m": p.params_m, "macs_m": p.macs_m,
                        "pixel1_ms": p.pixel1_ms, "source": p.source, "confirmed": p.confirmed })
                })
                .collect();
            json!({
                "name": e.name, "summary": e.summary, "input": e.input, "spec": e.text,
                "params": cost.as_ref().map(|c| c.params), "macs": cost.as_ref().map(|c| c.macs),
                "published": published })
        })
        .collect();
    out.print(&value, || {
        let millions = |v: Option<u64>| v.map_or("-".into(), |v| format!("{:.2}", v as f64 / 1e6));
        let figure = |v: Option<f64>| v.map_or("-".into(), |v| v.to_string());
        let rows: Vec<Vec<String>> = entries
            .iter()
            .map(|e| {
                let c = exact(e);
                let p = e.published.iter().find(|p| p.width == 1.0 && p.input == e.input);
                vec![
                    e.name.into(),
                    e.input.to_string(),
                    millions(c.as_ref().map(|c| c.params)),
                    millions(c.as_ref().map(|c| c.macs)),
                    figure(p.and_then(|p| p.params_m)),
                    figure(p.and_then(|p| p.macs_m)),
                    figure(p.and_then(|p| p.top1_percent)),
                    figure(p.and_then(|p| p.pixel1_ms)),
                ]
            })
            .collect();
        format!(
            "{}\n\nparams and macs in millions, exact at 3 channels and 1000 classes; published figures are of \
             ImageNet and a Pixel 1\n(sources: `mnas zoo --json`). Widths and sizes: mnasnet-a1-0.5x@160.",
            table(
                &["network", "px", "params", "macs", "published params", "macs", "top-1 %", "pixel 1 ms"],
                &rows
            )
        )
    });
    Ok(())
}

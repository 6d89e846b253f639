//! `mnas space S`.

use mnas_net::{Purpose, Shape, cost, stream};
use mnas_search::Space;
use serde_json::json;

use crate::cli::SpaceArgs;
use crate::commands::cost::thousands;
use crate::exit::CommandResult;
use crate::output::{Output, table};
use crate::plan;

/// Describes a space, or lists the built-in ones.
pub(crate) fn run(args: &SpaceArgs, out: Output) -> CommandResult {
    match &args.space {
        Some(name) => describe(&plan::space(name)?, args, out),
        None => list(out),
    }
}

fn list(out: Output) -> CommandResult {
    let spaces: Vec<Space> = Space::builtin_names()
        .iter()
        .filter_map(|n| Space::builtin(n))
        .collect();
    let value: Vec<_> = spaces
        .iter()
        .map(|s| json!({ "name": s.name(), "size_log10": s.size_log10(), "decisions": s.decisions().len() }))
        .collect();
    out.print(&value, || {
        let rows: Vec<Vec<String>> = spaces
            .iter()
            .map(|s| {
                vec![
                    s.name().into(),
                    s.decisions().len().to_string(),
                    format!("10^{:.1}", s.size_log10()),
                ]
            })
            .collect();
        table(&["space", "decisions", "size"], &rows)
    });
    Ok(())
}

/// Side of the images that a space is made for, in pixels, where nobody says another.
pub(crate) fn side_of(space: &Space) -> usize {
    let large = ["mnasnet", "proxyless", "nasnet"].contains(&space.name());
    if large { 224 } else { 32 }
}

fn describe(space: &Space, args: &SpaceArgs, out: Output) -> CommandResult {
    let side = args.image_size.unwrap_or(side_of(space));
    let mut random = stream(args.seed, 0, Purpose::Sample);
    let mut costs = vec![];
    let mut example = None;
    for _ in 0..args.samples {
        let spec = space
            .decode(&space.sample(&mut random))
            .map_err(|e| crate::exit::CommandError::usage(format!("{}: {e}", space.name())))?;
        // A sample whose strides don't fit this image size has no cost to summarise.
        if let Ok(graph) = spec.graph(Shape::new(side, side, 3), 10) {
            let c = cost(&graph);
            costs.push((c.macs, c.params));
        }
        example.get_or_insert(spec);
    }
    let quantiles = |mut values: Vec<u64>| {
        values.sort_unstable();
        let at = |q: f64| {
            values
                .get(((values.len().max(1) - 1) as f64 * q) as usize)
                .copied()
        };
        [0.0, 0.25, 0.5, 0.75, 1.0].map(at)
    };
    let macs = quantiles(costs.iter().map(|c| c.0).collect());
    let params = quantiles(costs.iter().map(|c| c.1).collect());
    let example = example.map(|e| e.to_string()).unwrap_or_default();
    let value = json!({
        "name": space.name(), "size_log10": space.size_log10(), "image_size": side,
        "decisions": space.decisions().iter().map(|d| json!({ "name": d.name, "choices": d.choices })).collect::<Vec<_>>(),
        "macs": macs, "params": params, "example": example, "text": space.text() });
    out.print(&value, || {
        let decisions: Vec<Vec<String>> =
            space.decisions().iter().map(|d| vec![d.name.clone(), d.choices.join(", ")]).collect();
        let row = |name: &str, q: [Option<u64>; 5]| {
            let cells = q.map(|v| v.map(thousands).unwrap_or_default());
            [name.to_string()].into_iter().chain(cells).collect::<Vec<String>>()
        };
        format!(
            "{}: {} decisions, 10^{:.1} networks\n\n{}\n\ncost of {} samples at {side} px\n{}\n\nan example\n{example}",
            space.name(),
            space.decisions().len(),
            space.size_log10(),
            table(&["decision", "choices"], &decisions),
            costs.len(),
            table(&["", "min", "25 %", "median", "75 %", "max"], &[row("macs", macs), row("params", params)])
        )
    });
    Ok(())
}

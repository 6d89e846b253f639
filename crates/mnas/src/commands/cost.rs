//! `mnas cost NET`.

use mnas_net::{Shape, cost};
use serde_json::json;

use crate::cli::CostArgs;
use crate::exit::CommandResult;
use crate::net::Net;
use crate::output::{Output, table};

/// Prints a network's exact cost.
pub(crate) fn run(args: &CostArgs, out: Output) -> CommandResult {
    let net = Net::resolve(&args.net)?;
    let (input, classes) = match &net.facts {
        Some(facts) => (facts.input, facts.classes.len()),
        None => {
            let side = args.image_size.or(net.image_size).unwrap_or(224);
            (Shape::new(side, side, args.channels), args.classes)
        }
    };
    let cost = cost(&net.graph(input, classes)?);
    let value = json!({
        "name": net.name, "spec": net.spec.to_string(), "input": input.to_string(), "classes": classes,
        "params": cost.params, "macs": cost.macs,
        "activation_bytes_peak": cost.activation_bytes_peak, "layers": cost.layers });
    out.print(&value, || {
        let mut text = format!(
            "{} at {input}, {classes} classes\n  params                 {:>13}\n  multiply-accumulates   {:>13}\n  \
             peak activation bytes  {:>13}",
            net.name,
            thousands(cost.params),
            thousands(cost.macs),
            thousands(cost.activation_bytes_peak)
        );
        if args.layers {
            let rows: Vec<Vec<String>> = cost
                .layers
                .iter()
                .map(|l| {
                    let numbers = [thousands(l.params), thousands(l.macs)];
                    [l.name.clone(), l.op.to_string(), l.output.clone()].into_iter().chain(numbers).collect()
                })
                .collect();
            text += "\n\n";
            text += &table(&["layer", "op", "output", "params", "macs"], &rows);
        }
        text
    });
    Ok(())
}

/// A count with commas, as `311,579,072`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|g| std::str::from_utf8(g).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        assert_eq!(super::thousands(311_579_072), "311,579,072");
        assert_eq!(super::thousands(999), "999");
    }
}

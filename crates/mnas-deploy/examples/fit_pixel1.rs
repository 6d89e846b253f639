//! Refits the model of the device `pixel1` to its figures and prints how well it holds; `--write`
//! also writes the model.
//!
//!     cargo run -p mnas-deploy --example fit_pixel1 -- --write

#[path = "../tests/pixel1/fit.rs"]
mod fit;

use fit::{Figures, errors, file, fit, macs_only, mean_absolute, network};
use mnas_deploy::Observation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let figures = Figures::read();
    let fitted = fit(&figures);
    let predict = |graph: &mnas_net::Graph| {
        fitted
            .model
            .milliseconds(&Observation::of_network(graph, 1.0).features)
    };
    println!("{}", file(&fitted.model));
    println!("network | published ms | predicted ms | error | MACs alone");
    let sets = [
        &figures.a1,
        &figures.kept_out,
        &figures.references,
        &figures.others,
    ];
    for set in sets {
        let macs = errors(set, macs_only(&figures));
        for (name, ms) in set {
            let predicted = predict(&network(name));
            println!(
                "{name} | {ms} | {predicted:.1} | {:+.1} % | {:+.1} %",
                100.0 * (predicted / ms - 1.0),
                100.0 * macs[name]
            );
        }
    }
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    println!("leave-one-out, A1: {}", percent(fitted.leave_one_out));
    println!(
        "kept out: {} (MACs alone {})",
        percent(mean_absolute(&fitted.kept_out)),
        percent(mean_absolute(&fitted.macs_kept_out))
    );
    println!("references: {}", percent(mean_absolute(&fitted.references)));
    println!(
        "two sources of blocks differ by {:.2} to {:.2} times",
        figures.disagreement.ratio_min, figures.disagreement.ratio_max
    );
    if std::env::args().any(|a| a == "--write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/device/pixel1/model.toml");
        std::fs::write(path, file(&fitted.model))?;
    }
    Ok(())
}

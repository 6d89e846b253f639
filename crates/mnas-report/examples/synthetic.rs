//! Writes the report of a made-up study: `cargo run -p mnas-report --example synthetic -- FOLDER
//! [TRIALS]`. Its numbers are drawn, not measured; it shows what a report looks like.

use std::path::PathBuf;

#[path = "../src/sample.rs"]
mod sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: synthetic FOLDER [TRIALS]")?);
    let trials: u64 = arguments.next().map_or(Ok(120), |n| n.parse())?;
    let study = sample::Sample {
        trials,
        mishaps: true,
        finals: trials >= 20,
        seed: 7,
    }
    .study();
    let view = mnas_report::View::of(&study);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("report.html"), mnas_report::html(&view))?;
    std::fs::write(
        folder.join("report.json"),
        serde_json::to_string_pretty(&view)?,
    )?;
    for (name, svg) in mnas_report::figures(&view) {
        std::fs::write(folder.join(name), svg)?;
    }
    print!("{}", mnas_report::text(&view));
    Ok(())
}

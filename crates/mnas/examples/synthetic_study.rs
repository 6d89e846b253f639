//! Writes a made-up study to look at: `cargo run -p mnas --example synthetic_study -- FOLDER
//! [TRIALS]`, then `mnas dashboard FOLDER`. Its numbers are drawn, not measured.

use std::path::PathBuf;

use mnas_study::{Sqlite, Store, StudyDir};

#[allow(dead_code, reason = "each program uses its part")]
#[path = "../../mnas-report/src/sample.rs"]
mod sample;

/// Events stored at a time.
const EVENTS: usize = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: synthetic_study FOLDER [TRIALS]";
    let folder = PathBuf::from(arguments.next().ok_or(usage)?);
    let trials: u64 = arguments.next().map_or(Ok(120), |n| n.parse())?;
    let events = sample::Sample {
        trials,
        mishaps: true,
        finals: trials >= 20,
        seed: 7,
    }
    .events();
    std::fs::create_dir_all(&folder)?;
    let mut store = Sqlite::create(&StudyDir::new(&folder).store())?;
    for (i, some) in events.chunks(EVENTS).enumerate() {
        store.append(1_700_000_000_000 + 1_000 * i as u64, some)?;
    }
    println!("{} events in {}", events.len(), folder.display());
    Ok(())
}

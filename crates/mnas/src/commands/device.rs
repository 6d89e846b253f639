//! `mnas device ...`.

mod calibrate;

use serde_json::json;

use crate::cli::DeviceCommand;
use crate::exit::CommandResult;
use crate::output::{Output, table};
use crate::registry::Registry;

/// Runs `mnas device ...`.
pub(crate) fn run(command: &DeviceCommand, registry: &Registry, out: Output) -> CommandResult {
    match command {
        DeviceCommand::List => list(registry, out),
        DeviceCommand::Calibrate(args) => calibrate::run(args, registry, out),
    }
}

fn list(registry: &Registry, out: Output) -> CommandResult {
    let found = registry.present();
    let kinds: Vec<&str> = registry.devices().iter().map(|k| k.describe()).collect();
    out.print(&json!({ "found": found, "kinds": kinds }), || {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|d| {
                let hash = d
                    .library_hash
                    .clone()
                    .unwrap_or_else(|| "compiled in".into());
                vec![d.name.clone(), d.engine.clone(), d.device.clone(), hash]
            })
            .collect();
        format!(
            "found here\n{}\n\nkinds of devices\n  {}",
            table(&["name", "engine", "device", "library"], &rows),
            kinds.join("\n  ")
        )
    });
    Ok(())
}

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
    let attached = registry.attached();
    let kinds: Vec<&str> = registry.devices().iter().map(|k| k.describe()).collect();
    out.print(
        &json!({ "found": found, "attached": attached, "kinds": kinds }),
        || {
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
            let phones: Vec<Vec<String>> = attached
                .iter()
                .map(|a| vec![a.name.clone(), a.device.clone(), a.state.clone()])
                .collect();
            let phones = if phones.is_empty() {
                String::new()
            } else {
                let rows = table(&["name", "device", "state"], &phones);
                format!("\n\nattached\n{rows}")
            };
            format!(
                "found here\n{}{phones}\n\nkinds of devices\n  {}",
                table(&["name", "engine", "device", "library"], &rows),
                kinds.join("\n  ")
            )
        },
    );
    Ok(())
}

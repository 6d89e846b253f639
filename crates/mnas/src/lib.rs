//! The command `mnas`, as a library: [`main_with`] runs it with one's own devices beside the built-in
//! ones.
//!
//! ```no_run
//! # fn my_npu() -> &'static dyn mnas_deploy::DeviceKind { mnas_deploy::DEVICES[0] }
//! fn main() -> std::process::ExitCode {
//!     mnas::main_with(mnas::Registry::builtin().with_device(my_npu()))
//! }
//! ```

mod cli;
mod commands;
mod config;
mod engines;
mod exit;
mod figures;
mod files;
#[cfg(feature = "dashboard")]
mod follow;
mod images;
mod narrate;
mod net;
mod output;
mod plan;
mod registry;
mod stop;

use std::process::ExitCode;

use clap::Parser;

pub use registry::Registry;

use cli::{Cli, Command};

/// Runs the command line of this process. Worker processes run the same program, so they know the
/// same devices.
pub fn main_with(registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // --help and --version come this way too, with exit code 0; the rest is usage: 2.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    log(cli.verbose);
    if let Command::Worker(args) = &cli.command {
        return match (&args.study, &args.bundle) {
            (Some(study), Some(bundle)) => commands::worker::bundle(study, bundle),
            _ => mnas_study::worker_main(registry.devices()),
        };
    }
    match commands::run(&cli, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => e.report(cli.json),
    }
}

/// Logs on standard error: warnings, or more by `-v`; `MNAS_LOG` overrides, as `mnas_study=debug`.
fn log(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_env("MNAS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

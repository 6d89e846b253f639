//! The subcommands: each reads its arguments, calls the crate that knows, and prints.

use crate::cli::{Cli, Command};
use crate::exit::CommandResult;
use crate::output::Output;
use crate::registry::Registry;

mod agent;
mod compare;
pub(crate) mod cost;
#[cfg(feature = "dashboard")]
mod dashboard;
mod device;
mod eval;
mod export;
mod export_study;
mod import;
mod measure;
mod predict;
mod proxy_check;
mod report;
mod search;
pub(crate) mod space;
mod train;
pub(crate) mod worker;
mod zoo;

/// Runs what was asked for. The worker is apart: its exit code is its own.
pub(crate) fn run(cli: &Cli, registry: &Registry) -> CommandResult {
    let out = Output { json: cli.json };
    match &cli.command {
        Command::Search(args) => search::search(args, registry, out),
        Command::Resume(args) => search::resume(args, out),
        Command::Report(args) => report::run(args, out),
        #[cfg(feature = "dashboard")]
        Command::Dashboard(args) => dashboard::run(args, out),
        Command::Compare(args) => compare::run(args, out),
        Command::ExportStudy(args) => export_study::run(args, out),
        Command::Train(args) => train::run(args, out),
        Command::Eval(args) => eval::run(args, out),
        Command::Predict(args) => predict::run(args, out),
        Command::Export(args) => export::run(args, out),
        Command::Import(args) => import::run(args, out),
        Command::Cost(args) => cost::run(args, out),
        Command::Measure(args) => measure::run(args, registry, out),
        Command::Device(command) => device::run(command, registry, out),
        Command::Zoo => zoo::run(out),
        Command::ProxyCheck(args) => proxy_check::run(args, registry, out),
        Command::Space(args) => space::run(args, out),
        Command::Schema => {
            out.print(&crate::config::Config::schema(), || {
                serde_json::to_string_pretty(&crate::config::Config::schema()).unwrap_or_default()
            });
            Ok(())
        }
        Command::Agent(args) => agent::run(args),
        Command::Worker(_) => Ok(()),
    }
}

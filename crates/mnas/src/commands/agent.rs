//! `mnas agent`: what a phone or board runs.

use std::io::{stdin, stdout};

use crate::cli::AgentArgs;
use crate::exit::{Blame, Blamed, CommandResult};

/// Answers requests on standard input until it ends.
pub(crate) fn run(args: &AgentArgs) -> CommandResult {
    mnas_deploy::serve_agent(args.engine, stdin().lock(), stdout().lock()).blame(Blame::Device)
}

//! `mnas dashboard DIR`.

use std::io::Write;
use std::net::SocketAddr;

use mnas_report::{Dashboard, Options};
use serde::Serialize;

use crate::cli::DashboardArgs;
use crate::exit::{Blame, Blamed, CommandResult};
use crate::follow::Followed;
use crate::output::Output;
use crate::stop::stop_flag;

/// What a program that starts the dashboard needs to know of it.
#[derive(Debug, Serialize)]
struct Listening {
    url: String,
    address: SocketAddr,
}

/// Serves the study until Ctrl-C.
pub(crate) fn run(args: &DashboardArgs, out: Output) -> CommandResult {
    let study = Followed::open(&args.dir)?;
    let options = Options {
        address: SocketAddr::new(args.host, args.port),
        token: None,
    };
    let dashboard = Dashboard::bind(options, Box::new(study))
        .map_err(anyhow::Error::from)
        .blame(Blame::Usage)?;
    let listening = Listening {
        url: dashboard.url(),
        address: dashboard.address(),
    };
    out.print(&listening, || {
        let who = match listening.address.ip().is_loopback() {
            true => "Only this machine can open it; the token lets its owner stop the search and promote trials.",
            false => "Whoever can reach this address and knows the token can read the study, unencrypted.",
        };
        format!("dashboard of {}: {}\n{who} Ctrl-C ends it; the search goes on.", args.dir.display(), listening.url)
    });
    // Whoever reads the address from a pipe waits for it.
    let _ = std::io::stdout().flush();
    let stop = stop_flag();
    dashboard.serve(|| stop.requested());
    Ok(())
}

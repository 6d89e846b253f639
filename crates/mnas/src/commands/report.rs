//! `mnas report DIR`.

use std::path::Path;

use mnas_report::View;
use mnas_study::StudyDir;

use crate::cli::ReportArgs;
use crate::exit::{Blame, Blamed, CommandResult};
use crate::files::write_atomically;
use crate::output::Output;

/// Writes `report.html` and prints the summary, or the study as JSON.
pub(crate) fn run(args: &ReportArgs, out: Output) -> CommandResult {
    let view = View::of(&mnas_study::load(&args.dir)?);
    write(&args.dir, &view)?;
    if let Some(folder) = &args.figures {
        std::fs::create_dir_all(folder)
            .map_err(|e| anyhow::anyhow!("{}: {e}", folder.display()))
            .blame(Blame::Store)?;
        for (name, svg) in mnas_report::figures(&view) {
            write_atomically(&folder.join(name), svg.as_bytes())?;
        }
    }
    out.print(&view, || {
        format!(
            "{}\nreport: {}",
            mnas_report::text(&view),
            StudyDir::new(&args.dir).report().display()
        )
    });
    Ok(())
}

/// Writes a study's page.
pub(crate) fn write(dir: &Path, view: &View) -> CommandResult {
    write_atomically(
        &StudyDir::new(dir).report(),
        mnas_report::html(view).as_bytes(),
    )
}

//! `mnas report DIR`.

use std::path::Path;

use mnas_report::View;
use mnas_study::StudyDir;

use crate::cli::ReportArgs;
use crate::exit::CommandResult;
use crate::figures;
use crate::files::write_atomically;
use crate::output::Output;

/// Writes `report.html` and prints the summary, or the study as JSON.
pub(crate) fn run(args: &ReportArgs, out: Output) -> CommandResult {
    let view = View::of(&mnas_study::load(&args.dir)?);
    write(&args.dir, &view)?;
    let mut written = format!("report: {}", StudyDir::new(&args.dir).report().display());
    if args.markdown {
        let path = args.dir.join("report.md");
        write_atomically(&path, mnas_report::markdown(&view).as_bytes())?;
        written += &format!("\nMarkdown: {}", path.display());
    }
    if let Some(folder) = &args.figures {
        let what = figures::write(folder, &view)?;
        written += &format!("\nfigures: {what} in {}", folder.display());
    }
    out.print(&view, || format!("{}\n{written}", mnas_report::text(&view)));
    Ok(())
}

/// Writes a study's page.
pub(crate) fn write(dir: &Path, view: &View) -> CommandResult {
    write_atomically(
        &StudyDir::new(dir).report(),
        mnas_report::html(view).as_bytes(),
    )
}

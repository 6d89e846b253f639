//! `mnas export-study DIR --to WHERE`.

use mnas_study::interchange::{Destination, InterchangeError, TableFormat, export};

use crate::cli::ExportStudyArgs;
use crate::exit::{Blame, CommandError, CommandResult, blame_of};
use crate::output::Output;

/// Exports a study's trials.
pub(crate) fn run(args: &ExportStudyArgs, out: Output) -> CommandResult {
    let to: Destination = args.to.parse().map_err(error)?;
    let done = export(&args.dir, &to, args.replace).map_err(error)?;
    out.print(&done, || {
        let mut text = format!("{} trials: {}", done.trials, done.to);
        if done.kept > 0 {
            text += &format!(" ({} were there already)", done.kept);
        }
        if matches!(to, Destination::File(TableFormat::Optuna, _)) {
            text += &format!("\nlook at it: optuna-dashboard sqlite:///{}", done.to);
        }
        text
    });
    Ok(())
}

fn error(e: InterchangeError) -> CommandError {
    let (blame, hint) = match &e {
        InterchangeError::Destination { .. } | InterchangeError::Url { .. } => (Blame::Usage, None),
        InterchangeError::Exists { .. } => (
            Blame::Usage,
            Some("give another file, or --replace to write it anew"),
        ),
        InterchangeError::Study(study) => (blame_of(study), None),
        InterchangeError::Unreachable { .. } => (
            Blame::Store,
            Some("is the server running? `mlflow server` starts one on port 5000"),
        ),
        InterchangeError::Space(_)
        | InterchangeError::Write { .. }
        | InterchangeError::Refused { .. } => (Blame::Store, None),
    };
    let error = CommandError::new(blame, e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

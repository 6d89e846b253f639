//! `mnas compare DIR...`.

use std::path::{Path, PathBuf};

use mnas_report::{Comparison, Published, View};

use crate::cli::CompareArgs;
use crate::exit::{CommandError, CommandResult};
use crate::files::write_atomically;
use crate::output::Output;

/// Studies that marks and colours keep apart.
const STUDIES_MAX: usize = 30;

/// Prints the comparison, and writes its page where asked to.
pub(crate) fn run(args: &CompareArgs, out: Output) -> CommandResult {
    if args.dirs.len() > STUDIES_MAX {
        let n = args.dirs.len();
        return Err(CommandError::usage(format!(
            "{n} studies are too many to tell apart in one chart; compare {STUDIES_MAX} at most"
        )));
    }
    if args.dirs.len() < 2 && args.published.is_none() {
        return Err(CommandError::usage(
            "a study is compared with another (mnas compare DIR DIR) or with figures (--published FILE)",
        ));
    }
    let published = args.published.as_deref().map(published).transpose()?;
    let mut named = vec![];
    for dir in &args.dirs {
        let view = View::of(&mnas_study::load(dir)?);
        named.push((name(dir, &args.dirs), view));
    }
    let comparison = Comparison::of(&named, published);
    if let Some(path) = &args.html {
        write_atomically(path, mnas_report::compare_html(&comparison).as_bytes())?;
    }
    out.print(&comparison, || {
        let mut text = mnas_report::compare_text(&comparison);
        if let Some(path) = &args.html {
            text += &format!("\npage: {}", path.display());
        }
        text
    });
    Ok(())
}

/// A study's name: its folder's, or its whole path where another folder has the same.
fn name(dir: &Path, all: &[PathBuf]) -> String {
    let of = |dir: &Path| {
        std::path::absolute(dir)
            .ok()?
            .file_name()
            .map(ToOwned::to_owned)
    };
    let own = of(dir);
    match own {
        Some(own) if all.iter().filter(|d| of(d).as_ref() == Some(&own)).count() == 1 => {
            own.to_string_lossy().into_owned()
        }
        _ => dir.display().to_string(),
    }
}

fn published(path: &Path) -> Result<Published, CommandError> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|e| CommandError::usage(format!("{shown}: {e}")))?;
    let published: Published =
        toml::from_str(&text).map_err(|e| CommandError::usage(format!("{shown}: {e}")))?;
    match published.mistake() {
        Some(mistake) => Err(CommandError::usage(format!("{shown}: {mistake}"))),
        None => Ok(published),
    }
}

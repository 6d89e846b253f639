//! Opening data sets for commands: where decoded images are kept, progress, exit codes.

use std::cell::RefCell;
use std::path::PathBuf;

use mnas_train::{Data, OpenOptions};

use crate::exit::{Blame, Blamed, CommandError};
use crate::output::Progress;

/// Seed of the splits that are cut from data sets without a test split of their own. Fixed, so that
/// the same folder has the same test images in every study and command.
pub(crate) const SPLIT_SEED: u64 = 0;

/// Opens a data set, showing progress while its images are decoded.
pub(crate) fn open(
    source: &str,
    image_size: Option<usize>,
    progress: &mut Progress,
) -> Result<Data, CommandError> {
    let cache_dir = cache_dir();
    let shown = RefCell::new(progress);
    let options = OpenOptions {
        image_size,
        cache_dir: &cache_dir,
        seed: SPLIT_SEED,
        validation_fraction: None,
        progress: &|done, total| {
            shown
                .borrow_mut()
                .show("images", done, total, "decoded", None)
        },
    };
    let data = mnas_train::open(source, &options);
    shown.borrow().finish();
    let data = data.blame(Blame::Data)?;
    if data.meta.skipped > 0 {
        eprintln!("warning: {} broken image(s) left out", data.meta.skipped);
    }
    Ok(data)
}

/// Folder of decoded images, shared by studies: `$XDG_CACHE_HOME/mnas`, `~/.cache/mnas`, or the
/// system's temporary folder.
pub(crate) fn cache_dir() -> PathBuf {
    let env = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let base = env("XDG_CACHE_HOME")
        .or_else(|| env("HOME").map(|h| h.join(".cache")))
        .or_else(|| env("LOCALAPPDATA"))
        .unwrap_or_else(std::env::temp_dir);
    base.join("mnas")
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

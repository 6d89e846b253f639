//! Writing files of commands.

use std::path::Path;

use crate::exit::{Blame, CommandError};

/// Writes a file whole or not at all; a failure names it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    mnas_study::write_atomically(path, bytes).map_err(|e| CommandError {
        blame: Blame::Store,
        message: format!("{}: can't write: {e}", path.display()),
        hint: None,
    })
}

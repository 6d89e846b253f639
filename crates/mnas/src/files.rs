//! Writing files whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::exit::{Blame, CommandError};

/// Writes through a temporary file beside the target, which is renamed when complete, so that a
/// full disk or an interruption leaves the old file or none.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let write = || -> std::io::Result<()> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| CommandError {
        blame: Blame::Store,
        message: format!("{}: can't write: {e}", path.display()),
        hint: None,
    })
}

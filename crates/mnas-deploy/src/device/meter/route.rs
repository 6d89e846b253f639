//! How a measuring program is reached: started here, or on another machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{CommandError, Recovery};
use crate::export::ModelFile;

/// A way to a measuring program.
pub(crate) trait Route: Send {
    /// What messages call the program.
    fn label(&self) -> &Path;

    /// Opens the way where it isn't open: connects, and brings the program to where it runs.
    ///
    /// # Errors
    /// [`CommandError::Lost`] where nobody answers; others say what is missing.
    fn prepare(&mut self) -> Result<(), CommandError>;

    /// Starts the program: a local process whose standard input and output are the program's.
    fn command(&self) -> Command;

    /// Brings a model to where the program reads it; `sha256` names its contents.
    ///
    /// # Errors
    /// As [`Route::prepare`], or [`CommandError::Pass`].
    fn deliver(&mut self, file: &ModelFile, sha256: &str) -> Result<Delivered, CommandError>;

    /// Takes a model away again. A machine that can't be reached keeps it until the next time.
    fn remove(&mut self, delivered: Delivered);

    /// What the device is, where the way knows better than the program.
    fn device(&self) -> Option<String> {
        None
    }

    /// Where the device is after a failure; waits for one that has gone.
    fn recover(&mut self, _patience: Duration) -> Recovery {
        Recovery::Here
    }

    /// Whether the program is on another machine, which may be lost and whose replies have to
    /// name the model that was run.
    fn is_remote(&self) -> bool {
        false
    }
}

/// A model where the program reads it.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// Its path, as the program opens it.
    pub(crate) path: PathBuf,
    /// A file here that goes with this value.
    pub(crate) local: Option<NamedTempFile>,
}

/// A program on this machine.
pub(crate) struct Local {
    pub(crate) program: PathBuf,
}

impl Route for Local {
    fn label(&self) -> &Path {
        &self.program
    }

    fn prepare(&mut self) -> Result<(), CommandError> {
        Ok(())
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }

    fn deliver(&mut self, file: &ModelFile, _sha256: &str) -> Result<Delivered, CommandError> {
        let model = write_model(file).map_err(|source| CommandError::Pass {
            program: self.program.clone(),
            source,
        })?;
        Ok(Delivered {
            path: model.path().into(),
            local: Some(model),
        })
    }

    fn remove(&mut self, delivered: Delivered) {
        drop(delivered.local);
    }
}

/// The model in a temporary file that goes with the value.
pub(crate) fn write_model(file: &ModelFile) -> io::Result<NamedTempFile> {
    let suffix = format!(".{}", file.format.extension());
    let model = tempfile::Builder::new()
        .prefix("mnas-")
        .suffix(&suffix)
        .tempfile()?;
    std::fs::write(model.path(), &file.bytes)?;
    Ok(model)
}

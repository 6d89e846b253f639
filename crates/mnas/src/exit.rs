//! Errors as users meet them: one message, what to do about it, and the documented exit code.

use std::fmt;
use std::process::ExitCode;

use mnas_study::{Cause, StudyError};

/// Whose mistake it is, which is also the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// A mistake in mnas.
    Bug = 1,
    /// Wrong arguments or study file.
    Usage = 2,
    /// Missing or broken images, weights or networks read from files.
    Data = 3,
    /// A device or engine that can't be used.
    Device = 4,
    /// A study directory that can't be read or written.
    Store = 5,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Exit code.
    pub blame: Blame,
    /// What went wrong, where.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What a command returns.
pub(crate) type CommandResult = Result<(), CommandError>;

impl CommandError {
    /// An error with this exit code; the message is the error and its causes.
    pub(crate) fn new(blame: Blame, error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        let mut message = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // Causes that a message quotes already would read twice.
            if !message.contains(&text) {
                message = if message.is_empty() {
                    text
                } else {
                    format!("{message}: {text}")
                };
            }
        }
        Self {
            blame,
            message,
            hint: None,
        }
    }

    /// A usage error with a message of its own.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self {
            blame: Blame::Usage,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same error with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the error on standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let body = serde_json::json!({ "error": {
                "code": self.blame as u8, "message": self.message, "hint": self.hint } });
            eprintln!("{body}");
        } else {
            eprintln!("error: {}", self.message);
            if let Some(hint) = &self.hint {
                eprintln!("help: {hint}");
            }
        }
        ExitCode::from(self.blame as u8)
    }
}

/// Gives an error its exit code where it leaves a crate.
pub(crate) trait Blamed<T> {
    /// Turns the error into a [`CommandError`] with this exit code.
    fn blame(self, blame: Blame) -> Result<T, CommandError>;
}

impl<T, E: Into<anyhow::Error>> Blamed<T> for Result<T, E> {
    fn blame(self, blame: Blame) -> Result<T, CommandError> {
        self.map_err(|e| CommandError::new(blame, e))
    }
}

/// The exit code of a study's error.
pub(crate) fn blame_of(error: &StudyError) -> Blame {
    match error.cause() {
        Cause::Plan => Blame::Usage,
        Cause::Data => Blame::Data,
        Cause::Device => Blame::Device,
        Cause::Store => Blame::Store,
        Cause::Program => Blame::Bug,
    }
}

impl From<StudyError> for CommandError {
    fn from(error: StudyError) -> Self {
        Self::new(blame_of(&error), error)
    }
}

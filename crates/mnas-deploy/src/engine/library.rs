//! Finding the shared library of an engine.
//!
//! In order: the file that the environment variable names; the folder of this program, where an
//! agent's bundle has it; the Python package, in the virtual environment that is active
//! (`VIRTUAL_ENV`) or lies in `.venv` of the current folder; the folders in which the system's
//! loader looks. A named file that is missing is an error, not a reason to look on.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

#[cfg(any(feature = "litert", feature = "ort"))]
pub(super) mod find;

/// A library that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// No library where one is looked for.
    #[error(
        "no {library} found: `pip install {package}` into the active virtual environment or into .venv here, or set {variable} to the library file"
    )]
    Missing {
        /// What the library is called.
        library: &'static str,
        /// The Python package that has it.
        package: &'static str,
        /// The environment variable that names a file.
        variable: &'static str,
    },
    /// The environment variable names a file that isn't there.
    #[error("{variable} names {}, which is no file", .path.display())]
    NoFile {
        /// The environment variable.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
    },
    /// The library exists and can't be opened.
    #[error("can't open {}: {detail}", .path.display())]
    Open {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        detail: String,
    },
    /// A function that the library lacks.
    #[error("{} has no function {symbol}; is it the library of the engine?", .path.display())]
    Symbol {
        /// The library.
        path: PathBuf,
        /// The function's name.
        symbol: &'static str,
    },
    /// A library whose version isn't told.
    #[error("can't tell the version of {}; set {variable} to it (as 2.3.0)", .path.display())]
    UnknownVersion {
        /// The library.
        path: PathBuf,
        /// The environment variable that states it.
        variable: &'static str,
    },
    /// A version whose calls are not known to this program.
    #[error("{} is version {version}; versions {supported} are supported", .path.display())]
    Version {
        /// The library.
        path: PathBuf,
        /// Its version.
        version: String,
        /// What is supported.
        supported: &'static str,
    },
    /// Another file was opened before; a process holds one library of an engine.
    #[error("{} is open already; a process can't use {} as well", .open.display(), .path.display())]
    Other {
        /// The library in use.
        open: PathBuf,
        /// The library asked for.
        path: PathBuf,
    },
}

/// First 16 hex digits of the sha256 of some bytes.
pub(crate) fn hash_bytes(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

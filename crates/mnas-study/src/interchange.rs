//! A study for the programs that people open results in: tables of its trials (CSV, JSON lines,
//! Parquet), a store that Optuna reads, and runs in MLflow. TensorBoard files are written while a
//! search runs; all here is written afterwards, or in between, from the store's events.

mod mlflow;
mod optuna;
mod parquet;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use mnas_search::SpaceError;

use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate::write_atomically;
use crate::view;

pub use table::{Column, Table, Values};

/// The file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Comma-separated values (RFC 4180), with a header.
    Csv,
    /// One JSON object per line and trial.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// A SQLite file in Optuna's own schema.
    Optuna,
}

impl TableFormat {
    /// Each format with its name, its file's ending and the file's name in a study's folder.
    const ALL: [(Self, &'static str, &'static str, &'static str); 4] = [
        (Self::Csv, "csv", "csv", "trials.csv"),
        (Self::Jsonl, "jsonl", "jsonl", "trials.jsonl"),
        (Self::Parquet, "parquet", "parquet", "trials.parquet"),
        (Self::Optuna, "optuna", "db", "optuna.db"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|f| f.0 == self).map_or("", |f| f.1)
    }
}

/// Where an export goes, as `--to` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file; without a path, one in the study's folder.
    File(TableFormat, Option<PathBuf>),
    /// An MLflow server, as `http://127.0.0.1:5000`.
    Mlflow(String),
}

impl FromStr for Destination {
    type Err = InterchangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(url) = text.strip_prefix("mlflow:") {
            return match url.starts_with("http://") {
                true => Ok(Self::Mlflow(url.trim_end_matches('/').into())),
                false => Err(InterchangeError::Url { url: url.into() }),
            };
        }
        let path = Path::new(text);
        let ending = path.extension().and_then(|e| e.to_str());
        let all = TableFormat::ALL.iter();
        let by_name = all.clone().find(|f| f.1 == text);
        let by_ending = all.clone().find(|f| Some(f.2) == ending);
        match (by_name, by_ending) {
            (Some(format), _) => Ok(Self::File(format.0, None)),
            (None, Some(format)) => Ok(Self::File(format.0, Some(path.into()))),
            (None, None) => Err(InterchangeError::Destination { text: text.into() }),
        }
    }
}

/// Why a study can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// A destination that names no format.
    #[error(
        "{text:?} names no format: give csv, jsonl, parquet or optuna, a file that ends in .csv, .jsonl, .parquet or .db, or mlflow:URL"
    )]
    Destination {
        /// What was given.
        text: String,
    },
    /// An address that can't be reached from here.
    #[error(
        "{url:?} isn't of the form http://HOST:PORT (https isn't supported; go through a tunnel or a proxy on this machine)"
    )]
    Url {
        /// What was given.
        url: String,
    },
    /// A store that another program may have gone on with.
    #[error("{path} exists, and may hold trials that Optuna has added")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The study can't be read.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The stored space can't be read, so that decisions have no names.
    #[error("the study's search space can't be read: {0}")]
    Space(#[from] SpaceError),
    /// The file can't be written.
    #[error("{path}: can't write: {message}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was reported.
        message: String,
    },
    /// The server can't be reached.
    #[error("{url}: {message}")]
    Unreachable {
        /// The address.
        url: String,
        /// What was reported.
        message: String,
    },
    /// The server refuses.
    #[error("{url} answers {status}: {message}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Trials written.
    pub trials: u64,
    /// Trials that were there already and are left alone (MLflow).
    pub kept: u64,
    /// The file, or the page that shows it.
    pub to: String,
}

/// Exports the study in `dir` as it stands, also while a search runs on it.
///
/// Files are written whole or not at all. A table replaces the one before it; an Optuna store only
/// where `replace` says so, since Optuna may have added trials to it.
///
/// # Errors
/// [`InterchangeError`].
pub fn export(dir: &Path, to: &Destination, replace: bool) -> Result<Exported, InterchangeError> {
    let folder = StudyDir::new(dir);
    let store = view::open_store(dir).map_err(StudyError::from);
    let events = store?.read_from(1).map_err(StudyError::from)?;
    let study = view::fold(&events)?;
    let table = Table::of(&study, &events)?;
    let done = |to: String| Exported {
        trials: table.rows() as u64,
        kept: 0,
        to,
    };
    let (format, path) = match to {
        Destination::Mlflow(url) => return mlflow::export(url, &folder.name(), &study, &table),
        Destination::File(format, path) => (*format, path.clone()),
    };
    let named = TableFormat::ALL.iter().find(|f| f.0 == format);
    let path = path.unwrap_or_else(|| dir.join(named.map_or("trials", |f| f.3)));
    // A path mistyped should be told of, not made.
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(missing) = parent.filter(|p| !p.is_dir()) {
        return Err(write(
            &path,
            format!("there is no folder {}", missing.display()),
        ));
    }
    let bytes = match format {
        TableFormat::Csv => text::csv(&table).into_bytes(),
        TableFormat::Jsonl => text::json_lines(&table).into_bytes(),
        TableFormat::Parquet => parquet::parquet(&table).map_err(|e| write(&path, e))?,
        TableFormat::Optuna => {
            if path.exists() && !replace {
                return Err(InterchangeError::Exists { path });
            }
            optuna::write(&path, &folder.name(), &study, &table)?;
            return Ok(done(path.display().to_string()));
        }
    };
    write_atomically(&path, &bytes).map_err(|e| write(&path, e))?;
    Ok(done(path.display().to_string()))
}

fn write(path: &Path, error: impl std::fmt::Display) -> InterchangeError {
    InterchangeError::Write {
        path: path.into(),
        message: error.to_string(),
    }
}

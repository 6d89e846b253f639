//! How jobs get to workers on other machines and answers come back: a seam for a shared folder and
//! a simulation. Nothing here depends on the cluster's logs, which die with a node.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluate::write_atomically;
use crate::executor::{Attempt, Verdict};
use crate::job::JobId;

/// Attempts that one job of the cluster makes, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The job's name in the cluster.
    pub name: String,
    /// The folder that relative paths in the jobs start from.
    pub folder: PathBuf,
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

/// What became of one attempt of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The bundle.
    pub bundle: String,
    /// The attempt's place in it.
    pub index: usize,
    /// The attempt's job.
    pub id: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// What happened.
    pub verdict: Verdict,
    /// Seconds that the attempt took.
    pub seconds: f64,
}

/// Why a mailbox can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A bundle or an answer that isn't the JSON expected.
    #[error("{place}: not written by this version of mnas: {source}")]
    Json {
        /// Where it lies.
        place: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Where bundles and answers lie. The controller posts, reads answers and clears; workers fetch
/// and answer.
pub trait Mailbox: Send {
    /// How a worker on another machine finds it: the value of `mnas worker --study`.
    fn address(&self) -> String;

    /// Keeps a bundle for its worker. Once this returns it outlives the process.
    ///
    /// # Errors
    /// [`MailError`].
    fn post(&mut self, bundle: &Bundle) -> Result<(), MailError>;

    /// All bundles kept.
    ///
    /// # Errors
    /// [`MailError`].
    fn bundles(&mut self) -> Result<Vec<Bundle>, MailError>;

    /// A bundle; `None` where it isn't wanted any more.
    ///
    /// # Errors
    /// [`MailError`].
    fn fetch(&mut self, name: &str) -> Result<Option<Bundle>, MailError>;

    /// Drops a bundle. Its answers stay.
    ///
    /// # Errors
    /// [`MailError`].
    fn forget(&mut self, name: &str) -> Result<(), MailError>;

    /// Keeps an answer, whole or not at all. Of two to one attempt, one stays.
    ///
    /// # Errors
    /// [`MailError`].
    fn answer(&mut self, answer: &Answer) -> Result<(), MailError>;

    /// All answers kept, those left out whose bundle and place are `known`.
    ///
    /// # Errors
    /// [`MailError`].
    fn answers(&mut self, known: &dyn Fn(&str, usize) -> bool) -> Result<Vec<Answer>, MailError>;

    /// Drops an answer.
    ///
    /// # Errors
    /// [`MailError`].
    fn clear(&mut self, bundle: &str, index: usize) -> Result<(), MailError>;
}

/// A mailbox in a folder that all machines share: a file per bundle and per answer, each written
/// whole under its final name.
#[derive(Debug, Clone)]
pub struct FolderMailbox {
    study: PathBuf,
    bundles: PathBuf,
    answers: PathBuf,
}

impl FolderMailbox {
    /// The mailbox of the study in a folder, which should be absolute where workers run elsewhere.
    pub fn of(study: &Path) -> Self {
        let jobs = study.join("jobs");
        Self {
            study: study.into(),
            answers: jobs.join("answers"),
            bundles: jobs,
        }
    }

    fn bundle_path(&self, name: &str) -> PathBuf {
        self.bundles.join(format!("{name}.json"))
    }

    fn answer_path(&self, bundle: &str, index: usize) -> PathBuf {
        self.answers.join(format!("{bundle}.{index}.json"))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> MailError {
    let path = path.to_path_buf();
    |source| MailError::Io { path, source }
}

fn encode(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, MailError> {
    serde_json::to_vec(value).map_err(|source| MailError::Json {
        place: path.display().to_string(),
        source,
    })
}

/// A file's value; `None` where there is no such file.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, MailError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(path)(e)),
    };
    let value = serde_json::from_slice(&bytes).map_err(|source| MailError::Json {
        place: path.display().to_string(),
        source,
    })?;
    Ok(Some(value))
}

/// Stems of the `.json` files of a folder, in order; none where there is no folder.
fn stems(folder: &Path) -> Result<Vec<String>, MailError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(io_error(folder)(e)),
    };
    let mut stems = vec![];
    for entry in entries {
        let name = entry.map_err(io_error(folder))?.file_name();
        stems.extend(
            name.to_string_lossy()
                .strip_suffix(".json")
                .map(String::from),
        );
    }
    stems.sort();
    Ok(stems)
}

fn remove(path: &Path) -> Result<(), MailError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(path)(e)),
        _ => Ok(()),
    }
}

impl Mailbox for FolderMailbox {
    fn address(&self) -> String {
        self.study.display().to_string()
    }

    fn post(&mut self, bundle: &Bundle) -> Result<(), MailError> {
        let path = self.bundle_path(&bundle.name);
        write_atomically(&path, &encode(&path, bundle)?).map_err(io_error(&path))
    }

    fn bundles(&mut self) -> Result<Vec<Bundle>, MailError> {
        let stems = stems(&self.bundles)?;
        let read = stems.iter().map(|s| read(&self.bundle_path(s)));
        read.filter_map(Result::transpose).collect()
    }

    fn fetch(&mut self, name: &str) -> Result<Option<Bundle>, MailError> {
        read(&self.bundle_path(name))
    }

    fn forget(&mut self, name: &str) -> Result<(), MailError> {
        remove(&self.bundle_path(name))
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), MailError> {
        let path = self.answer_path(&answer.bundle, answer.index);
        if path.exists() {
            return Ok(());
        }
        write_atomically(&path, &encode(&path, answer)?).map_err(io_error(&path))
    }

    fn answers(&mut self, known: &dyn Fn(&str, usize) -> bool) -> Result<Vec<Answer>, MailError> {
        let mut answers = vec![];
        for stem in stems(&self.answers)? {
            let Some((bundle, index)) = stem.rsplit_once('.') else {
                continue;
            };
            let Ok(index) = index.parse() else { continue };
            if !known(bundle, index) {
                answers.extend(read::<Answer>(&self.answer_path(bundle, index))?);
            }
        }
        Ok(answers)
    }

    fn clear(&mut self, bundle: &str, index: usize) -> Result<(), MailError> {
        remove(&self.answer_path(bundle, index))
    }
}

//! Where events are kept: an append-only list with times. A study is the fold of it.

mod memory;
mod sqlite;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use mnas_search::Event;

pub use memory::Memory;
pub use sqlite::Sqlite;

/// Controller snapshots kept; older ones are dropped, since resume needs the newest only and
/// replays every event where it is missing. An older [`Event::Observed`] reads back with an empty
/// snapshot.
pub const SNAPSHOTS_KEPT: usize = 3;

/// An event as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// When it was appended: milliseconds since 1970.
    pub time_ms: u64,
    /// The event.
    pub event: Event,
}

/// An event without its latency samples, for readers that only follow a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Light {
    /// The event; the samples of a trial's latency are left out.
    pub stored: Stored,
    /// How many samples were left out.
    pub samples: u32,
}

/// An append-only list of events. One process writes; any number read.
pub trait Store: Send {
    /// Appends all events or none, and returns the position of the last. Once this returns, the
    /// events outlive the process and the machine's power.
    ///
    /// # Errors
    /// A [`StoreError`]; none of the events is stored then. [`StoreError::Conflict`] where another
    /// process appended since this one last read or wrote.
    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError>;

    /// Events from position `seq` on, in order.
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::Body`] names an event that can't be read.
    fn read_from(&mut self, seq: u64) -> Result<Vec<Stored>, StoreError>;
}

/// Why a store can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file.
    #[error("{path} doesn't exist: the folder holds no study")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a file where a new study was to be made.
    #[error("{path} exists: the folder already holds a study")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder or file can't be written.
    #[error("{path} can't be written: check its permissions")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// No space is left.
    #[error("no space is left to write {path}; nothing that was stored is lost")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {message}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The database's words.
        message: String,
    },
    /// The file is something else.
    #[error("{path} is no study's store")]
    NotAStudy {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer mnas.
    #[error(
        "{path} has version {found} of the store; this mnas knows up to {known}: use a newer mnas"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Another process holds the file.
    #[error("{path} is in use by another process")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Another process appended.
    #[error("another process appended event {seq}: two searches run on one study")]
    Conflict {
        /// The position that both wanted.
        seq: u64,
    },
    /// The same trial and attempt was stored already.
    #[error("a {kind} event of {of} is stored already")]
    Duplicate {
        /// The event's kind.
        kind: &'static str,
        /// Which trial and attempt, or batch.
        of: String,
    },
    /// An event can't be read.
    #[error("event {seq} can't be read: {source}")]
    Body {
        /// Its position.
        seq: u64,
        /// Where and why.
        source: serde_json::Error,
    },
    /// An event can't be written.
    #[error("a {kind} event can't be written as JSON: {source}")]
    Encode {
        /// The event's kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Anything else that the database reports.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// The database's words.
        source: Box<sqlx::Error>,
    },
    /// The store's own thread could not be started.
    #[error("the store could not start: {0}")]
    Runtime(std::io::Error),
}

/// What a store indexes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: &'static str,
    pub(crate) trial: Option<u64>,
    pub(crate) attempt: Option<u32>,
    pub(crate) batch: Option<u32>,
}

impl Key {
    pub(crate) fn of(event: &Event) -> Self {
        let none = |kind| Self {
            kind,
            trial: None,
            attempt: None,
            batch: None,
        };
        match event {
            Event::Started { .. } => none("started"),
            Event::Target { .. } => none("target"),
            Event::Proposed { batch, .. } => Self {
                batch: Some(*batch),
                ..none("proposed")
            },
            Event::Retried { trial, attempt, .. } => Self {
                trial: Some(*trial),
                attempt: Some(*attempt),
                ..none("retried")
            },
            Event::Finished { trial, attempt, .. } => Self {
                trial: Some(*trial),
                attempt: Some(*attempt),
                ..none("finished")
            },
            Event::Observed { batch, .. } => Self {
                batch: Some(*batch),
                ..none("observed")
            },
            Event::Extended { .. } => none("extended"),
            Event::Stopped { .. } => none("stopped"),
            Event::FinalStarted { .. } => none("final_started"),
            Event::FinalDone { .. } => none("final_done"),
            Event::Ended { .. } => none("ended"),
        }
    }

    /// Whether two events of this key can't both be.
    pub(crate) fn unique(self) -> bool {
        self.trial.is_some() || self.batch.is_some()
    }

    pub(crate) fn duplicate(self) -> StoreError {
        let of = match (self.trial, self.batch) {
            (Some(trial), _) => format!("trial {trial}, attempt {}", self.attempt.unwrap_or(0)),
            (None, batch) => format!("batch {}", batch.unwrap_or(0)),
        };
        StoreError::Duplicate {
            kind: self.kind,
            of,
        }
    }
}

/// Takes the snapshot out of an event, where it has one.
pub(crate) fn split_snapshot(event: &Event) -> (Event, Option<String>) {
    let mut event = event.clone();
    let snapshot = match &mut event {
        Event::Observed { snapshot, .. } if !snapshot.is_empty() => Some(std::mem::take(snapshot)),
        _ => None,
    };
    (event, snapshot)
}

/// Puts a snapshot back.
pub(crate) fn join_snapshot(event: &mut Event, body: String) {
    if let Event::Observed { snapshot, .. } = event {
        *snapshot = body;
    }
}

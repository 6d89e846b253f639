//! Where events are kept: an append-only list with times. A study is the fold of it.

mod home;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod sql;
mod sqlite;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use mnas_search::Event;

pub(crate) use home::Home;
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::{Address, Postgres};
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
    /// Whether this process still is the one that writes. Quick, and asked often.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another has taken over.
    fn held(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

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

    /// At most `most` events from position `seq` on, in order, none with a controller's snapshot and,
    /// where a store is large, those of trials without their latency samples.
    ///
    /// # Errors
    /// As [`Store::read_from`].
    fn read_light(&mut self, seq: u64, most: u32) -> Result<Vec<Light>, StoreError> {
        let events = self.read_from(seq)?.into_iter().take(most as usize);
        let light = |stored| Light { stored, samples: 0 };
        Ok(events.map(light).collect())
    }

    /// The events of one trial and of its batch, in order.
    ///
    /// # Errors
    /// As [`Store::read_from`].
    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<Stored>, StoreError> {
        let mut events = self.read_from(1)?;
        events.retain(|stored| {
            let key = Key::of(&stored.event);
            match key.kind {
                "finished" | "retried" => key.trial == Some(trial),
                "proposed" | "observed" => key.batch == Some(batch),
                _ => false,
            }
        });
        Ok(events)
    }
}

/// Why a store can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no study.
    #[error("{place} doesn't exist: there is no study")]
    Missing {
        /// The file, or the database and the study in it.
        place: String,
    },
    /// There is a study where a new one was to be made.
    #[error("{place} exists: there is a study already")]
    Exists {
        /// The file, or the database and the study in it.
        place: String,
    },
    /// It can't be written.
    #[error("{place} can't be written: check its permissions")]
    ReadOnly {
        /// The file, or the database and the study in it.
        place: String,
    },
    /// No space is left.
    #[error("no space is left to write {place}; nothing that was stored is lost")]
    DiskFull {
        /// The file, or the database and the study in it.
        place: String,
    },
    /// The file is damaged.
    #[error("{place} is damaged: {message}")]
    Corrupt {
        /// The file, or the database and the study in it.
        place: String,
        /// The database's words.
        message: String,
    },
    /// The file is something else.
    #[error("{place} is no study's store")]
    NotAStudy {
        /// The file, or the database and the study in it.
        place: String,
    },
    /// The file was written by a newer mnas.
    #[error(
        "{place} has version {found} of the store; this mnas knows up to {known}: use a newer mnas"
    )]
    Newer {
        /// The file, or the database and the study in it.
        place: String,
        /// The file's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Another process holds the file.
    #[error("{place} is in use by another process")]
    Busy {
        /// The file, or the database and the study in it.
        place: String,
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
    #[error("{place}: {source}")]
    Database {
        /// The file, or the database and the study in it.
        place: String,
        /// The database's words.
        source: Box<sqlx::Error>,
    },
    /// An address that can't be one.
    #[error(
        "the store's address is none of PostgreSQL ({message}); write postgres://USER@HOST/DATABASE"
    )]
    Address {
        /// What is wrong with it. The address itself may hold a password.
        message: String,
    },
    /// The server can't be reached.
    #[error("{place} can't be reached: {message}; is PostgreSQL running and listening there?")]
    Unreachable {
        /// The database and the study in it.
        place: String,
        /// What was reported.
        message: String,
    },
    /// The server doesn't let one in.
    #[error("{place} refuses: {message}")]
    Denied {
        /// The database and the study in it.
        place: String,
        /// The server's words.
        message: String,
    },
    /// Another controller leads the study now.
    #[error("{place} is led by another search now ({leader}); this one ends")]
    Fenced {
        /// The database and the study in it.
        place: String,
        /// Which process leads.
        leader: String,
    },
    /// The study is in a database, and this program knows none.
    #[error(
        "{place} names a PostgreSQL database, which this mnas was built without: build it with --features postgres"
    )]
    NoPostgres {
        /// What names it.
        place: String,
    },
    /// The file that names a study's database can't be read.
    #[error("{place} can't be read: {source}")]
    Pointer {
        /// The file.
        place: String,
        /// The system's words.
        source: std::io::Error,
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

/// The first of these events that is stored already, or comes twice among them.
pub(crate) fn repeated(store: &mut dyn Store, events: &[Event]) -> Option<Key> {
    let stored = store.read_from(1).ok()?;
    let mut keys: Vec<Key> = stored.iter().map(|s| Key::of(&s.event)).collect();
    for key in events.iter().map(Key::of).filter(|k| k.unique()) {
        if keys.contains(&key) {
            return Some(key);
        }
        keys.push(key);
    }
    None
}

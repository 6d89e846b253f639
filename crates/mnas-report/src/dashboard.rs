//! A live view of a study in a browser.
//!
//! The server reads a study through [`StudyAccess`] and writes nothing itself; asking a search to
//! stop or to train a trial in full goes through the same seam. It listens on loopback unless told
//! otherwise, and every answer is drawn here: pages need no other host, and most of each works
//! without script.

mod guard;
mod ledger;
mod pages;
mod query;
mod routes;
mod server;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use mnas_search::Event;

pub use server::{Dashboard, ServeError};

/// What the dashboard asks of a study, wherever that is kept.
pub trait StudyAccess: Send {
    /// What people call it.
    fn name(&self) -> String;

    /// Some events that were not read before, in order; none when there is nothing new now.
    ///
    /// # Errors
    /// A sentence for a person; the dashboard shows it and asks again.
    fn read_new(&mut self) -> Result<Vec<News>, String>;

    /// Every event of one trial, and of its batch, with times in milliseconds since 1970.
    ///
    /// # Errors
    /// A sentence for a person.
    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<(u64, Event)>, String>;

    /// The folder below which the files lie that the study's events name.
    fn folder(&self) -> PathBuf;

    /// Whether a search runs on the study, and what was asked of it.
    fn standing(&self) -> Standing;

    /// Asks the search that runs on the study to stop cleanly.
    ///
    /// # Errors
    /// A sentence for a person.
    fn ask_to_stop(&mut self) -> Result<(), String>;

    /// Asks for a trial to be trained in full in the final round.
    ///
    /// # Errors
    /// A sentence for a person.
    fn promote(&mut self, trial: u64) -> Result<(), String>;
}

/// An event that was not read before.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// When it was stored, milliseconds since 1970.
    pub time_ms: u64,
    /// The event. Latency samples may be left out of it: a trial's page reads its own again.
    pub event: Event,
    /// How many latency samples the event has, whether they were left out or not.
    pub samples: u32,
}

/// Whether a search runs, and what was asked of it and not done yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether a search runs on the study now.
    pub running: bool,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// Trials that the next final round is to train in full.
    pub promoted: Vec<u64>,
}

/// How the dashboard is reached.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one. Any address but loopback asks for the token at every
    /// request.
    pub address: SocketAddr,
    /// The token that allows actions; a random one where absent.
    pub token: Option<String>,
}

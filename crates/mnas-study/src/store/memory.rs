//! A store in memory, for tests and simulations.

use mnas_search::Event;

use super::{Key, SNAPSHOTS_KEPT, Store, StoreError, Stored, split_snapshot};

/// Events in memory; behaves as [`Sqlite`](super::Sqlite) does, and forgets at the end.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    events: Vec<Stored>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds these events.
    pub fn of(events: Vec<Stored>) -> Self {
        Self { events }
    }

    /// All events.
    pub fn events(&self) -> &[Stored] {
        &self.events
    }
}

impl Store for Memory {
    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError> {
        let stored = self.events.len();
        for event in events {
            let key = Key::of(event);
            if key.unique() && self.events.iter().any(|s| Key::of(&s.event) == key) {
                self.events.truncate(stored);
                return Err(key.duplicate());
            }
            let seq = self.events.len() as u64 + 1;
            self.events.push(Stored {
                seq,
                time_ms,
                event: event.clone(),
            });
        }
        let observed = |e: &Event| matches!(e, Event::Observed { .. });
        if !events.iter().any(observed) {
            return Ok(self.events.len() as u64);
        }
        let kept =
            |e: &Event| matches!(e, Event::Observed { snapshot, .. } if !snapshot.is_empty());
        let snapshots = |s: &&mut Stored| kept(&s.event);
        for old in self
            .events
            .iter_mut()
            .rev()
            .filter(snapshots)
            .skip(SNAPSHOTS_KEPT)
        {
            old.event = split_snapshot(&old.event).0;
        }
        Ok(self.events.len() as u64)
    }

    fn read_from(&mut self, seq: u64) -> Result<Vec<Stored>, StoreError> {
        Ok(self
            .events
            .iter()
            .filter(|s| s.seq >= seq)
            .cloned()
            .collect())
    }
}

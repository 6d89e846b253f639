//! A flag that asks a running study to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cheap to clone; clones share the flag. A signal handler sets it, the loop looks at it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that isn't set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the study to stop: jobs under way are dropped (and done again at resume), nothing new
    /// begins, and the stop is recorded.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

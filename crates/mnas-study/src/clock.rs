//! The time of day, as a seam: tests of time budgets own their clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> u64;

    /// Lets time pass.
    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock set before 1970 reads as 1970; only differences of times are used.
        since.map_or(0, |d| d.as_millis() as u64)
    }
}

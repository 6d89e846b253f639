//! What goes wrong in a schedule, and how often.

use mnas_net::{Purpose, stream};

/// Shares of calls, jobs or attempts that go wrong, and times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Faults {
    /// Submissions that never arrive.
    pub(crate) submit_lost: f64,
    /// Submissions and cancellations that are done, or not, but not acknowledged.
    pub(crate) reply_lost: f64,
    pub(crate) list_fails: f64,
    /// Lists that are those of a while ago.
    pub(crate) list_stale: f64,
    pub(crate) mail_fails: f64,
    /// Answers that are seen late, by up to so many milliseconds.
    pub(crate) mail_late_ms: u64,
    /// Answers that come back once after they were dropped.
    pub(crate) mail_again: f64,
    /// Jobs that end well without a word.
    pub(crate) silent: f64,
    /// Attempts whose worker falls over the job.
    pub(crate) crashed: f64,
    /// Mean milliseconds between two failures of a node; 0 for none.
    pub(crate) node_ms: f64,
    /// Failures of nodes that are cuts of the network: what runs there goes on, unseen.
    pub(crate) cut: f64,
    pub(crate) store_fails: f64,
    /// Steps of the controller after which it is killed, run by run; then never again.
    pub(crate) kills: Vec<u64>,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            submit_lost: 0.0,
            reply_lost: 0.0,
            list_fails: 0.0,
            list_stale: 0.0,
            mail_fails: 0.0,
            mail_late_ms: 0,
            mail_again: 0.0,
            silent: 0.0,
            crashed: 0.0,
            node_ms: 0.0,
            cut: 0.0,
            store_fails: 0.0,
            kills: vec![],
        }
    }

    /// A schedule's faults. Each kind is absent in some schedules, so that none hides another.
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = stream(seed, 1, Purpose::Sample);
        let mut share = |most: f64| match draws.below(3) {
            0 => 0.0,
            _ => most * draws.uniform(),
        };
        let mut faults = Self {
            submit_lost: share(0.2),
            reply_lost: share(0.2),
            list_fails: share(0.2),
            list_stale: share(0.3),
            mail_fails: share(0.05),
            mail_late_ms: share(15_000.0) as u64,
            mail_again: share(0.2),
            silent: share(0.1),
            crashed: share(0.1),
            node_ms: share(1.0),
            cut: share(1.0),
            store_fails: share(0.01),
            kills: vec![],
        };
        if faults.node_ms > 0.0 {
            faults.node_ms = 20_000.0 + 200_000.0 * faults.node_ms;
        }
        faults.kills = (0..draws.below(5))
            .map(|_| 1 + draws.below(900) as u64)
            .collect();
        faults
    }
}

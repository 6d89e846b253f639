//! Time spent searching, read off the events' times, so that it adds up over runs.

use std::collections::VecDeque;

use mnas_search::Event;

/// Adds up the time between events of a search. Time while nothing ran (after a stop) and the final
/// stage don't count; an extension starts afresh.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spent {
    total_ms: u64,
    /// Time of the last event, and whether the time after it counts.
    last: Option<(u64, bool)>,
    /// When each batch began that isn't observed yet, in order.
    began_ms: VecDeque<u64>,
    /// Length of each batch, newest last.
    batches_ms: Vec<u64>,
    /// When the last batch was observed.
    observed_ms: u64,
    /// Sum of what each batch took beyond the one before, where batches overlap.
    paced_ms: u64,
}

/// Batches whose length tells how long the next may take.
const RECENT: usize = 3;

impl Spent {
    pub(crate) fn add(&mut self, time_ms: u64, event: &Event) {
        let searching = matches!(
            event,
            Event::Target { .. }
                | Event::Proposed { .. }
                | Event::Retried { .. }
                | Event::Finished { .. }
                | Event::Observed { .. }
        );
        if let Some((last, true)) = self.last
            && searching
        {
            // A clock that was set back adds nothing.
            self.total_ms += time_ms.saturating_sub(last);
        }
        match event {
            Event::Extended { .. } => {
                self.total_ms = 0;
                self.observed_ms = 0;
                self.began_ms.iter_mut().for_each(|began| *began = 0);
            }
            Event::Proposed { .. } => self.began_ms.push_back(self.total_ms),
            Event::Observed { .. } => {
                let began_ms = self.began_ms.pop_front().unwrap_or(self.total_ms);
                self.batches_ms.push(self.total_ms.saturating_sub(began_ms));
                let since_ms = began_ms.max(self.observed_ms);
                self.paced_ms += self.total_ms.saturating_sub(since_ms);
                self.observed_ms = self.total_ms;
            }
            _ => {}
        }
        // Making and extending a study are no runs of it.
        let goes_on = !matches!(
            event,
            Event::Started { .. }
                | Event::Extended { .. }
                | Event::Stopped { .. }
                | Event::Ended { .. }
        );
        self.last = Some((time_ms, goes_on));
    }

    /// Time of the last event, where the run that wrote it didn't say that it ended.
    pub(crate) fn unclosed(&self) -> Option<u64> {
        self.last
            .filter(|(_, goes_on)| *goes_on)
            .map(|(time_ms, _)| time_ms)
    }

    /// Seconds of searching.
    pub(crate) fn seconds(&self) -> f64 {
        self.total_ms as f64 / 1e3
    }

    /// Seconds that the next batch may take: the longest of the last few.
    pub(crate) fn next_batch_seconds(&self) -> Option<f64> {
        let longest = self.batches_ms.iter().rev().take(RECENT).max()?;
        Some(*longest as f64 / 1e3)
    }

    /// Mean seconds per batch so far; of batches that overlap, from one's end to the next one's.
    pub(crate) fn mean_batch_seconds(&self) -> Option<f64> {
        let n = self.batches_ms.len();
        (n > 0).then(|| self.paced_ms as f64 / 1e3 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped() -> Event {
        Event::Stopped {
            reason: String::new(),
        }
    }

    fn retried() -> Event {
        Event::Retried {
            trial: 0,
            attempt: 2,
            reason: String::new(),
        }
    }

    fn extended() -> Event {
        Event::Extended { trials: 9 }
    }

    #[test]
    fn only_time_between_events_of_a_search_counts() {
        let check = |expected_ms: u64, events: &[(u64, Event)]| {
            let mut spent = Spent::default();
            events
                .iter()
                .for_each(|(time_ms, event)| spent.add(*time_ms, event));
            assert_eq!(spent.total_ms, expected_ms, "{events:?}");
        };
        check(0, &[(100, retried())]);
        check(50, &[(100, retried()), (150, retried())]);
        check(50, &[(100, retried()), (150, retried()), (900, stopped())]);
        check(
            60,
            &[
                (100, retried()),
                (150, retried()),
                (150, stopped()),
                (900, retried()),
                (910, retried()),
            ],
        );
        // An extension starts afresh; a clock that is set back adds nothing.
        check(
            10,
            &[
                (100, retried()),
                (150, retried()),
                (160, extended()),
                (900, retried()),
                (910, retried()),
            ],
        );
        check(0, &[(100, retried()), (50, retried())]);
    }

    #[test]
    fn a_run_that_said_nothing_is_known_by_its_last_event() {
        let mut spent = Spent::default();
        assert_eq!(spent.unclosed(), None);
        for (event, unclosed) in [
            (retried(), Some(7)),
            (stopped(), None),
            (extended(), None),
            (Event::Ended { time_ms: 7 }, None),
        ] {
            spent.add(7, &event);
            assert_eq!(spent.unclosed(), unclosed, "{event:?}");
        }
    }
}

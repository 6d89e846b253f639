//! Which waiting attempt may start: in order, exclusive jobs alone.

use std::collections::VecDeque;

use super::Attempt;

/// Attempts that wait for room.
#[derive(Debug, Default)]
pub(crate) struct Queue(VecDeque<Attempt>);

impl Queue {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.0.push_back(attempt);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the first waiting attempt where it may start beside `running` (whether each running
    /// job is exclusive). A later one never overtakes it, so an exclusive job can't starve.
    pub(crate) fn next(&mut self, running: &[bool], capacity: usize) -> Option<Attempt> {
        let first = self.0.front()?;
        let alone = running.is_empty();
        let room = running.len() < capacity && !running.contains(&true);
        let may_start = if first.job.exclusive() { alone } else { room };
        if may_start { self.0.pop_front() } else { None }
    }
}

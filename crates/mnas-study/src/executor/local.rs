//! Worker processes of this machine, reused from job to job and restarted when one dies.

mod child;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use child::{Child, End, News};

use super::queue::Queue;
use super::{Attempt, Executor, ExecutorError, Report, Verdict};
use crate::worker::FromWorker;

/// Runs jobs in worker processes, one each. Processes start when first needed.
pub struct LocalProcesses {
    program: PathBuf,
    args: Vec<String>,
    slots: Vec<Slot>,
    queue: Queue,
    sender: Sender<News>,
    news: Receiver<News>,
    /// Counts processes started, so that the last words of an ended one aren't taken for its
    /// successor's.
    started: u64,
}

#[derive(Default)]
struct Slot {
    child: Option<Child>,
    running: Option<Running>,
}

struct Running {
    attempt: Attempt,
    deadline: Option<Instant>,
}

impl LocalProcesses {
    /// An executor of up to `workers` processes (at least one) of `program args...`.
    pub fn new(program: PathBuf, args: Vec<String>, workers: usize) -> Self {
        let (sender, news) = channel();
        Self {
            program,
            args,
            slots: (0..workers.max(1)).map(|_| Slot::default()).collect(),
            queue: Queue::default(),
            sender,
            news,
            started: 0,
        }
    }

    /// Starts what may start: the first waiting job on the first idle worker.
    fn start_waiting(&mut self) -> Result<(), ExecutorError> {
        loop {
            let exclusive = |s: &Slot| s.running.as_ref().map(|r| r.attempt.job.exclusive());
            let running: Vec<bool> = self.slots.iter().filter_map(exclusive).collect();
            let Some(attempt) = self.queue.next(&running, self.slots.len()) else {
                return Ok(());
            };
            let free = self.slots.iter().position(|s| s.running.is_none());
            let slot =
                free.expect("the queue lets a job go only where fewer run than there are slots");
            if self.slots[slot].child.is_none() {
                self.started += 1;
                let child = Child::start(&self.program, &self.args, self.started, &self.sender)?;
                self.slots[slot].child = Some(child);
            }
            let seconds = attempt.seconds_max.map(Duration::from_secs_f64);
            let deadline = seconds.map(|s| Instant::now() + s);
            if let Some(child) = &mut self.slots[slot].child {
                child.give(&attempt);
            }
            self.slots[slot].running = Some(Running { attempt, deadline });
        }
    }

    /// What a line or the end of a process means for the job under way there.
    fn take(&mut self, news: News) -> Result<Option<Report>, ExecutorError> {
        let serial = news.serial();
        let of = |s: &Slot| s.child.as_ref().is_some_and(|c| c.serial() == serial);
        let Some(slot) = self.slots.iter().position(of) else {
            return Ok(None);
        };
        let verdict = match news {
            News::Said {
                message: FromWorker::Hello { protocol },
                ..
            } => {
                return self.greeted(slot, protocol).map(|()| None);
            }
            News::Said {
                message: FromWorker::Progress(p),
                ..
            } => Verdict::Progress(p),
            News::Said {
                message: FromWorker::Done(output),
                ..
            } => Verdict::Done(output),
            News::Said {
                message: FromWorker::Failed(failure),
                ..
            } => Verdict::Failed(failure),
            News::Said {
                message: FromWorker::Crashed { message },
                ..
            } => {
                // Its memory may be in disorder; the next job gets a fresh process.
                self.slots[slot].child = None;
                Verdict::Crashed { message }
            }
            News::Closed { .. } => self.ended(slot)?,
        };
        Ok(self.report(slot, verdict))
    }

    fn greeted(&mut self, slot: usize, protocol: u32) -> Result<(), ExecutorError> {
        let Some(child) = &mut self.slots[slot].child else {
            return Ok(());
        };
        child
            .greet(protocol)
            .map_err(|message| self.protocol_error(message))
    }

    /// A worker's output ended: why?
    fn ended(&mut self, slot: usize) -> Result<Verdict, ExecutorError> {
        let child = self.slots[slot].child.take();
        match child.map(Child::end) {
            Some(End::BeforeHello { message }) => Err(self.protocol_error(message)),
            Some(End::Job(verdict)) => Ok(verdict),
            None => Ok(Verdict::Lost {
                message: "the worker is gone".into(),
            }),
        }
    }

    fn protocol_error(&self, message: String) -> ExecutorError {
        ExecutorError::Protocol {
            program: self.program.display().to_string(),
            message,
        }
    }

    fn report(&mut self, slot: usize, verdict: Verdict) -> Option<Report> {
        let running = self.slots[slot].running.as_ref()?;
        let (id, attempt) = (running.attempt.id.clone(), running.attempt.number);
        if !matches!(verdict, Verdict::Progress(_)) {
            self.slots[slot].running = None;
        }
        Some(Report {
            id,
            attempt,
            verdict,
        })
    }

    /// Ends attempts that took too long.
    fn end_late(&mut self, reports: &mut Vec<Report>) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            let late = |r: &Running| r.deadline.is_some_and(|d| d <= now);
            let Some(running) = self.slots[slot].running.as_ref().filter(|r| late(r)) else {
                continue;
            };
            let seconds = running.attempt.seconds_max.unwrap_or(0.0);
            self.slots[slot].child = None;
            reports.extend(self.report(slot, Verdict::TimedOut { seconds }));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|s| s.running.as_ref()?.deadline)
            .min()
    }
}

impl Executor for LocalProcesses {
    fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn submit(&mut self, attempt: Attempt) {
        self.queue.push(attempt);
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<Report>, ExecutorError> {
        let until = Instant::now() + wait;
        let mut reports = vec![];
        loop {
            while let Ok(news) = self.news.try_recv() {
                reports.extend(self.take(news)?);
            }
            self.end_late(&mut reports);
            self.start_waiting()?;
            let idle = self.slots.iter().all(|s| s.running.is_none()) && self.queue.is_empty();
            let now = Instant::now();
            if idle || !reports.is_empty() || now >= until {
                return Ok(reports);
            }
            let wake = self.next_deadline().map_or(until, |d| d.min(until));
            match self.news.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(news) => reports.extend(self.take(news)?),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn cancel_all(&mut self) {
        self.queue.clear();
        for slot in &mut self.slots {
            // A busy worker has no way to stop that is quicker and surer than its end.
            if slot.running.take().is_some() {
                slot.child = None;
            }
        }
    }
}

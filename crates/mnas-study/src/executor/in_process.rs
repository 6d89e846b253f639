//! Jobs on threads of this process: for evaluators that are tables, and for tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use mnas_train::Control;

use super::queue::Queue;
use super::{Attempt, Executor, ExecutorError, Report, Verdict};
use crate::evaluate::Evaluator;
use crate::worker::panic_message;

/// Makes an evaluator for each thread, and a fresh one after a panic.
pub type EvaluatorFactory = Arc<dyn Fn() -> Box<dyn Evaluator> + Send + Sync>;

/// Runs jobs on threads. A panic is [`Verdict::Crashed`]; a time limit is kept where the job
/// reports progress.
pub struct InProcess {
    workers: Vec<Worker>,
    queue: Queue,
    reports: Receiver<(u64, usize, Report)>,
    /// Raised by [`Executor::cancel_all`]; jobs of an earlier generation stop and aren't reported.
    generation: Arc<AtomicU64>,
}

struct Worker {
    jobs: Sender<(u64, Attempt)>,
    /// Whether the job under way is exclusive; `None` when idle.
    running: Option<bool>,
}

impl InProcess {
    /// An executor of `workers` threads, at least one.
    pub fn new(workers: usize, factory: EvaluatorFactory) -> Self {
        let (sender, reports) = channel();
        let generation = Arc::new(AtomicU64::new(0));
        let worker = |index| {
            let (jobs, inbox) = channel();
            let (factory, sender) = (Arc::clone(&factory), sender.clone());
            let generation = Arc::clone(&generation);
            // Ends when the executor, which owns the other end of `inbox`, is dropped.
            std::thread::spawn(move || work(index, &factory, &inbox, &sender, &generation));
            Worker {
                jobs,
                running: None,
            }
        };
        Self {
            workers: (0..workers.max(1)).map(worker).collect(),
            queue: Queue::default(),
            reports,
            generation,
        }
    }

    fn start_waiting(&mut self) {
        loop {
            let running: Vec<bool> = self.workers.iter().filter_map(|w| w.running).collect();
            let Some(attempt) = self.queue.next(&running, self.workers.len()) else {
                return;
            };
            let generation = self.generation.load(Ordering::SeqCst);
            if let Some(worker) = self.workers.iter_mut().find(|w| w.running.is_none()) {
                worker.running = Some(attempt.job.exclusive());
                // The thread lives as long as this sender, so it receives.
                let _ = worker.jobs.send((generation, attempt));
            }
        }
    }

    fn take(&mut self, (generation, worker, report): (u64, usize, Report)) -> Option<Report> {
        if !matches!(report.verdict, Verdict::Progress(_)) {
            self.workers[worker].running = None;
        }
        (generation == self.generation.load(Ordering::SeqCst)).then_some(report)
    }
}

impl Executor for InProcess {
    fn capacity(&self) -> usize {
        self.workers.len()
    }

    fn submit(&mut self, attempt: Attempt) {
        self.queue.push(attempt);
        self.start_waiting();
    }

    fn poll(&mut self, wait: Duration) -> Result<Vec<Report>, ExecutorError> {
        let deadline = Instant::now() + wait;
        let mut reports = vec![];
        loop {
            while let Ok(message) = self.reports.try_recv() {
                reports.extend(self.take(message));
            }
            self.start_waiting();
            let idle = self.workers.iter().all(|w| w.running.is_none()) && self.queue.is_empty();
            if idle || !reports.is_empty() {
                return Ok(reports);
            }
            match self
                .reports
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(message) => reports.extend(self.take(message)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok(reports);
                }
            }
        }
    }

    fn cancel_all(&mut self) {
        self.queue.clear();
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

fn work(
    index: usize,
    factory: &EvaluatorFactory,
    inbox: &Receiver<(u64, Attempt)>,
    reports: &Sender<(u64, usize, Report)>,
    current: &AtomicU64,
) {
    let mut evaluator = factory();
    while let Ok((generation, attempt)) = inbox.recv() {
        let report = |verdict| {
            let (id, attempt) = (attempt.id.clone(), attempt.number);
            // Nobody listens once the executor is gone, which is fine.
            let _ = reports.send((
                generation,
                index,
                Report {
                    id,
                    attempt,
                    verdict,
                },
            ));
        };
        let (started, mut late) = (Instant::now(), None);
        let mut on_progress = |progress| {
            let cancelled = current.load(Ordering::SeqCst) != generation;
            late = attempt
                .seconds_max
                .filter(|s| started.elapsed().as_secs_f64() > *s);
            if cancelled || late.is_some() {
                return Control::Stop;
            }
            report(Verdict::Progress(progress));
            Control::Continue
        };
        let performed = catch_unwind(AssertUnwindSafe(|| {
            evaluator.perform(&attempt.job, &mut on_progress)
        }));
        report(match (late, performed) {
            (Some(seconds), _) => Verdict::TimedOut { seconds },
            (None, Ok(Ok(output))) => Verdict::Done(output),
            (None, Ok(Err(failure))) => Verdict::Failed(failure),
            (None, Err(panic)) => {
                evaluator = factory();
                Verdict::Crashed {
                    message: panic_message(&*panic),
                }
            }
        });
    }
}

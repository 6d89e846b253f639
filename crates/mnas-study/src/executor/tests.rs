//! Which job starts when, and what becomes of it on a thread. Processes: `tests/processes.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mnas_deploy::MeasurePlan;
use mnas_train::Control;

use super::queue::Queue;
use super::{Attempt, Executor, InProcess, Verdict};
use crate::evaluate::Evaluator;
use crate::fakes;
use crate::job::{Job, JobFailure, JobId, JobOutput, JobProgress, MeasureJob};

fn open(id: &str) -> Attempt {
    Attempt {
        id: JobId(id.into()),
        number: 1,
        job: Job::OpenDevice(id.into()),
        seconds_max: None,
    }
}

fn measure(id: &str) -> Attempt {
    let job = MeasureJob {
        device: fakes::device(),
        nets: vec![],
        plan: MeasurePlan::search(),
    };
    Attempt {
        job: Job::Measure(job),
        ..open(id)
    }
}

#[test]
fn a_measurement_runs_alone_and_is_not_overtaken() {
    let mut queue = Queue::default();
    for attempt in [open("a"), measure("m"), open("b"), open("c")] {
        queue.push(attempt);
    }
    let mut next = |running: &[bool]| queue.next(running, 2).map(|a| a.id.0);
    assert_eq!(next(&[]).as_deref(), Some("a"));
    assert_eq!(
        next(&[false]),
        None,
        "m waits for a, and b must not overtake m"
    );
    assert_eq!(next(&[]).as_deref(), Some("m"));
    assert_eq!(next(&[true]), None, "b waits for m");
    assert_eq!(next(&[]).as_deref(), Some("b"));
    assert_eq!(next(&[false]).as_deref(), Some("c"));
    queue.push(open("d"));
    assert_eq!(queue.next(&[false, false], 2), None, "two of two run");
    queue.clear();
    assert!(queue.is_empty() && queue.next(&[], 2).is_none());
}

/// Does what the device's name says.
struct Scripted(Arc<AtomicUsize>);

impl Evaluator for Scripted {
    fn perform(
        &mut self,
        job: &Job,
        on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match job {
            Job::OpenDevice(name) if name.starts_with("panic") => panic!("as {name} says"),
            Job::OpenDevice(name) if name.starts_with("fail") => Err(JobFailure::Infrastructure {
                message: name.clone(),
            }),
            Job::OpenDevice(name) if name.starts_with("endless") => {
                while on_progress(JobProgress::at(0.5)) == Control::Continue {
                    std::thread::yield_now();
                }
                Err(JobFailure::Infrastructure {
                    message: "told to stop".into(),
                })
            }
            _ => Ok(JobOutput::Device(fakes::device())),
        }
    }
}

fn threads(workers: usize) -> (InProcess, Arc<AtomicUsize>) {
    let performed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&performed);
    (
        InProcess::new(
            workers,
            Arc::new(move || Box::new(Scripted(Arc::clone(&count)))),
        ),
        performed,
    )
}

/// Ends of all jobs submitted, by name.
fn ends(executor: &mut dyn Executor) -> Vec<(String, Verdict)> {
    let mut ends = vec![];
    loop {
        let reports = executor.poll(Duration::from_secs(60)).unwrap();
        if reports.is_empty() {
            ends.sort_by(|a: &(String, Verdict), b| a.0.cmp(&b.0));
            return ends;
        }
        let ended = reports
            .into_iter()
            .filter(|r| !matches!(r.verdict, Verdict::Progress(_)));
        ends.extend(ended.map(|r| (r.id.0, r.verdict)));
    }
}

#[test]
fn threads_report_each_job_once() {
    for workers in [1, 3] {
        let (mut executor, performed) = threads(workers);
        assert_eq!(executor.capacity(), workers);
        assert!(
            executor.poll(Duration::from_secs(60)).unwrap().is_empty(),
            "idle: no waiting"
        );
        for id in ["a", "fail", "panic", "b"] {
            executor.submit(open(id));
        }
        executor.submit(measure("m"));
        let done = || Verdict::Done(JobOutput::Device(fakes::device()));
        let expected = [
            ("a", done()),
            ("b", done()),
            (
                "fail",
                Verdict::Failed(JobFailure::Infrastructure {
                    message: "fail".into(),
                }),
            ),
            ("m", done()),
            (
                "panic",
                Verdict::Crashed {
                    message: "as panic says".into(),
                },
            ),
        ];
        assert_eq!(
            ends(&mut executor),
            expected.map(|(id, v)| (id.to_string(), v))
        );
        assert_eq!(performed.load(Ordering::SeqCst), 5);
    }
}

#[test]
fn a_thread_keeps_a_time_limit() {
    let (mut executor, _) = threads(1);
    executor.submit(Attempt {
        seconds_max: Some(0.01),
        ..open("endless")
    });
    assert_eq!(
        ends(&mut executor),
        [("endless".into(), Verdict::TimedOut { seconds: 0.01 })]
    );
}

#[test]
fn what_was_cancelled_is_not_reported() {
    let (mut executor, performed) = threads(1);
    executor.submit(open("endless"));
    executor.submit(open("never"));
    let first = executor.poll(Duration::from_secs(60)).unwrap();
    assert!(
        matches!(first[0].verdict, Verdict::Progress(_)),
        "{first:?}"
    );
    executor.cancel_all();
    executor.submit(open("after"));
    let done = Verdict::Done(JobOutput::Device(fakes::device()));
    assert_eq!(ends(&mut executor), [("after".into(), done)]);
    assert_eq!(
        performed.load(Ordering::SeqCst),
        2,
        "the queued job never began"
    );
}

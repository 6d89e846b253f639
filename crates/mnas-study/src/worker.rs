//! The worker's side: a process that takes jobs as JSON lines on its standard input and answers on
//! its standard output. It ends with its input, also in the middle of a job, so that workers never
//! outlive the search that started them.

use std::any::Any;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

use mnas_train::Control;
use serde::{Deserialize, Serialize};

use mnas_deploy::DeviceKind;

use crate::evaluate::{Evaluator, NetEvaluator};
use crate::job::{Job, JobFailure, JobId, JobOutput, JobProgress};

/// Version of the lines. A worker of another version is refused.
pub(crate) const PROTOCOL: u32 = 1;

/// A line to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToWorker {
    /// A job, which is the worker's only one until it answers.
    Do {
        /// Its name, which the answers repeat.
        id: JobId,
        /// Which attempt.
        attempt: u32,
        /// What to do.
        job: Box<Job>,
    },
}

/// A line from a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromWorker {
    /// The first line.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// The job goes on.
    Progress(JobProgress),
    /// The job is done.
    Done(JobOutput),
    /// The job failed.
    Failed(JobFailure),
    /// The job panicked.
    Crashed {
        /// The panic's message.
        message: String,
    },
}

/// Runs a worker that trains and measures on devices of these kinds, until its standard input ends.
pub fn worker_main(devices: &[&'static dyn DeviceKind]) -> ExitCode {
    serve(&mut || Box::new(NetEvaluator::new(devices.to_vec())))
}

/// Runs a worker around an evaluator of one's own; a fresh one is made after a panic.
pub fn serve(factory: &mut dyn FnMut() -> Box<dyn Evaluator>) -> ExitCode {
    let (sender, jobs) = channel();
    if !say(&FromWorker::Hello { protocol: PROTOCOL }) {
        return ExitCode::FAILURE;
    }
    std::thread::spawn(move || listen(&sender));
    let mut evaluator = factory();
    while let Ok(ToWorker::Do { job, .. }) = jobs.recv() {
        let mut on_progress = |progress| match say(&FromWorker::Progress(progress)) {
            true => Control::Continue,
            false => Control::Stop,
        };
        let performed = catch_unwind(AssertUnwindSafe(|| {
            evaluator.perform(&job, &mut on_progress)
        }));
        let answer = match performed {
            Ok(Ok(output)) => FromWorker::Done(output),
            Ok(Err(failure)) => FromWorker::Failed(failure),
            Err(panic) => {
                evaluator = factory();
                FromWorker::Crashed {
                    message: panic_message(&*panic),
                }
            }
        };
        if !say(&answer) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Hands lines of the standard input on, and ends the process with it.
fn listen(jobs: &Sender<ToWorker>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(job) => {
                if jobs.send(job).is_err() {
                    break;
                }
            }
            Err(error) => {
                eprintln!("mnas worker: not a line of protocol {PROTOCOL}: {error}");
                std::process::exit(2);
            }
        }
    }
    std::process::exit(0);
}

/// Writes a line; false where nobody reads any more.
fn say(message: &FromWorker) -> bool {
    let line = match serde_json::to_string(message) {
        Ok(line) => line,
        Err(error) => {
            eprintln!("mnas worker: an answer can't be written as JSON: {error}");
            return false;
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

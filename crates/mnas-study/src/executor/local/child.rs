//! One worker process: its pipes, its last words and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mnas_search::{Failure, FailureKind};

use super::super::{Attempt, ExecutorError, Verdict};
use crate::job::JobFailure;
use crate::worker::{FromWorker, PROTOCOL, ToWorker};

/// Bytes of standard error that are kept for messages.
const TAIL_BYTES: usize = 4096;

/// What a worker's reader thread hands on.
pub(super) enum News {
    /// A line of the protocol.
    Said { serial: u64, message: FromWorker },
    /// Its standard output ended.
    Closed { serial: u64 },
}

impl News {
    pub(super) fn serial(&self) -> u64 {
        match self {
            News::Said { serial, .. } | News::Closed { serial } => *serial,
        }
    }
}

/// Why a process ended.
pub(super) enum End {
    /// It never was a worker.
    BeforeHello { message: String },
    /// What it means for its job.
    Job(Verdict),
}

/// A worker process; killed when dropped.
pub(super) struct Child {
    serial: u64,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    stderr: Option<JoinHandle<()>>,
    tail: Arc<Mutex<Vec<u8>>>,
    greeted: bool,
}

impl Child {
    pub(super) fn start(
        program: &Path,
        args: &[String],
        serial: u64,
        sender: &Sender<News>,
    ) -> Result<Self, ExecutorError> {
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Out of the terminal's foreground group: Ctrl-C is for the search alone, which ends
            // its workers itself.
            .process_group(0)
            .spawn()
            .map_err(|source| ExecutorError::Start {
                program: program.display().to_string(),
                source,
            })?;
        let tail = Arc::new(Mutex::new(vec![]));
        let stderr = process.stderr.take().map(|pipe| {
            let tail = Arc::clone(&tail);
            std::thread::spawn(move || keep_tail(pipe, &tail))
        });
        if let Some(pipe) = process.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || read_lines(BufReader::new(pipe), serial, &sender));
        }
        let stdin = process.stdin.take();
        Ok(Self {
            serial,
            process,
            stdin,
            stderr,
            tail,
            greeted: false,
        })
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Hands over a job. A worker that is gone is noticed by the end of its output.
    pub(super) fn give(&mut self, attempt: &Attempt) {
        let message = ToWorker::Do {
            id: attempt.id.clone(),
            attempt: attempt.number,
            job: Box::new(attempt.job.clone()),
        };
        let line = serde_json::to_string(&message);
        let line = line.expect("jobs hold strings and finite numbers, which JSON can write");
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Checks the first line.
    pub(super) fn greet(&mut self, protocol: u32) -> Result<(), String> {
        self.greeted = true;
        match protocol == PROTOCOL {
            true => Ok(()),
            false => Err(format!("it speaks protocol {protocol}, not {PROTOCOL}")),
        }
    }

    /// Waits for a process whose output has ended, and says what that means.
    pub(super) fn end(mut self) -> End {
        // A worker that closed its output but doesn't end is of no more use.
        let _ = self.process.kill();
        let status = self.process.wait();
        if let Some(stderr) = self.stderr.take() {
            let _ = stderr.join();
        }
        let said = self.last_words();
        let message = match &status {
            Ok(status) => format!("the worker ended ({status}){said}"),
            Err(error) => format!("the worker is gone ({error}){said}"),
        };
        if !self.greeted {
            return End::BeforeHello { message };
        }
        End::Job(match status {
            Ok(status) => verdict_of(status, &said, message),
            Err(_) => Verdict::Lost { message },
        })
    }

    fn last_words(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        match String::from_utf8_lossy(&tail).trim() {
            "" => String::new(),
            words => format!(": {words}"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Death by SIGKILL, SIGTERM and the like comes from outside (the kernel's out-of-memory killer, a
/// person, a cluster); a fault or a failed exit comes from the job. Numbers are Linux's and
/// macOS's common ones: ILL 4, ABRT 6, FPE 8, SEGV 11, BUS 7 or 10, SYS 31 or 12.
fn verdict_of(status: ExitStatus, said: &str, message: String) -> Verdict {
    // The words of Rust's allocation error, which aborts.
    if said.contains("memory allocation of") {
        let failure = Failure {
            kind: FailureKind::OutOfMemory,
            message,
        };
        return Verdict::Failed(JobFailure::Net(failure));
    }
    let own_fault = match (status.signal(), status.code()) {
        (Some(signal), _) => matches!(signal, 4 | 6 | 7 | 8 | 10 | 11 | 12 | 31),
        (None, code) => code != Some(0),
    };
    if own_fault {
        Verdict::Crashed { message }
    } else {
        Verdict::Lost { message }
    }
}

fn read_lines(pipe: impl BufRead, serial: u64, sender: &Sender<News>) {
    for line in pipe.lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(message) => {
                if sender.send(News::Said { serial, message }).is_err() {
                    return;
                }
            }
            // Inference libraries print to standard output now and then.
            Err(_) => tracing::debug!(line, "a worker printed"),
        }
    }
    let _ = sender.send(News::Closed { serial });
}

fn keep_tail(mut pipe: impl Read, tail: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 1024];
    while let Ok(n @ 1..) = pipe.read(&mut chunk) {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&chunk[..n]);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
    }
}

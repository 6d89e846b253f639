//! A child process that answers lines with lines, within limits of time and size.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::CommandError;

/// What the reading thread found.
enum Found {
    Line(Vec<u8>),
    TooLong,
    End,
}

/// A running program. Dropping it ends the program and what it started.
pub(super) struct Process {
    program: PathBuf,
    child: Child,
    input: ChildStdin,
    replies: Receiver<Found>,
    line_max: usize,
}

impl Process {
    pub(super) fn start(program: &Path, line_max: usize) -> Result<Self, CommandError> {
        let cannot = |source| CommandError::Start {
            program: program.into(),
            source,
        };
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that what the program starts can be ended with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(cannot)?;
        let input = child.stdin.take().expect("stdin was asked to be piped");
        let output = child.stdout.take().expect("stdout was asked to be piped");
        // One line waits at most: a program that talks without end fills its pipe and stops there.
        let (sender, replies) = sync_channel(1);
        let process = Self {
            program: program.into(),
            child,
            input,
            replies,
            line_max,
        };
        thread::Builder::new()
            .name("mnas-command".into())
            .spawn(move || read_lines(output, line_max, &sender))
            .map_err(cannot)?;
        Ok(process)
    }

    /// Sends a line and waits for one.
    pub(super) fn exchange(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Vec<u8>, CommandError> {
        // A failed write means that the program has ended, which reading tells better.
        let written = self
            .input
            .write_all(line.as_bytes())
            .and_then(|()| self.input.flush());
        match self.replies.recv_timeout(limit) {
            Ok(Found::Line(line)) => match written {
                Ok(()) => Ok(line),
                Err(source) => Err(CommandError::Pass {
                    program: self.program.clone(),
                    source,
                }),
            },
            Ok(Found::TooLong) => Err(CommandError::TooLong {
                program: self.program.clone(),
                limit: self.line_max,
            }),
            Ok(Found::End) | Err(RecvTimeoutError::Disconnected) => Err(CommandError::Ended {
                program: self.program.clone(),
                status: self.status(),
            }),
            Err(RecvTimeoutError::Timeout) => Err(CommandError::Late {
                program: self.program.clone(),
                seconds: limit.as_secs_f64(),
            }),
        }
    }

    /// How the program ended. One that closed its output and doesn't end by itself is ended.
    fn status(&mut self) -> String {
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.end();
        match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends the program and its group, if they still run.
    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        {
            use nix::sys::signal::{Signal, killpg};
            use nix::unistd::Pid;
            // The child leads its group and has not been waited for, so its number is its own.
            // A group that is gone already is what's wanted.
            if let Ok(id) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
            }
        }
        // Fails only for a program that has ended.
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        // Reaps the child; there is nobody to tell of a failure.
        let _ = self.child.wait();
    }
}

/// Passes on lines until the output ends, a line is too long, or nobody listens.
fn read_lines(output: ChildStdout, line_max: usize, sender: &SyncSender<Found>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = vec![];
        // One byte more than allowed tells a line that is just allowed from one that isn't.
        let mut limited = output.by_ref().take(line_max as u64 + 1);
        let found = match limited.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => Found::End,
            Ok(_) if line.len() > line_max => Found::TooLong,
            // A last line without an end was cut off with its program.
            Ok(_) if line.last() != Some(&b'\n') => Found::End,
            Ok(_) => Found::Line(line),
        };
        let last = !matches!(found, Found::Line(_));
        if sender.send(found).is_err() || last {
            return;
        }
    }
}

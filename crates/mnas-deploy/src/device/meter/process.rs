//! A child process that answers lines with lines, within limits of time and size.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::CommandError;

/// What the reading thread found.
enum Found {
    Line(Vec<u8>),
    TooLong,
    End,
}

/// A running program. Dropping it ends the program and what it started.
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    replies: Receiver<Found>,
    line_max: usize,
}

impl Process {
    /// Starts `command`; messages call it `program`.
    pub(crate) fn start(
        program: &Path,
        mut command: Command,
        line_max: usize,
    ) -> Result<Self, CommandError> {
        let cannot = |source| CommandError::Start {
            program: program.into(),
            source,
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        lead_group(&mut command);
        let mut child = command.spawn().map_err(cannot)?;
        let input = child.stdin.take();
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
            .name("mnas-meter".into())
            .spawn(move || read_lines(output, line_max, &sender))
            .map_err(cannot)?;
        Ok(process)
    }

    /// Sends a line and waits for one.
    pub(crate) fn exchange(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Vec<u8>, CommandError> {
        // A failed write means that the program has ended, which reading tells better.
        let written = match &mut self.input {
            Some(input) => input
                .write_all(line.as_bytes())
                .and_then(|()| input.flush()),
            None => Ok(()),
        };
        let line = self.line(limit)?;
        written.map_err(|source| CommandError::Pass {
            program: self.program.clone(),
            source,
        })?;
        Ok(line)
    }

    /// Waits for a line.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<Vec<u8>, CommandError> {
        match self.replies.recv_timeout(limit) {
            Ok(Found::Line(line)) => Ok(line),
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

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Closes the program's input, which asks it to end, and gives it some time to.
    pub(crate) fn finish(mut self, patience: Duration) {
        self.input = None;
        self.wait(patience);
    }

    /// How the program ended. One that closed its output and doesn't end by itself is ended.
    fn status(&mut self) -> String {
        self.wait(Duration::from_secs(1));
        end_group(&mut self.child);
        match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn wait(&mut self, patience: Duration) {
        let start = Instant::now();
        while self.is_running() && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_group(&mut self.child);
        // Reaps the child; there is nobody to tell of a failure.
        let _ = self.child.wait();
    }
}

/// A group of its own, so that what the program starts can be ended with it.
pub(crate) fn lead_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Ends a program that leads its group, and its group, if they still run.
pub(crate) fn end_group(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    #[cfg(unix)]
    {
        use nix::sys::signal::{Signal, killpg};
        use nix::unistd::Pid;
        // The child leads its group and has not been waited for, so its number is its own.
        // A group that is gone already is what's wanted.
        if let Ok(id) = i32::try_from(child.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
    // Fails only for a program that has ended.
    let _ = child.kill();
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

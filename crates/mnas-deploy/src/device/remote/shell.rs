//! Commands for another machine's shell, and clients that run them, within limits.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::meter::CommandError;
use super::super::meter::process::{end_group, lead_group};
use super::super::meter::protocol::readable;

/// Output kept of a command.
const OUTPUT_MAX: u64 = 1 << 20;

/// A word for a POSIX shell: whatever it holds, the shell sees that and nothing else.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a client to its end and gives its standard output.
///
/// # Errors
/// [`CommandError::Start`] where it can't be started; [`CommandError::Lost`] where it takes longer
/// than `limit`, or fails and `is_loss` says of its exit code and words that the machine wasn't
/// reached; else [`CommandError::Unfit`], as the machine's own command failed.
pub(crate) fn run(
    label: &Path,
    mut command: Command,
    input: Option<File>,
    limit: Duration,
    is_loss: fn(Option<i32>, &str) -> bool,
) -> Result<String, CommandError> {
    command
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    lead_group(&mut command);
    let mut child = command.spawn().map_err(|source| CommandError::Start {
        program: command.get_program().into(),
        source,
    })?;
    let output = child.stdout.take().map(read_all);
    let errors = child.stderr.take().map(read_all);
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(5)),
            _ => break None,
        }
    };
    let lost = |detail: String| CommandError::Lost {
        program: label.into(),
        detail,
    };
    let Some(status) = status else {
        end_group(&mut child);
        // Reaps it; it was ended.
        let _ = child.wait();
        return Err(lost(format!("no answer within {} s", limit.as_secs())));
    };
    // A server that a client leaves behind may keep the pipe open.
    let take = |reader: Option<Receiver<Vec<u8>>>| -> String {
        let bytes = reader.and_then(|r| r.recv_timeout(Duration::from_secs(2)).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (output, errors) = (take(output), take(errors));
    if status.success() {
        return Ok(output);
    }
    let said = if errors.trim().is_empty() {
        &output
    } else {
        &errors
    };
    let said: Vec<String> = said
        .lines()
        .map(readable)
        .filter(|l| !l.trim().is_empty())
        .collect();
    let last = said[said.len().saturating_sub(3)..].join("; ");
    let detail = if last.is_empty() {
        status.to_string()
    } else {
        last
    };
    if is_loss(status.code(), &detail) {
        return Err(lost(detail));
    }
    Err(CommandError::Unfit {
        program: label.into(),
        problem: detail,
    })
}

/// Reads to the end on a thread of its own; what is over the limit is thrown away.
fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut kept = vec![];
        // A broken pipe ends the output like its end does.
        let _ = pipe.by_ref().take(OUTPUT_MAX).read_to_end(&mut kept);
        let _ = sender.send(kept);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_reach_a_shell_unchanged() {
        for word in [
            "plain",
            "",
            "two words",
            "; rm -rf /",
            "$(touch x) `touch y` $HOME",
            "it's \"quoted\" \\ back",
            "'; exit 9; '",
            "line\nbreak",
            "-rf",
            "*?[a]{b,c}~!#&|<>",
            "ä€😀",
        ] {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("printf %s {}", quote(word)));
            let limit = Duration::from_secs(20);
            let said = run(Path::new("sh"), shell, None, limit, |_, _| false).unwrap();
            assert_eq!(said, word);
        }
    }

    #[test]
    fn clients_that_fail_say_why_within_the_limit() {
        let check = |script: &str, expected: &str| {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(script);
            let start = Instant::now();
            let limit = Duration::from_secs(1);
            let is_loss = |code: Option<i32>, _: &str| code == Some(255);
            let error = run(Path::new("ssh:board"), shell, None, limit, is_loss).unwrap_err();
            assert_eq!(error.to_string(), format!("ssh:board{expected}"));
            assert!(start.elapsed() < Duration::from_secs(10), "{script}");
        };
        check("echo no route >&2; exit 255", " can't be reached: no route");
        check("echo on stdout; exit 1", ": on stdout");
        check("exit 3", ": exit status: 3");
        check(
            "exec tail -f /dev/null",
            " can't be reached: no answer within 1 s",
        );
        check("yes", " can't be reached: no answer within 1 s");
        check(
            "for i in 1 2 3 4 5; do echo $i >&2; done; exit 1",
            ": 3; 4; 5",
        );
        let missing = run(
            Path::new("x"),
            Command::new("no-such-client"),
            None,
            Duration::ZERO,
            |_, _| true,
        );
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .starts_with("can't start no-such-client")
        );
    }
}

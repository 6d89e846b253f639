//! The worker's side of a bundle: each attempt in a process of its own, whose death is an answer
//! like any other, so that only the death of this process or its node is a loss.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::mailbox::{Answer, FolderMailbox, MailError, Mailbox};
use crate::executor::{Attempt, Executor, ExecutorError, LocalProcesses, Verdict};

/// How a process is started that does jobs it is handed on its standard input: by
/// [`crate::worker_main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Times that an answer is offered to a mailbox out of reach, and the pause between.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_secs(60);

/// Why a bundle was left.
#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// Works through the bundle of that name of the study in a folder and answers each attempt as it
/// ends.
pub fn work_bundle(study: &str, bundle: &str, command: &WorkerCommand) -> ExitCode {
    let mut mailbox = FolderMailbox::of(study.as_ref());
    match work(&mut mailbox, bundle, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mnas worker: {bundle}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(mailbox: &mut dyn Mailbox, name: &str, command: &WorkerCommand) -> Result<(), BundleError> {
    let Some(bundle) = patiently(|| mailbox.fetch(name))? else {
        eprintln!("mnas worker: {name} isn't wanted any more");
        return Ok(());
    };
    // Absent on machines that share less; paths are absolute there, or names of data sets.
    if let Err(error) = std::env::set_current_dir(&bundle.folder) {
        eprintln!("mnas worker: {}: {error}", bundle.folder.display());
    }
    let mut processes = LocalProcesses::new(command.program.clone(), command.args.clone(), 1);
    for (index, attempt) in bundle.attempts.iter().enumerate() {
        // The controller may have dropped the rest by now.
        if index > 0 && patiently(|| mailbox.fetch(name))?.is_none() {
            return Ok(());
        }
        let begun = Instant::now();
        let verdict = perform(&mut processes, attempt)?;
        let answer = Answer {
            bundle: name.into(),
            index,
            id: attempt.id.clone(),
            attempt: attempt.number,
            verdict,
            seconds: begun.elapsed().as_secs_f64(),
        };
        patiently(|| mailbox.answer(&answer))?;
    }
    Ok(())
}

/// Runs one attempt to its end.
fn perform(processes: &mut LocalProcesses, attempt: &Attempt) -> Result<Verdict, ExecutorError> {
    processes.submit(attempt.clone());
    loop {
        let reports = processes.poll(POLL)?;
        let ends = reports.into_iter().map(|r| r.verdict);
        let mut ends = ends.filter(|v| !matches!(v, Verdict::Progress(_)));
        if let Some(verdict) = ends.next() {
            return Ok(verdict);
        }
    }
}

/// Tries again for a while: an hour's work isn't thrown away for a file server's minute.
fn patiently<T>(mut work: impl FnMut() -> Result<T, MailError>) -> Result<T, MailError> {
    for _ in 1..TRIES {
        match work() {
            Err(MailError::Json { place, source }) => {
                return Err(MailError::Json { place, source });
            }
            Err(error) => {
                eprintln!("mnas worker: {error}; trying again");
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
    work()
}

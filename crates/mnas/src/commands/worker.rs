//! `mnas worker --study DIR --bundle NAME`: what a job of a cluster runs.

use std::process::ExitCode;

use mnas_study::WorkerCommand;

/// Runs a bundle of trials, each in a process of this program.
pub(crate) fn bundle(study: &str, bundle: &str) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("mnas worker: this program's own file can't be found: {error}");
            return ExitCode::FAILURE;
        }
    };
    let command = WorkerCommand {
        program,
        args: vec!["worker".into()],
    };
    mnas_study::work_bundle(study, bundle, &command)
}

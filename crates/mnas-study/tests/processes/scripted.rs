//! Workers that do what a device's name says.

use std::process::{Command, ExitCode};

use mnas_study::{DevicePlan, Evaluator, Job, JobFailure, JobOutput, JobProgress, serve};
use mnas_train::Control;

struct Scripted;

/// The worker's process id, as an answer.
fn answer() -> JobOutput {
    JobOutput::Device(DevicePlan {
        name: std::process::id().to_string(),
        device: String::new(),
        engine: String::new(),
        library_hash: None,
        predicted: true,
    })
}

impl Evaluator for Scripted {
    fn perform(
        &mut self,
        job: &Job,
        on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure> {
        let Job::OpenDevice(script) = job else {
            panic!("{job:?}")
        };
        // Libraries print where they like.
        println!("chatter on standard output {{");
        match script.as_str() {
            "panic" => panic!("as the script says"),
            "abort" => {
                eprintln!("the last words");
                std::process::abort();
            }
            "allocation" => {
                eprintln!("memory allocation of 99 bytes failed");
                std::process::abort();
            }
            "exit" => std::process::exit(3),
            "killed" => {
                let id = std::process::id().to_string();
                let killed = Command::new("kill").args(["-9", &id]).status();
                panic!("still here after {killed:?}");
            }
            "endless" => loop {
                let id = f64::from(std::process::id());
                let progress = JobProgress {
                    fraction: id,
                    epoch: None,
                    loss: None,
                    accuracy: None,
                };
                // Only the end of the process may end this.
                let _ = on_progress(progress);
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            },
            _ => Ok(answer()),
        }
    }
}

pub(crate) fn worker() -> ExitCode {
    serve(&mut || Box::new(Scripted))
}

/// A worker of a version to come.
pub(crate) fn old_worker() -> ExitCode {
    println!("{{\"hello\":{{\"protocol\":999}}}}");
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    ExitCode::SUCCESS
}

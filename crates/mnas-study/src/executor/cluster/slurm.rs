//! Slurm, through its own commands, as people use it. Their text formats have been stable for a
//! decade; the JSON of `squeue --json` changes with each release and lists every user's jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scheduler::{JobState, Request, Scheduler, SchedulerError};
use super::worker::WorkerCommand;
use crate::plan::SlurmPlan;

/// Jobs named in one call of `scancel`.
const CANCEL_AT_A_TIME: usize = 500;

/// Words of Slurm's commands that tell of a controller that is down or busy, and not of a request
/// that it refuses.
const PASSING: [&str; 6] = [
    "Unable to contact",
    "timed out",
    "Connection refused",
    "Zero Bytes",
    "temporarily",
    "Transport endpoint",
];

/// Jobs by `sbatch`, `squeue` and `scancel`.
#[derive(Debug)]
pub struct Slurm {
    plan: SlurmPlan,
    command: WorkerCommand,
    logs: PathBuf,
    /// Slurm's number of each job that lives, by name.
    alive: BTreeMap<String, String>,
    /// Names whose submission was left without an answer.
    unsure: BTreeSet<String>,
}

impl Slurm {
    /// A scheduler that starts `command`; `study` is the study's folder, which all nodes see.
    pub fn new(plan: SlurmPlan, command: WorkerCommand, study: &Path) -> Self {
        Self {
            plan,
            command,
            logs: study.join("jobs").join("logs"),
            alive: BTreeMap::new(),
            unsure: BTreeSet::new(),
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn sbatch(&self, request: &Request) -> Command {
        let mut command = Command::new("sbatch");
        command
            // The controller retries by itself, with another attempt's number.
            .args(["--parsable", "--no-requeue", "--ntasks=1", "--nodes=1"])
            .arg(format!("--job-name={}", request.name))
            .arg(format!("--cpus-per-task={}", request.threads))
            .arg(format!("--output={}", self.log(&request.name).display()));
        let plan = &self.plan;
        for (option, value) in [("partition", &plan.partition), ("account", &plan.account)] {
            if let Some(value) = value {
                command.arg(format!("--{option}={value}"));
            }
        }
        if let Some(minutes) = plan.minutes {
            command.arg(format!("--time={minutes}"));
        }
        command.args(&plan.args);
        if request.exclusive {
            command.args(&plan.measure_args);
        }
        let program = plan.program.as_ref().unwrap_or(&self.command.program);
        let words = [program.display().to_string()];
        let words = words.iter().chain(&self.command.args).chain(&request.args);
        let words: Vec<String> = words.map(|w| quoted(w)).collect();
        command.arg(format!("--wrap=exec {}", words.join(" ")));
        command
    }
}

/// A word of a shell's command.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a command; its standard output.
fn output(command: &mut Command) -> Result<String, SchedulerError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| SchedulerError::Refused {
        message: format!("{name} doesn't start ({e}); searches run where Slurm's commands are"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    let message = format!("{name}: {said} ({})", output.status);
    Err(match PASSING.iter().any(|words| said.contains(words)) {
        true => SchedulerError::Unreachable { message },
        false => SchedulerError::Refused { message },
    })
}

/// One line of `squeue --format=%i|%T|%j|%r`: the job's number, name and state.
fn parse(line: &str) -> Option<(String, String, JobState)> {
    let mut parts = line.trim().splitn(4, '|');
    let (id, state, name) = (parts.next()?, parts.next()?, parts.next()?);
    let reason = parts.next().unwrap_or_default();
    let job = match state {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" => {
            JobState::Waiting
        }
        "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT"
        | "RESIZING" => JobState::Running,
        "COMPLETED" => JobState::Ended {
            well: true,
            message: "it ended well, but its answer is missing".into(),
        },
        other => JobState::Ended {
            well: false,
            message: match reason {
                "" | "None" => format!("it ended as {other}"),
                reason => format!("it ended as {other} ({reason})"),
            },
        },
    };
    Some((id.into(), name.into(), job))
}

impl Scheduler for Slurm {
    fn name(&self) -> &'static str {
        "Slurm"
    }

    fn overhead_seconds(&self) -> f64 {
        // A slot takes about 1.6 s to turn over at Slurm 22.05's default pace; rounded up.
        2.0
    }

    fn keeps_measuring_apart(&self) -> bool {
        // Where nothing is asked for (`--exclusive`, `--gres`, a licence), nothing is kept apart.
        !self.plan.measure_args.is_empty()
    }

    fn submit(&mut self, request: &Request) -> Result<(), SchedulerError> {
        if self.unsure.contains(&request.name) {
            self.list()?;
        }
        if self.alive.contains_key(&request.name) {
            return Ok(());
        }
        std::fs::create_dir_all(&self.logs).map_err(|e| SchedulerError::Unreachable {
            message: format!("{}: {e}", self.logs.display()),
        })?;
        match output(&mut self.sbatch(request)) {
            Ok(said) => {
                // `--parsable` prints the number, and the cluster's name where there are several.
                let id = said.trim().split(';').next().unwrap_or_default();
                self.alive.insert(request.name.clone(), id.into());
                Ok(())
            }
            Err(error) => {
                self.unsure.insert(request.name.clone());
                Err(error)
            }
        }
    }

    fn list(&mut self) -> Result<BTreeMap<String, JobState>, SchedulerError> {
        let mut squeue = Command::new("squeue");
        let format = ["--noheader", "--me", "--states=all", "--format=%i|%T|%j|%r"];
        let text = output(squeue.args(format))?;
        let mut jobs = BTreeMap::new();
        self.alive.clear();
        self.unsure.clear();
        for (id, name, state) in text.lines().filter_map(parse) {
            if matches!(state, JobState::Ended { .. }) {
                // Of several jobs of one name, the one that lives counts.
                jobs.entry(name).or_insert(state);
            } else {
                self.alive.insert(name.clone(), id);
                jobs.insert(name, state);
            }
        }
        Ok(jobs)
    }

    fn cancel(&mut self, names: &[String]) -> Result<(), SchedulerError> {
        self.list()?;
        let ids: Vec<String> = names.iter().filter_map(|n| self.alive.remove(n)).collect();
        for ids in ids.chunks(CANCEL_AT_A_TIME) {
            output(Command::new("scancel").args(ids))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_understood() {
        let state = parse;
        let named = |state| Some(("17".to_string(), "mnas-a".to_string(), state));
        assert_eq!(
            state("17|PENDING|mnas-a|Resources"),
            named(JobState::Waiting)
        );
        assert_eq!(state("17|COMPLETING|mnas-a|None"), named(JobState::Running));
        let well = |line| match parse(line).unwrap().2 {
            JobState::Ended { well, message } => (well, message),
            other => panic!("{other:?}"),
        };
        assert!(well("17|COMPLETED|mnas-a|None").0);
        assert_eq!(
            well("17|NODE_FAIL|mnas-a|NodeDown"),
            (false, "it ended as NODE_FAIL (NodeDown)".to_string())
        );
        assert_eq!(state(""), None);
    }

    #[test]
    fn a_request_becomes_a_command() {
        let plan = SlurmPlan {
            partition: Some("gpu".into()),
            account: None,
            minutes: Some(30),
            args: vec!["--gpus=1".into()],
            measure_args: vec!["--exclusive".into()],
            program: None,
        };
        let command = WorkerCommand {
            program: "/opt/it's/mnas".into(),
            args: vec!["worker".into()],
        };
        let slurm = Slurm::new(plan, command, Path::new("/s"));
        let words = |exclusive| -> Vec<String> {
            let request = Request {
                name: "n".into(),
                exclusive,
                threads: 2,
                args: vec!["--bundle".into(), "n".into()],
            };
            let command = slurm.sbatch(&request);
            command
                .get_args()
                .map(|a| a.to_string_lossy().into_owned())
                .collect()
        };
        let trial = words(false);
        for word in [
            "--no-requeue",
            "--job-name=n",
            "--cpus-per-task=2",
            "--output=/s/jobs/logs/n.log",
            "--partition=gpu",
            "--time=30",
            "--gpus=1",
            r"--wrap=exec '/opt/it'\''s/mnas' 'worker' '--bundle' 'n'",
        ] {
            assert!(trial.iter().any(|w| w == word), "{word}: {trial:?}");
        }
        assert!(!trial.iter().any(|w| w == "--exclusive"));
        assert!(words(true).iter().any(|w| w == "--exclusive"));
    }

    #[test]
    fn a_missing_command_is_named() {
        let error = output(&mut Command::new("no-such-sbatch")).unwrap_err();
        assert!(
            matches!(&error, SchedulerError::Refused { message } if message.contains("no-such-sbatch")),
            "{error}"
        );
    }
}

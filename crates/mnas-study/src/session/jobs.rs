//! Runs a set of jobs to their ends, with retries.

use std::collections::BTreeMap;
use std::time::Duration;

use mnas_search::{Event, Failure, FailureKind, Outcome};

use super::{Flow, Session};
use crate::error::StudyError;
use crate::executor::{Attempt, Report, Verdict};
use crate::job::{Job, JobFailure, JobId, JobOutput, JobProgress};
use crate::update::Update;

/// How often the stop flag is looked at while jobs run.
const POLL: Duration = Duration::from_millis(200);

/// A job to run.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// What people call it.
    pub(crate) name: String,
    /// Its name within the study.
    pub(crate) id: JobId,
    /// The trial whose attempts it counts as, if any.
    pub(crate) trial: Option<u64>,
    /// What to do.
    pub(crate) job: Job,
}

/// How a job ended, after retries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobEnd {
    Done(JobOutput),
    Failed(Failure),
    Lost { attempts: u32, message: String },
}

/// Name of the job that measures a trial.
pub(crate) fn measure_id(trial: u64) -> JobId {
    JobId(format!("trial-{trial}-measure"))
}

/// Name of the job that trains a trial.
pub(crate) fn train_id(trial: u64) -> JobId {
    JobId(format!("trial-{trial}-train"))
}

/// The trial that a job measures or trains.
fn trial_of(id: &JobId) -> Option<u64> {
    let rest = id.0.strip_prefix("trial-")?;
    rest.split_once('-')?.0.parse().ok()
}

/// A job under way.
struct Running {
    work: Work,
    /// The attempt that counts.
    attempt: u32,
    /// Attempts made in this run.
    made: u32,
}

/// Jobs under way.
#[derive(Default)]
pub(crate) struct Jobs(BTreeMap<JobId, Running>);

impl Jobs {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Session<'_> {
    /// Runs jobs to their ends and hands each to `ended` as it comes. A stop drops what is left.
    pub(crate) fn run_jobs(
        &mut self,
        works: Vec<Work>,
        ended: &mut dyn FnMut(&mut Self, Work, JobEnd) -> Result<(), StudyError>,
    ) -> Result<Flow, StudyError> {
        let mut jobs = Jobs::default();
        works
            .into_iter()
            .for_each(|work| self.start(&mut jobs, work));
        let result = self.finish_jobs(&mut jobs, ended);
        self.cancel_jobs_unless_done(&result);
        result
    }

    fn finish_jobs(
        &mut self,
        jobs: &mut Jobs,
        ended: &mut dyn FnMut(&mut Self, Work, JobEnd) -> Result<(), StudyError>,
    ) -> Result<Flow, StudyError> {
        while jobs.len() > 0 {
            let Some(ends) = self.wait(jobs)? else {
                return Ok(Flow::Stopped);
            };
            for (work, end) in ends {
                ended(self, work, end)?;
            }
        }
        Ok(Flow::Done)
    }

    /// Begins a job.
    pub(crate) fn start(&mut self, jobs: &mut Jobs, work: Work) {
        let attempt = work
            .trial
            .map_or(1, |t| self.study.trials()[t as usize].attempt);
        let job = Running {
            work,
            attempt,
            made: 1,
        };
        self.submit(&job);
        jobs.0.insert(job.work.id.clone(), job);
    }

    /// Waits a little, and tells which jobs ended; `None` where a stop was asked for.
    pub(crate) fn wait(
        &mut self,
        jobs: &mut Jobs,
    ) -> Result<Option<Vec<(Work, JobEnd)>>, StudyError> {
        if self.stop_requested() {
            return Ok(None);
        }
        // Another that has taken over submits jobs and reads answers now.
        self.rig.store.held()?;
        let mut ends = vec![];
        for report in self.rig.executor.poll(POLL)? {
            let id = report.id.clone();
            let Some(job) = jobs.0.get_mut(&id).filter(|j| j.attempt == report.attempt) else {
                self.note_stale(report)?;
                continue;
            };
            let Some(end) = self.take(job, report)? else {
                continue;
            };
            if let Some(job) = jobs.0.remove(&id) {
                self.tell(Update::JobDone {
                    name: job.work.name.clone(),
                });
                ends.push((job.work, end));
            }
        }
        Ok(Some(ends))
    }

    /// Lets the executor know that all it reported was taken in, so that it keeps nothing for
    /// another run.
    pub(crate) fn settle(&mut self) {
        if let Err(error) = self.rig.executor.poll(Duration::ZERO) {
            tracing::warn!("{error}");
        }
    }

    /// Drops the jobs under way of a part that didn't come to its end. Where the store failed, jobs
    /// of a cluster go on: another controller may have taken them over, or will.
    pub(crate) fn cancel_jobs_unless_done(&mut self, result: &Result<Flow, StudyError>) {
        if !matches!(result, Ok(Flow::Done) | Err(StudyError::Store(_))) {
            self.cancel_jobs();
        }
    }

    /// Drops all jobs under way.
    pub(crate) fn cancel_jobs(&mut self) {
        self.rig.executor.cancel_all();
    }

    /// Records what an attempt that was given up says after all. It changes nothing.
    fn note_stale(&mut self, report: Report) -> Result<(), StudyError> {
        let attempt = report.attempt;
        let trial = trial_of(&report.id).and_then(|id| self.study.trial(id));
        let Some(trial) = trial.filter(|t| attempt < t.attempt) else {
            return Ok(());
        };
        let current = trial.attempt;
        let trial = trial.id;
        let mut noted = self.study.stale().iter();
        if noted.any(|s| s.trial == trial && s.attempt == attempt) {
            return Ok(());
        }
        let late = |what: String| Outcome::Lost {
            attempts: attempt,
            message: format!("came after attempt {current} had begun: {what}"),
        };
        let outcome = match report.verdict {
            Verdict::Progress(_) => return Ok(()),
            Verdict::Failed(JobFailure::Net(failure)) => Outcome::Failed(failure),
            Verdict::Done(JobOutput::Trained(net)) => {
                late(format!("validation accuracy {}", net.accuracy))
            }
            Verdict::Done(JobOutput::CutShort(..)) => late("cut short".into()),
            Verdict::Done(_) => late("a latency".into()),
            Verdict::Failed(
                JobFailure::Infrastructure { message: m } | JobFailure::Changed { found: m, .. },
            )
            | Verdict::Crashed { message: m }
            | Verdict::Lost { message: m } => late(m),
            Verdict::TimedOut { seconds } => late(format!("ended after {seconds} s")),
        };
        self.append(vec![Event::Finished {
            trial,
            attempt,
            outcome,
        }])
    }

    fn submit(&mut self, job: &Running) {
        let training = matches!(job.work.job, Job::Train(_));
        self.rig.executor.submit(Attempt {
            id: job.work.id.clone(),
            number: job.attempt,
            job: job.work.job.clone(),
            seconds_max: self.plan.job_seconds_max.filter(|_| training),
        });
    }

    /// What a report means: the job's end, or nothing yet.
    fn take(&mut self, job: &mut Running, report: Report) -> Result<Option<JobEnd>, StudyError> {
        let crashed = |message| {
            JobEnd::Failed(Failure {
                kind: FailureKind::Crashed,
                message,
            })
        };
        let made = job.made;
        match report.verdict {
            Verdict::Progress(progress) => {
                self.tell_progress(&job.work.name, progress);
                Ok(None)
            }
            Verdict::Done(output) => Ok(Some(JobEnd::Done(output))),
            Verdict::Failed(JobFailure::Net(failure)) => Ok(Some(JobEnd::Failed(failure))),
            Verdict::Failed(JobFailure::Changed {
                what,
                planned,
                found,
            }) => Err(StudyError::Changed {
                what,
                planned,
                found,
            }),
            Verdict::Failed(JobFailure::Infrastructure { message }) | Verdict::Lost { message } => {
                let lost = JobEnd::Lost {
                    attempts: made,
                    message: message.clone(),
                };
                self.retry(job, message, lost)
            }
            Verdict::Crashed { message } => self.retry(job, message.clone(), crashed(message)),
            Verdict::TimedOut { seconds } => Ok(Some(crashed(format!(
                "the job took longer than {seconds} s and was ended"
            )))),
        }
    }

    /// Tries once more, or ends with `end` where that was the last attempt.
    fn retry(
        &mut self,
        job: &mut Running,
        message: String,
        end: JobEnd,
    ) -> Result<Option<JobEnd>, StudyError> {
        if job.made >= self.plan.attempts_max {
            return Ok(Some(end));
        }
        job.made += 1;
        job.attempt += 1;
        if let Some(trial) = job.work.trial {
            let reason = message.clone();
            self.append(vec![Event::Retried {
                trial,
                attempt: job.attempt,
                reason,
            }])?;
        }
        self.tell(Update::Retry {
            name: job.work.name.clone(),
            attempt: job.attempt,
            message,
        });
        self.submit(job);
        Ok(None)
    }

    fn tell_progress(&mut self, name: &str, progress: JobProgress) {
        let JobProgress {
            fraction,
            epoch,
            loss,
            accuracy,
        } = progress;
        self.tell(Update::Job {
            name: name.into(),
            fraction,
            epoch,
            loss,
            accuracy,
        });
    }
}

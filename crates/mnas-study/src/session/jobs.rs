//! Runs a set of jobs to their ends, with retries.

use std::collections::BTreeMap;
use std::time::Duration;

use mnas_search::{Event, Failure, FailureKind};

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

/// A job under way.
struct Running {
    work: Work,
    /// The attempt that counts.
    attempt: u32,
    /// Attempts made in this run.
    made: u32,
}

impl Session<'_> {
    /// Runs jobs to their ends and hands each to `ended` as it comes. A stop drops what is left.
    pub(crate) fn run_jobs(
        &mut self,
        works: Vec<Work>,
        ended: &mut dyn FnMut(&mut Self, Work, JobEnd) -> Result<(), StudyError>,
    ) -> Result<Flow, StudyError> {
        let mut running: BTreeMap<JobId, Running> = BTreeMap::new();
        for work in works {
            let attempt = work
                .trial
                .map_or(1, |t| self.study.trials()[t as usize].attempt);
            let job = Running {
                work,
                attempt,
                made: 1,
            };
            self.submit(&job);
            running.insert(job.work.id.clone(), job);
        }
        let result = self.wait_for(&mut running, ended);
        if !matches!(result, Ok(Flow::Done)) {
            self.rig.executor.cancel_all();
        }
        result
    }

    fn wait_for(
        &mut self,
        running: &mut BTreeMap<JobId, Running>,
        ended: &mut dyn FnMut(&mut Self, Work, JobEnd) -> Result<(), StudyError>,
    ) -> Result<Flow, StudyError> {
        while !running.is_empty() {
            if self.stop_requested() {
                return Ok(Flow::Stopped);
            }
            for report in self.rig.executor.poll(POLL)? {
                let id = report.id.clone();
                let Some(job) = running.get_mut(&id).filter(|j| j.attempt == report.attempt) else {
                    // An attempt that was given up still speaks.
                    continue;
                };
                let Some(end) = self.take(job, report)? else {
                    continue;
                };
                if let Some(job) = running.remove(&id) {
                    self.tell(Update::JobDone {
                        name: job.work.name.clone(),
                    });
                    ended(self, job.work, end)?;
                }
            }
        }
        Ok(Flow::Done)
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

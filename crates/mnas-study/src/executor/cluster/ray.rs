//! Ray, through the REST interface of its jobs. Its logs aren't used (they die with their node),
//! nor its retries (it has none).

mod package;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::scheduler::{JobState, Request, Scheduler, SchedulerError};
use super::slurm::quoted;
use super::worker::WorkerCommand;
use crate::plan::RayPlan;
use package::Package;

/// Limits of one call; an upload is the long one.
const CONNECT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(60);
const UPLOAD: Duration = Duration::from_secs(600);
/// Ended jobs removed from Ray's list per look at it.
const TIDIED_AT_A_TIME: usize = 32;

/// Jobs by Ray's REST interface.
#[derive(Debug)]
pub struct Ray {
    plan: RayPlan,
    command: WorkerCommand,
    prefix: String,
    agent: ureq::Agent,
    package: Option<Package>,
    /// Jobs that ended well and were listed so before.
    ended: BTreeSet<String>,
}

/// What Ray answered.
struct Reply {
    status: u16,
    body: String,
}

impl Ray {
    /// A scheduler that starts `command` for jobs whose names begin with `prefix`.
    pub fn new(plan: RayPlan, command: WorkerCommand, prefix: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(CALL))
            .http_status_as_error(false)
            .build();
        Self {
            plan,
            command,
            prefix,
            agent: config.new_agent(),
            package: None,
            ended: BTreeSet::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.plan.address.trim_end_matches('/'))
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> SchedulerError {
        let message = format!("{}: {error}", self.plan.address);
        SchedulerError::Unreachable { message }
    }

    fn reply(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Reply, SchedulerError> {
        let mut response = sent.map_err(|e| self.unreachable(&e))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(256 << 20);
        let body = body.read_to_string().map_err(|e| self.unreachable(&e))?;
        Ok(Reply { status, body })
    }

    fn get(&self, path: &str) -> Result<Reply, SchedulerError> {
        self.reply(self.agent.get(self.url(path)).call())
    }

    fn delete(&self, path: &str) -> Result<Reply, SchedulerError> {
        self.reply(self.agent.delete(self.url(path)).call())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Reply, SchedulerError> {
        let call = self.agent.post(self.url(path));
        let call = call.header("content-type", "application/json");
        self.reply(call.send(body.to_string()))
    }

    /// An answer that isn't the one expected: Ray's own trouble, or a request that it refuses.
    fn odd(&self, what: &str, reply: &Reply) -> SchedulerError {
        let text: String = reply.body.trim().chars().take(400).collect();
        let message = format!("{}: {what}: {} {text}", self.plan.address, reply.status);
        match reply.status {
            400..=499 => SchedulerError::Refused { message },
            _ => SchedulerError::Unreachable { message },
        }
    }

    /// Where the program lies on the nodes: a path of theirs, or a package that is uploaded. Ray
    /// drops packages that nothing has used for a while, so each submission looks again.
    fn program(&mut self) -> Result<(String, Value), SchedulerError> {
        if let Some(program) = &self.plan.program {
            return Ok((program.display().to_string(), json!({})));
        }
        if self.package.is_none() {
            let package = Package::of(&self.command.program);
            self.package = Some(package.map_err(|e| SchedulerError::Refused {
                message: format!("{}: {e}", self.command.program.display()),
            })?);
        }
        let Some(package) = &self.package else {
            unreachable!("the package was made above")
        };
        let path = format!("/api/packages/gcs/{}", package.name);
        if self.get(&path)?.status != 200 {
            let call = self.agent.put(self.url(&path));
            let call = call.config().timeout_global(Some(UPLOAD)).build();
            let reply = self.reply(call.send(&package.bytes[..]))?;
            if reply.status != 200 {
                return Err(self.odd("upload of the program", &reply));
            }
        }
        let directory = format!("gcs://{}", package.name);
        let program = format!("./{}", package::PROGRAM);
        Ok((program, json!({ "working_dir": directory })))
    }

    fn body(&self, request: &Request, program: &str, runtime_env: &Value) -> Value {
        let words = [program.to_string()];
        let words = words.iter().chain(&self.command.args).chain(&request.args);
        let words: Vec<String> = words.map(|w| quoted(w)).collect();
        let mut body = json!({
            "entrypoint": format!("exec {}", words.join(" ")),
            "submission_id": request.name,
            "runtime_env": runtime_env,
            "entrypoint_num_cpus": request.threads,
            "metadata": { "study": self.prefix },
        });
        let resources = match request.exclusive {
            true => &self.plan.measure_resources,
            false => &self.plan.resources,
        };
        if !resources.is_empty() {
            body["entrypoint_resources"] = json!(resources);
        }
        if !request.exclusive && self.plan.gpus > 0.0 {
            body["entrypoint_num_gpus"] = json!(self.plan.gpus);
        }
        if !self.plan.labels.is_empty() {
            body["entrypoint_label_selector"] = json!(self.plan.labels);
        }
        body
    }

    /// Whether a job of that name lives; one that has ended is removed from Ray's list.
    fn lives(&self, name: &str) -> Result<bool, SchedulerError> {
        let path = format!("/api/jobs/{name}");
        let reply = self.get(&path)?;
        let job: Value = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        if matches!(state(&job), Some(JobState::Waiting | JobState::Running)) {
            return Ok(true);
        }
        let gone = self.delete(&path)?;
        match gone.status {
            200 | 404 => Ok(false),
            _ => Err(self.odd("removing an ended job", &gone)),
        }
    }

    /// Removes jobs that ended well from Ray's list, which else grows with the study.
    fn tidy(&mut self, jobs: &BTreeMap<String, JobState>) {
        let done = |state: &JobState| matches!(state, JobState::Ended { well: true, .. });
        let done = jobs.iter().filter(|(_, state)| done(state));
        let done: BTreeSet<String> = done.map(|(name, _)| name.clone()).collect();
        for name in done.intersection(&self.ended).take(TIDIED_AT_A_TIME) {
            // What can't be removed now is tried again at the next look.
            if let Err(error) = self.delete(&format!("/api/jobs/{name}")) {
                tracing::debug!("{name} stays in Ray's list: {error}");
            }
        }
        self.ended = done;
    }
}

/// The state of a job as Ray describes it.
fn state(job: &Value) -> Option<JobState> {
    let message = job["message"].as_str().unwrap_or_default();
    // What follows is a Python trace.
    let message = message.lines().next().unwrap_or_default();
    Some(match job["status"].as_str()? {
        "PENDING" => JobState::Waiting,
        "RUNNING" => JobState::Running,
        "SUCCEEDED" => JobState::Ended {
            well: true,
            message: "it ended well, but its answer is missing".into(),
        },
        other => JobState::Ended {
            well: false,
            message: format!("it ended as {other}: {message}"),
        },
    })
}

impl Scheduler for Ray {
    fn name(&self) -> &'static str {
        "Ray"
    }

    fn overhead_seconds(&self) -> f64 {
        // Measured on Ray 2.60: each job starts a Python process that supervises it.
        1.6
    }

    fn keeps_measuring_apart(&self) -> bool {
        !self.plan.measure_resources.is_empty()
    }

    fn submit(&mut self, request: &Request) -> Result<(), SchedulerError> {
        let (program, runtime_env) = self.program()?;
        let body = self.body(request, &program, &runtime_env);
        let mut reply = self.post("/api/jobs/", &body)?;
        // Ray says so with status 500, and means a job that may have ended long ago.
        if reply.body.contains("already exists") {
            if self.lives(&request.name)? {
                return Ok(());
            }
            reply = self.post("/api/jobs/", &body)?;
        }
        match reply.status {
            200 => Ok(()),
            _ => Err(self.odd("submitting a job", &reply)),
        }
    }

    fn list(&mut self) -> Result<BTreeMap<String, JobState>, SchedulerError> {
        let reply = self.get("/api/jobs/")?;
        if reply.status != 200 {
            return Err(self.odd("listing jobs", &reply));
        }
        let jobs: Vec<Value> =
            serde_json::from_str(&reply.body).map_err(|e| SchedulerError::Refused {
                message: format!("{} lists no jobs ({e}): is it Ray?", self.plan.address),
            })?;
        let named = jobs.iter().filter_map(|job| {
            let name = job["submission_id"].as_str()?;
            let ours = name.starts_with(&self.prefix);
            ours.then(|| Some((name.to_string(), state(job)?)))?
        });
        let jobs: BTreeMap<String, JobState> = named.collect();
        self.tidy(&jobs);
        Ok(jobs)
    }

    fn cancel(&mut self, names: &[String]) -> Result<(), SchedulerError> {
        for name in names {
            let reply = self.post(&format!("/api/jobs/{name}/stop"), &json!({}))?;
            if !matches!(reply.status, 200 | 404) {
                return Err(self.odd("stopping a job", &reply));
            }
        }
        Ok(())
    }
}

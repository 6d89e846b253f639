//! A study as runs of an MLflow server, by its REST interface (API 2.0): an experiment with the
//! study's name, and a run per trial. Runs that are there already are left alone, so that a study
//! that went on can be exported again.

use std::collections::BTreeSet;
use std::time::Duration;

use mnas_search::{Outcome, Study, Trial};
use serde_json::{Value, json};

use super::table::{Choices, Table, device, failure, latency, one_line, state};
use super::{Exported, InterchangeError};

/// Most seconds that one request may take.
const CALL: Duration = Duration::from_secs(60);

/// Longest answer: a page of runs with their tags.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Tags that tell which trial a run is, and of the study begun when (milliseconds since 1970).
const STUDY: &str = "mnas.study_started_ms";
const TRIAL: &str = "mnas.trial";

/// Parameters that MLflow takes in one request.
const PARAMS_MAX: usize = 100;

/// Exports every trial that has an outcome and isn't there yet.
///
/// # Errors
/// [`InterchangeError::Unreachable`] or [`InterchangeError::Refused`]; runs that were written stay.
pub(super) fn export(
    url: &str,
    name: &str,
    study: &Study,
    table: &Table,
) -> Result<Exported, InterchangeError> {
    let server = Server::new(url);
    let experiment = server.experiment(name)?;
    // The start tells studies of one name apart, and needs no quotes in a filter.
    let key = study.started_ms().to_string();
    let known = server.known(&experiment, &key)?;
    let (mut trials, mut kept) = (0, 0);
    for (trial, times) in study.trials().iter().zip(&table.times) {
        match &trial.outcome {
            None => {}
            Some(_) if known.contains(&trial.id.to_string()) => kept += 1,
            Some(outcome) => {
                server.run(&experiment, &key, table.decisions(), trial, outcome, *times)?;
                trials += 1;
            }
        }
    }
    Ok(Exported {
        trials,
        kept,
        to: format!("{url}/#/experiments/{experiment}"),
    })
}

struct Server<'a> {
    url: &'a str,
    agent: ureq::Agent,
}

impl<'a> Server<'a> {
    fn new(url: &'a str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(CALL))
            .http_status_as_error(false)
            .build();
        Self {
            url,
            agent: config.new_agent(),
        }
    }

    fn url(&self, method: &str) -> String {
        format!("{}/api/2.0/mlflow/{method}", self.url)
    }

    /// Posts to a method and gives status and answer.
    fn ask(&self, method: &str, body: &Value) -> Result<(u16, Value), InterchangeError> {
        let call = self.agent.post(self.url(method));
        let call = call.header("content-type", "application/json");
        self.answer(call.send(body.to_string()))
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Value), InterchangeError> {
        let unreachable = |e: ureq::Error| InterchangeError::Unreachable {
            url: self.url.into(),
            message: e.to_string(),
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string().map_err(unreachable)?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((status, answer))
    }

    fn post(&self, method: &str, body: &Value) -> Result<Value, InterchangeError> {
        match self.ask(method, body)? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(self.refused(status, &answer)),
        }
    }

    fn refused(&self, status: u16, answer: &Value) -> InterchangeError {
        let words = answer.get("message").or(Some(answer));
        let words = words.and_then(Value::as_str).unwrap_or("no words");
        InterchangeError::Refused {
            url: self.url.into(),
            status,
            message: words.chars().take(300).collect(),
        }
    }

    /// The experiment of this name, made where there is none.
    fn experiment(&self, name: &str) -> Result<String, InterchangeError> {
        let (status, made) = self.ask("experiments/create", &json!({ "name": name }))?;
        if status == 200 {
            return self.text(&made, "/experiment_id");
        }
        if made.get("error_code").and_then(Value::as_str) != Some("RESOURCE_ALREADY_EXISTS") {
            return Err(self.refused(status, &made));
        }
        // Not by a filter, whose texts know no escape.
        let call = self.agent.get(self.url("experiments/get-by-name"));
        match self.answer(call.query("experiment_name", name).call())? {
            (200, found) => self.text(&found, "/experiment/experiment_id"),
            (status, answer) => Err(self.refused(status, &answer)),
        }
    }

    /// Trials of the study that have a run in the experiment.
    fn known(&self, experiment: &str, key: &str) -> Result<BTreeSet<String>, InterchangeError> {
        let filter = format!("tags.`{STUDY}` = '{key}'");
        let mut known = BTreeSet::new();
        let mut page = Value::Null;
        loop {
            let mut body = json!({
                "experiment_ids": [experiment], "filter": filter, "max_results": 1000,
            });
            if !page.is_null() {
                body["page_token"] = page;
            }
            let found = self.post("runs/search", &body)?;
            let runs = found.get("runs").and_then(Value::as_array);
            for tag in runs.into_iter().flatten().flat_map(tags) {
                if tag["key"] == TRIAL {
                    known.extend(tag["value"].as_str().map(String::from));
                }
            }
            page = found.get("next_page_token").cloned().unwrap_or_default();
            if page.as_str().unwrap_or_default().is_empty() {
                return Ok(known);
            }
        }
    }

    /// Makes the run of a trial.
    fn run(
        &self,
        experiment: &str,
        key: &str,
        decisions: &[Choices],
        trial: &Trial,
        outcome: &Outcome,
        (began, ended): (u64, Option<u64>),
    ) -> Result<(), InterchangeError> {
        let run = json!({
            "experiment_id": experiment,
            "run_name": format!("trial {}", trial.id),
            "start_time": began,
        });
        let run = self.post("runs/create", &run)?;
        let id = self.text(&run, "/run/info/run_id")?;
        let ended = ended.unwrap_or(began);
        let params = params(decisions, trial);
        let (first, rest) = params.split_at(params.len().min(PARAMS_MAX));
        let batch = json!({
            "run_id": id,
            "metrics": metrics(trial, ended),
            "params": first,
            "tags": trial_tags(trial),
        });
        self.post("runs/log-batch", &batch)?;
        for more in rest.chunks(PARAMS_MAX) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": more }))?;
        }
        // The tags by which a run is known come last: what was cut off is made anew.
        let known = [(STUDY, key.to_string()), (TRIAL, trial.id.to_string())];
        let known = known.map(|(key, value)| json!({ "key": key, "value": value }));
        self.post("runs/log-batch", &json!({ "run_id": id, "tags": known }))?;
        let status = match outcome {
            Outcome::Done(_) | Outcome::TooSlow { .. } => "FINISHED",
            _ => "FAILED",
        };
        let end = json!({ "run_id": id, "status": status, "end_time": ended });
        self.post("runs/update", &end).map(drop)
    }

    /// A text in an answer.
    fn text(&self, answer: &Value, pointer: &str) -> Result<String, InterchangeError> {
        let text = answer.pointer(pointer).and_then(Value::as_str);
        text.map(String::from)
            .ok_or_else(|| self.refused(200, &Value::from(format!("no {pointer} in the answer"))))
    }
}

fn tags(run: &Value) -> impl Iterator<Item = &Value> {
    let tags = run.pointer("/data/tags").and_then(Value::as_array);
    tags.into_iter().flatten()
}

fn params(decisions: &[Choices], trial: &Trial) -> Vec<Value> {
    let choice = |(at, choices): (usize, &Choices)| {
        let token = usize::from(*trial.tokens.get(at)?);
        let value = choices.decision.choices.get(token)?;
        Some(json!({ "key": choices.decision.name, "value": value }))
    };
    decisions.iter().enumerate().filter_map(choice).collect()
}

fn metrics(trial: &Trial, time_ms: u64) -> Vec<Value> {
    let measured = trial.metrics();
    [
        ("accuracy", trial.accuracy()),
        ("latency_ms", trial.latency_ms()),
        ("reward", trial.reward),
        ("macs", measured.map(|m| m.macs as f64)),
        ("params", measured.map(|m| m.params as f64)),
        ("train_seconds", measured.map(|m| m.train_seconds)),
        ("measure_seconds", measured.map(|m| m.measure_seconds)),
    ]
    .into_iter()
    .filter_map(|(key, value)| {
        let value = value.filter(|v| v.is_finite())?;
        // The step is the trial, so that a metric over all runs is a curve.
        Some(json!({ "key": key, "value": value, "timestamp": time_ms, "step": trial.id }))
    })
    .collect()
}

fn trial_tags(trial: &Trial) -> Vec<Value> {
    let source = latency(trial).map(|l| device(&l.source));
    [
        ("state", Some(state(trial).to_string())),
        ("spec", Some(one_line(&trial.spec))),
        ("hash", Some(trial.hash.clone())),
        ("device", source.map(|s| s.0.to_string())),
        ("engine", source.and_then(|s| Some(s.1?.to_string()))),
        ("duplicate_of", trial.duplicate_of.map(|t| t.to_string())),
        ("failure", failure(trial)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(json!({ "key": key, "value": value? })))
    .collect()
}

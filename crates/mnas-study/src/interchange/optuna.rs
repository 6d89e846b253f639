//! A study in Optuna's own tables, which `optuna.load_study` and optuna-dashboard open.
//!
//! The tables are Optuna's, not a documented interface: this writes version 12 of its schema
//! (Optuna 3.2 to 5.0), which Optuna checks when it opens the file. Two objectives: accuracy, to be
//! maximised, and latency, to be minimised. Decisions are categorical, with the space's choices.

use std::path::Path;

use mnas_search::{Outcome, Study, Trial, utc};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};

use super::table::{Choices, Table, Values, device, failure, latency, one_line, state};
use super::{InterchangeError, write as write_error};

/// Optuna's tables, as its SQLAlchemy models make them, with its version.
const SCHEMA: &str = include_str!("optuna.sql");

/// Rows per statement; SQLite takes at most 32,766 values in one.
const ROWS: usize = 4_000;

/// Writes the file.
///
/// # Errors
/// [`InterchangeError::Write`]; a file that was there stays as it was.
pub(super) fn write(
    path: &Path,
    name: &str,
    study: &Study,
    table: &Table,
) -> Result<(), InterchangeError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    let file = file.map_err(|e| write_error(path, e))?;
    let options = SqliteConnectOptions::new().filename(file.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| write_error(path, e))?;
    runtime
        .block_on(fill(&options, name, study, table))
        .map_err(|e| write_error(path, e))?;
    file.persist(path).map_err(|e| write_error(path, e.error))?;
    Ok(())
}

async fn fill(
    options: &SqliteConnectOptions,
    name: &str,
    study: &Study,
    table: &Table,
) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    let mut c = connection.begin().await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *c).await?;
    sqlx::query("INSERT INTO studies (study_id, study_name) VALUES (1, $1)")
        .bind(name)
        .execute(&mut *c)
        .await?;
    sqlx::raw_sql(
        "INSERT INTO study_directions (direction, study_id, objective) VALUES
            ('MAXIMIZE', 1, 0), ('MINIMIZE', 1, 1);
         INSERT INTO study_system_attributes (study_id, key, value_json) VALUES
            (1, 'study:metric_names', '[\"accuracy\", \"latency_ms\"]')",
    )
    .execute(&mut *c)
    .await?;
    let attributes = study_attributes(study);
    insert(
        &mut c,
        "study_user_attributes (study_id, key, value_json)",
        &attributes,
        |row, (key, value)| {
            row.push_bind(1_i64)
                .push_bind(*key)
                .push_bind(value.to_string());
        },
    )
    .await?;
    let trials: Vec<(&Trial, (u64, Option<u64>))> = study
        .trials()
        .iter()
        .zip(table.times.iter().copied())
        .collect();
    insert_trials(&mut c, &trials).await?;
    insert_params(&mut c, table.decisions(), study.trials()).await?;
    c.commit().await?;
    connection.close().await
}

/// Inserts rows, many in a statement.
async fn insert<T>(
    c: &mut SqliteConnection,
    into: &str,
    rows: &[T],
    bind: impl Fn(&mut sqlx::query_builder::Separated<'_, Sqlite, &'static str>, &T) + Copy,
) -> Result<(), sqlx::Error> {
    for chunk in rows.chunks(ROWS) {
        let mut query = QueryBuilder::new(format!("INSERT INTO {into} "));
        query.push_values(chunk, |mut row, value| bind(&mut row, value));
        query.build().execute(&mut *c).await?;
    }
    Ok(())
}

/// An id in the file: Optuna counts them from 1.
fn id(trial: &Trial) -> i64 {
    trial.id as i64 + 1
}

async fn insert_trials(
    c: &mut SqliteConnection,
    trials: &[(&Trial, (u64, Option<u64>))],
) -> Result<(), sqlx::Error> {
    // Optuna's times have no zone; these are in UTC. Its driver reads six digits after the point.
    let moment = |ms: u64| format!("{}000", utc(ms, ' '));
    insert(
        c,
        "trials (trial_id, number, study_id, state, datetime_start, datetime_complete)",
        trials,
        |row, (t, (began, ended))| {
            let state = optuna_state(t);
            let ended = ended.filter(|_| state != "RUNNING");
            row.push_bind(id(t))
                .push_bind(t.id as i64)
                .push_bind(1_i64)
                .push_bind(state)
                .push_bind(moment(*began))
                .push_bind(ended.map(moment));
        },
    )
    .await?;
    let values: Vec<(i64, i64, f64)> = trials
        .iter()
        .filter_map(|(t, _)| Some((id(t), objectives(t)?)))
        .flat_map(|(id, (accuracy, ms))| [(id, 0, accuracy), (id, 1, ms)])
        .collect();
    insert(
        c,
        "trial_values (trial_id, objective, value, value_type)",
        &values,
        |row, (id, objective, value)| {
            row.push_bind(*id)
                .push_bind(*objective)
                .push_bind(*value)
                .push_bind("FINITE");
        },
    )
    .await?;
    let attributes: Vec<(i64, &str, Value)> = trials
        .iter()
        .flat_map(|(t, _)| trial_attributes(t).map(move |(key, value)| (id(t), key, value)))
        .collect();
    insert(
        c,
        "trial_user_attributes (trial_id, key, value_json)",
        &attributes,
        |row, (id, key, value)| {
            row.push_bind(*id)
                .push_bind(*key)
                .push_bind(value.to_string());
        },
    )
    .await
}

async fn insert_params(
    c: &mut SqliteConnection,
    decisions: &[Choices],
    trials: &[Trial],
) -> Result<(), sqlx::Error> {
    let distributions: Vec<String> = decisions.iter().map(distribution).collect();
    let rows: Vec<(i64, usize, u16)> = trials
        .iter()
        .flat_map(|t| {
            t.tokens
                .iter()
                .enumerate()
                .map(move |(at, k)| (id(t), at, *k))
        })
        .collect();
    insert(
        c,
        "trial_params (trial_id, param_name, param_value, distribution_json)",
        &rows,
        |row, (id, at, token)| {
            row.push_bind(*id)
                .push_bind(decisions[*at].decision.name.as_str())
                .push_bind(f64::from(*token))
                .push_bind(distributions[*at].as_str());
        },
    )
    .await
}

/// A categorical distribution in Optuna's words; a parameter's value is the index of its choice.
fn distribution(choices: &Choices) -> String {
    let values: Vec<Value> = match &choices.values {
        Values::Whole(v) => v.iter().map(|v| json!(v)).collect(),
        Values::Real(v) => v.iter().map(|v| json!(v)).collect(),
        _ => choices.decision.choices.iter().map(|c| json!(c)).collect(),
    };
    json!({ "name": "CategoricalDistribution", "attributes": { "choices": values } }).to_string()
}

/// What a state is in Optuna. A network that was too slow to train has values, with which samplers
/// learn; the attribute `state` tells it apart.
fn optuna_state(trial: &Trial) -> &'static str {
    match &trial.outcome {
        Some(Outcome::Done(_) | Outcome::TooSlow { .. }) => "COMPLETE",
        Some(_) => "FAIL",
        None => "RUNNING",
    }
}

/// Accuracy and latency; chance accuracy where a network was too slow to train.
fn objectives(trial: &Trial) -> Option<(f64, f64)> {
    match trial.outcome.as_ref()? {
        Outcome::Done(m) => Some((m.accuracy, m.latency.median_ms)),
        Outcome::TooSlow { latency, accuracy } => Some((*accuracy, latency.median_ms)),
        _ => None,
    }
}

fn study_attributes(study: &Study) -> Vec<(&'static str, Value)> {
    let plan = |pointer: &str| study.plan().pointer(pointer).cloned();
    [
        ("mnas:data", plan("/data/source")),
        ("mnas:device", plan("/device/device")),
        ("mnas:engine", plan("/device/engine")),
        ("mnas:space", plan("/space/name")),
        ("mnas:algorithm", plan("/controller/algorithm")),
        ("mnas:objective", plan("/objective")),
        ("mnas:target_ms", study.target_ms().map(Value::from)),
        ("mnas:seed", Some(study.seed().into())),
        ("mnas:version", Some(env!("CARGO_PKG_VERSION").into())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_null())?)))
    .collect()
}

fn trial_attributes(trial: &Trial) -> impl Iterator<Item = (&'static str, Value)> + use<> {
    let metrics = trial.metrics();
    let source = latency(trial).map(|l| device(&l.source));
    [
        ("state", Some(state(trial).into())),
        ("attempt", Some(trial.attempt.into())),
        ("reward", trial.reward.map(Value::from)),
        ("macs", metrics.map(|m| m.macs.into())),
        ("params", metrics.map(|m| m.params.into())),
        ("train_seconds", metrics.map(|m| m.train_seconds.into())),
        ("device", source.map(|s| s.0.into())),
        ("engine", source.and_then(|s| Some(s.1?.into()))),
        ("duplicate_of", trial.duplicate_of.map(Value::from)),
        ("spec", Some(one_line(&trial.spec).into())),
        ("hash", Some(trial.hash.as_str().into())),
        ("failure", failure(trial).map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
}

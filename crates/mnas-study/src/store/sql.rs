//! The tables and the SQL of both databases, in words that both understand.

use std::borrow::Cow;

use mnas_search::Event;
use sqlx::{Database, Encode, Executor, FromRow, IntoArguments, Type};

use super::{Key, Light, SNAPSHOTS_KEPT, StoreError, Stored, join_snapshot, split_snapshot};

/// The store's versions: entry `i` leads from version `i` to `i + 1`. Entries are never edited.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE events (
        seq BIGINT NOT NULL PRIMARY KEY,
        time_ms BIGINT NOT NULL,
        kind TEXT NOT NULL,
        trial BIGINT,
        attempt BIGINT,
        batch BIGINT,
        body TEXT NOT NULL
    )",
    // NULLs are distinct, so events without a trial (or batch) don't collide.
    "CREATE UNIQUE INDEX events_trial ON events (kind, trial, attempt)",
    "CREATE UNIQUE INDEX events_batch ON events (kind, batch)",
    "CREATE TABLE snapshots (seq BIGINT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
]];

/// The table that tells the version, and its only row.
pub(super) const VERSION_TABLE: [&str; 2] = [
    "CREATE TABLE mnas_store (version BIGINT NOT NULL)",
    "INSERT INTO mnas_store (version) VALUES (0)",
];
pub(super) const VERSION: &str = "SELECT version FROM mnas_store";
pub(super) const NEWEST: &str = "SELECT MAX(seq) FROM events";

/// Holds a store's version against what this program knows.
pub(super) fn check_version(found: Option<i64>, place: &str) -> Result<i64, StoreError> {
    let place = place.to_string();
    let known = MIGRATIONS.len() as i64;
    match found {
        Some(found) if found > known => Err(StoreError::Newer {
            place,
            found,
            known,
        }),
        Some(found) if found >= 0 => Ok(found),
        _ => Err(StoreError::NotAStudy { place }),
    }
}

/// Leads the tables from version `from` to the newest, within a transaction.
pub(super) async fn migrate<DB>(c: &mut DB::Connection, from: i64) -> Result<(), sqlx::Error>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
{
    for (i, steps) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        for sql in *steps {
            sqlx::query(*sql).execute(&mut *c).await?;
        }
        sqlx::query("UPDATE mnas_store SET version = $1")
            .bind(i as i64 + 1)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

/// One event as the table holds it.
pub(super) struct EventRow {
    seq: i64,
    key: Key,
    body: String,
    snapshot: Option<String>,
}

/// The rows of events that follow position `last`.
pub(super) fn rows(events: &[Event], last: u64) -> Result<Vec<EventRow>, StoreError> {
    let row = |(event, seq): (&Event, u64)| {
        let (event, snapshot) = split_snapshot(event);
        let key = Key::of(&event);
        let body = serde_json::to_string(&event).map_err(|source| StoreError::Encode {
            kind: key.kind,
            source,
        })?;
        Ok(EventRow {
            seq: seq as i64,
            key,
            body,
            snapshot,
        })
    };
    events.iter().zip(last + 1..).map(row).collect()
}

/// Writes rows, and drops snapshots that nothing needs any more, within a transaction.
pub(super) async fn insert<DB>(
    c: &mut DB::Connection,
    time_ms: u64,
    rows: &[EventRow],
) -> Result<(), sqlx::Error>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    Option<i64>: for<'q> Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    for row in rows {
        sqlx::query(
            "INSERT INTO events (seq, time_ms, kind, trial, attempt, batch, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(row.seq)
        .bind(time_ms as i64)
        .bind(row.key.kind)
        .bind(row.key.trial.map(|t| t as i64))
        .bind(row.key.attempt.map(i64::from))
        .bind(row.key.batch.map(i64::from))
        .bind(row.body.as_str())
        .execute(&mut *c)
        .await?;
        if let Some(snapshot) = &row.snapshot {
            sqlx::query("INSERT INTO snapshots (seq, body) VALUES ($1, $2)")
                .bind(row.seq)
                .bind(snapshot.as_str())
                .execute(&mut *c)
                .await?;
        }
    }
    if rows.iter().all(|row| row.snapshot.is_none()) {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM snapshots WHERE seq NOT IN
         (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT $1)",
    )
    .bind(SNAPSHOTS_KEPT as i64)
    .execute(&mut *c)
    .await?;
    Ok(())
}

/// Position, time, event and snapshot as read.
pub(super) type ReadRow = (i64, i64, String, Option<String>);

/// Events from position `$1` on.
pub(super) const READ: &str = "SELECT e.seq, e.time_ms, e.body, s.body FROM events e
    LEFT JOIN snapshots s ON s.seq = e.seq WHERE e.seq >= $1 ORDER BY e.seq";
/// At most `$2` events from position `$1` on, without snapshots: [`LightRow`]s.
pub(super) const READ_LIGHT: &str =
    "SELECT seq, time_ms, body, kind FROM events WHERE seq >= $1 ORDER BY seq LIMIT $2";
/// The events of trial `$1` and of batch `$2`, without snapshots.
pub(super) const READ_TRIAL: &str = "SELECT seq, time_ms, body, NULL FROM events
    WHERE (kind IN ('finished', 'retried') AND trial = $1)
    OR (kind IN ('proposed', 'observed') AND batch = $2) ORDER BY seq";

/// Rows of a query with these arguments.
pub(super) async fn rows_of<DB, R>(
    c: &mut DB::Connection,
    sql: &'static str,
    arguments: &[i64],
) -> Result<Vec<R>, sqlx::Error>
where
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    R: for<'r> FromRow<'r, DB::Row> + Send + Unpin,
{
    let query = sqlx::query_as(sql);
    let query = arguments.iter().fold(query, |query, a| query.bind(*a));
    query.fetch_all(c).await
}

/// The event of a row.
pub(super) fn stored((seq, time_ms, body, snapshot): ReadRow) -> Result<Stored, StoreError> {
    let seq = seq as u64;
    let mut event: Event =
        serde_json::from_str(&body).map_err(|source| StoreError::Body { seq, source })?;
    if let Some(snapshot) = snapshot {
        join_snapshot(&mut event, snapshot);
    }
    Ok(Stored {
        seq,
        time_ms: time_ms as u64,
        event,
    })
}

/// Position, time, event and kind as read.
pub(super) type LightRow = (i64, i64, String, String);

/// The event of a row, without its latency samples if it is a trial's.
pub(super) fn light((seq, time_ms, body, kind): LightRow) -> Result<Light, StoreError> {
    let (body, samples) = match kind.as_str() {
        "finished" => without_samples(&body),
        _ => (body.as_str().into(), 0),
    };
    let stored = stored((seq, time_ms, body.into_owned(), None))?;
    Ok(Light { stored, samples })
}

/// The key of latency samples in an event. A quotation mark inside a text is escaped, so this can't
/// begin anywhere else.
const SAMPLES: &str = "\"samples_ms\":[";

/// Cuts latency samples out of an event's JSON: reading them takes ten times as long as the rest.
fn without_samples(body: &str) -> (Cow<'_, str>, u32) {
    let Some(start) = body.find(SAMPLES).map(|at| at + SAMPLES.len()) else {
        return (body.into(), 0);
    };
    // An array of numbers ends at the first bracket.
    let Some(len) = body[start..].find(']') else {
        return (body.into(), 0);
    };
    let (list, rest) = body[start..].split_at(len);
    let commas = list.bytes().filter(|b| *b == b',').count() as u32;
    let samples = commas + u32::from(!list.trim().is_empty());
    (format!("{}{rest}", &body[..start]).into(), samples)
}

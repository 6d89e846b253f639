//! Events in a SQLite file. The SQL is kept to what PostgreSQL understands too.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mnas_search::Event;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};
use tokio::runtime::Runtime;

use super::{Key, Light, SNAPSHOTS_KEPT, Store, StoreError, Stored, join_snapshot, split_snapshot};

/// The store's versions: entry `i` leads from version `i` to `i + 1`. Entries are never edited.
const MIGRATIONS: &[&[&str]] = &[&[
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

/// How long a write waits for readers that hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A store in a SQLite file: write-ahead log, synced at each append.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    runtime: Runtime,
    /// Taken only when dropped.
    connection: Option<SqliteConnection>,
    /// Position of the last event read or written here.
    last: u64,
}

impl Sqlite {
    /// Makes a new store.
    ///
    /// # Errors
    /// [`StoreError::Exists`], or a [`StoreError`] where the file can't be written.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(StoreError::Exists { path: path.into() });
        }
        let mut store = Self::connect(path, options(path).create_if_missing(true))?;
        store.block(async |c: &mut SqliteConnection| {
            sqlx::query("CREATE TABLE mnas_store (version BIGINT NOT NULL)")
                .execute(&mut *c)
                .await?;
            sqlx::query("INSERT INTO mnas_store (version) VALUES (0)")
                .execute(&mut *c)
                .await
        })?;
        store.migrate(0)?;
        Ok(store)
    }

    /// Opens a store to append to, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Newer`], [`StoreError::NotAStudy`],
    /// [`StoreError::Corrupt`] or what the file system reports.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::check_exists(path)?;
        let mut store = Self::connect(path, options(path))?;
        let version = store.version()?;
        store.quick_check()?;
        store.migrate(version)?;
        store.last = store.newest()?;
        Ok(store)
    }

    /// Opens a store to read, also while a search appends to it or where its folder can't be
    /// written.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; a version older than this program's is read as it is.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::check_exists(path)?;
        let read_only = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT);
        let mut store = Self::connect(path, read_only.clone())?;
        let version = match store.version() {
            // A write-ahead log needs a shared-memory file beside it, which a folder that can't be
            // written refuses. Without a log the file is complete by itself.
            Err(StoreError::ReadOnly { .. }) if !wal(path).exists() => {
                store = Self::connect(path, read_only.immutable(true))?;
                store.version()?
            }
            version => version?,
        };
        tracing::debug!(version, path = %path.display(), "store opened to read");
        store.last = store.newest()?;
        Ok(store)
    }

    fn check_exists(path: &Path) -> Result<(), StoreError> {
        match path.exists() {
            true => Ok(()),
            false => Err(StoreError::Missing { path: path.into() }),
        }
    }

    fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::Runtime)?;
        let connection = runtime
            .block_on(SqliteConnection::connect_with(&options))
            .map_err(|e| store_error(path, e))?;
        Ok(Self {
            path: path.into(),
            runtime,
            connection: Some(connection),
            last: 0,
        })
    }

    fn block<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.runtime
            .block_on(work(open(&mut self.connection)))
            .map_err(|e| store_error(&self.path, e))
    }

    fn version(&mut self) -> Result<i64, StoreError> {
        let version = self.block(async |c: &mut SqliteConnection| {
            sqlx::query_scalar::<_, i64>("SELECT version FROM mnas_store")
                .fetch_optional(c)
                .await
        });
        let known = MIGRATIONS.len() as i64;
        match version {
            Ok(Some(found)) if found > known => Err(StoreError::Newer {
                path: self.path.clone(),
                found,
                known,
            }),
            Ok(Some(found)) if found >= 0 => Ok(found),
            Ok(_) => Err(StoreError::NotAStudy {
                path: self.path.clone(),
            }),
            // A database of something else has no such table.
            Err(StoreError::Database { source, .. }) if sqlite_code(&source) == Some(1) => {
                Err(StoreError::NotAStudy {
                    path: self.path.clone(),
                })
            }
            Err(e) => Err(e),
        }
    }

    fn quick_check(&mut self) -> Result<(), StoreError> {
        let found = self.block(async |c: &mut SqliteConnection| {
            sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)")
                .fetch_one(c)
                .await
        })?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(StoreError::Corrupt {
                path: self.path.clone(),
                message: found,
            }),
        }
    }

    /// Bounds the file to its size now and `more` pages, as a full disk does.
    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, more: i64) {
        let limited = self.block(async |c: &mut SqliteConnection| {
            let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
                .fetch_one(&mut *c)
                .await?;
            let sql = format!("PRAGMA max_page_count = {}", pages + more);
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(c).await
        });
        limited.unwrap();
    }

    fn migrate(&mut self, from: i64) -> Result<(), StoreError> {
        for (i, steps) in MIGRATIONS.iter().enumerate().skip(from as usize) {
            self.block(async |c: &mut SqliteConnection| {
                let mut tx = c.begin().await?;
                for sql in *steps {
                    sqlx::query(*sql).execute(&mut *tx).await?;
                }
                sqlx::query("UPDATE mnas_store SET version = $1")
                    .bind(i as i64 + 1)
                    .execute(&mut *tx)
                    .await?;
                tx.commit().await
            })?;
        }
        Ok(())
    }

    fn newest(&mut self) -> Result<u64, StoreError> {
        let newest = self.block(async |c: &mut SqliteConnection| {
            sqlx::query_scalar::<_, Option<i64>>("SELECT MAX(seq) FROM events")
                .fetch_one(c)
                .await
        })?;
        Ok(newest.unwrap_or(0) as u64)
    }

    /// The error of a failed append. Both a second writer and a repeated event violate a unique
    /// index; which one, the message doesn't say portably, so look.
    fn append_error(&mut self, error: sqlx::Error, events: &[Event]) -> StoreError {
        let unique = error
            .as_database_error()
            .is_some_and(|e| e.is_unique_violation());
        if !unique {
            return store_error(&self.path, error);
        }
        match self.newest() {
            Ok(newest) if newest > self.last => StoreError::Conflict { seq: self.last + 1 },
            Ok(_) => match self.repeated(events) {
                Some(key) => key.duplicate(),
                None => store_error(&self.path, error),
            },
            Err(e) => e,
        }
    }

    fn repeated(&mut self, events: &[Event]) -> Option<Key> {
        let mut keys: Vec<Key> = self
            .read_from(1)
            .ok()?
            .iter()
            .map(|s| Key::of(&s.event))
            .collect();
        for key in events.iter().map(Key::of).filter(|k| k.unique()) {
            if keys.contains(&key) {
                return Some(key);
            }
            keys.push(key);
        }
        None
    }
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

impl Sqlite {
    /// At most `most` events from position `seq` on, in order, those of trials without their latency
    /// samples, and none with a controller's snapshot.
    ///
    /// # Errors
    /// As [`Store::read_from`].
    pub fn read_light(&mut self, seq: u64, most: u32) -> Result<Vec<Light>, StoreError> {
        let rows = self.block(async |c: &mut SqliteConnection| {
            sqlx::query(
                "SELECT seq, time_ms, body, kind FROM events WHERE seq >= $1 ORDER BY seq LIMIT $2",
            )
            .bind(seq as i64)
            .bind(i64::from(most))
            .fetch_all(c)
            .await
        })?;
        let light = |r: &SqliteRow| {
            let body: String = get(&self.path, r, 2)?;
            let (body, samples) = match get::<String>(&self.path, r, 3)?.as_str() {
                "finished" => without_samples(&body),
                _ => (body.as_str().into(), 0),
            };
            let stored = stored(&self.path, r, &body)?;
            Ok(Light { stored, samples })
        };
        rows.iter().map(light).collect()
    }

    /// The events of one trial and of its batch, in order.
    ///
    /// # Errors
    /// As [`Store::read_from`].
    pub fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<Stored>, StoreError> {
        let rows = self.block(async |c: &mut SqliteConnection| {
            sqlx::query(
                "SELECT seq, time_ms, body FROM events
                 WHERE (kind IN ('finished', 'retried') AND trial = $1)
                 OR (kind IN ('proposed', 'observed') AND batch = $2) ORDER BY seq",
            )
            .bind(trial as i64)
            .bind(i64::from(batch))
            .fetch_all(c)
            .await
        })?;
        let read = |r: &SqliteRow| stored(&self.path, r, &get::<String>(&self.path, r, 2)?);
        rows.iter().map(read).collect()
    }
}

/// A row of position, time and a body that is given apart.
fn stored(path: &Path, row: &SqliteRow, body: &str) -> Result<Stored, StoreError> {
    let seq = get::<i64>(path, row, 0)? as u64;
    let event = serde_json::from_str(body).map_err(|source| StoreError::Body { seq, source })?;
    Ok(Stored {
        seq,
        time_ms: get::<i64>(path, row, 1)? as u64,
        event,
    })
}

impl Store for Sqlite {
    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError> {
        let rows = events
            .iter()
            .zip(self.last + 1..)
            .map(|(e, seq)| row(e, seq));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let written = self
            .runtime
            .block_on(write(open(&mut self.connection), time_ms, &rows));
        if let Err(e) = written {
            return Err(self.append_error(e, events));
        }
        self.last += events.len() as u64;
        Ok(self.last)
    }

    fn read_from(&mut self, seq: u64) -> Result<Vec<Stored>, StoreError> {
        let rows = self.block(async |c: &mut SqliteConnection| {
            sqlx::query(
                "SELECT e.seq, e.time_ms, e.body, s.body FROM events e
                 LEFT JOIN snapshots s ON s.seq = e.seq WHERE e.seq >= $1 ORDER BY e.seq",
            )
            .bind(seq as i64)
            .fetch_all(c)
            .await
        })?;
        let whole = |r: &SqliteRow| {
            let mut stored = stored(&self.path, r, &get::<String>(&self.path, r, 2)?)?;
            if let Some(snapshot) = get::<Option<String>>(&self.path, r, 3)? {
                join_snapshot(&mut stored.event, snapshot);
            }
            Ok(stored)
        };
        let events = rows
            .iter()
            .map(whole)
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.last = events.last().map_or(self.last, |s| s.seq.max(self.last));
        Ok(events)
    }
}

impl Drop for Sqlite {
    /// Waits for the database to close, which folds the write-ahead log into the file.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Every append was synced; a log that stays is read at the next opening.
            let _ = self.runtime.block_on(connection.close());
        }
    }
}

fn open(connection: &mut Option<SqliteConnection>) -> &mut SqliteConnection {
    let open = connection.as_mut();
    open.expect("the connection is taken only when the store is dropped")
}

/// One event as the table holds it.
struct EventRow {
    seq: i64,
    key: Key,
    body: String,
    snapshot: Option<String>,
}

fn row(event: &Event, seq: u64) -> Result<EventRow, StoreError> {
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
}

async fn write(
    connection: &mut SqliteConnection,
    time_ms: u64,
    rows: &[EventRow],
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
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
        .bind(&row.body)
        .execute(&mut *tx)
        .await?;
        if let Some(snapshot) = &row.snapshot {
            sqlx::query("INSERT INTO snapshots (seq, body) VALUES ($1, $2)")
                .bind(row.seq)
                .bind(snapshot)
                .execute(&mut *tx)
                .await?;
        }
    }
    sqlx::query(
        "DELETE FROM snapshots WHERE seq NOT IN
         (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT $1)",
    )
    .bind(SNAPSHOTS_KEPT as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

fn get<'r, T>(path: &Path, row: &'r SqliteRow, i: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(i).map_err(|e| store_error(path, e))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// SQLite's primary result code (<https://www.sqlite.org/rescode.html>) of an error.
fn sqlite_code(error: &sqlx::Error) -> Option<i64> {
    let code = error.as_database_error()?.code()?.parse::<i64>().ok()?;
    Some(code & 0xff)
}

fn store_error(path: &Path, error: sqlx::Error) -> StoreError {
    let path = path.to_path_buf();
    match sqlite_code(&error) {
        Some(5 | 6) => StoreError::Busy { path },
        // Read-only, can't open (files beside it included), no permission.
        Some(8 | 14 | 3) => StoreError::ReadOnly { path },
        Some(11) => StoreError::Corrupt {
            path,
            message: error.to_string(),
        },
        Some(13) => StoreError::DiskFull { path },
        Some(26) => StoreError::NotAStudy { path },
        _ => StoreError::Database {
            path,
            source: Box::new(error),
        },
    }
}

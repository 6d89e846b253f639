//! Events in a SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mnas_search::Event;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;

use super::sql::{self, EventRow};
use super::{Light, Store, StoreError, Stored, repeated};

/// How long a write waits for readers that hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that the driver's thread reads ahead: with its usual 50, two threads wake one another all the
/// time while a long study is read.
const ROWS_AHEAD: usize = 1024;

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
            return Err(StoreError::Exists {
                place: path.display().to_string(),
            });
        }
        let mut store = Self::connect(path, options(path).create_if_missing(true))?;
        store.block(async |c: &mut SqliteConnection| {
            for step in sql::VERSION_TABLE {
                sqlx::query(step).execute(&mut *c).await?;
            }
            Ok(())
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
            false => Err(StoreError::Missing {
                place: path.display().to_string(),
            }),
        }
    }

    fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::Runtime)?;
        let connection = runtime
            .block_on(SqliteConnection::connect_with(
                &options.row_buffer_size(ROWS_AHEAD),
            ))
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
            sqlx::query_scalar(sql::VERSION).fetch_optional(c).await
        });
        let place = self.path.display().to_string();
        match version {
            Ok(found) => sql::check_version(found, &place),
            // A database of something else has no such table.
            Err(StoreError::Database { source, .. }) if sqlite_code(&source) == Some(1) => {
                Err(StoreError::NotAStudy { place })
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
                place: self.path.display().to_string(),
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
        self.block(async |c: &mut SqliteConnection| {
            let mut tx = c.begin().await?;
            sql::migrate::<sqlx::Sqlite>(&mut tx, from).await?;
            tx.commit().await
        })
    }

    fn newest(&mut self) -> Result<u64, StoreError> {
        let newest = self.block(async |c: &mut SqliteConnection| {
            sqlx::query_scalar::<_, Option<i64>>(sql::NEWEST)
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
            Ok(_) => match repeated(self, events) {
                Some(key) => key.duplicate(),
                None => store_error(&self.path, error),
            },
            Err(e) => e,
        }
    }
}

impl Store for Sqlite {
    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError> {
        let rows = sql::rows(events, self.last)?;
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
            sql::rows_of::<sqlx::Sqlite, _>(c, sql::READ, &[seq as i64]).await
        })?;
        let events = rows.into_iter().map(sql::stored);
        let events = events.collect::<Result<Vec<_>, StoreError>>()?;
        self.last = events.last().map_or(self.last, |s| s.seq.max(self.last));
        Ok(events)
    }

    fn read_light(&mut self, seq: u64, most: u32) -> Result<Vec<Light>, StoreError> {
        let rows = self.block(async |c: &mut SqliteConnection| {
            sql::rows_of::<sqlx::Sqlite, _>(c, sql::READ_LIGHT, &[seq as i64, most.into()]).await
        })?;
        rows.into_iter().map(sql::light).collect()
    }

    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<Stored>, StoreError> {
        let rows = self.block(async |c: &mut SqliteConnection| {
            sql::rows_of::<sqlx::Sqlite, _>(c, sql::READ_TRIAL, &[trial as i64, batch.into()]).await
        })?;
        rows.into_iter().map(sql::stored).collect()
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

async fn write(
    connection: &mut SqliteConnection,
    time_ms: u64,
    rows: &[EventRow],
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    sql::insert::<sqlx::Sqlite>(&mut tx, time_ms, rows).await?;
    tx.commit().await
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
    let place = path.display().to_string();
    match sqlite_code(&error) {
        Some(5 | 6) => StoreError::Busy { place },
        // Read-only, can't open (files beside it included), no permission.
        Some(8 | 14 | 3) => StoreError::ReadOnly { place },
        Some(11) => StoreError::Corrupt {
            place,
            message: error.to_string(),
        },
        Some(13) => StoreError::DiskFull { place },
        Some(26) => StoreError::NotAStudy { place },
        _ => StoreError::Database {
            place,
            source: Box::new(error),
        },
    }
}

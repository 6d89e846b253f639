//! A connection to the server that comes back after a cut.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

use super::Address;
use crate::store::StoreError;

/// How long a server that was there is waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most time that one piece of work, or connecting, may take; a server behind a cut says nothing.
const CALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// Pauses between tries: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// What helps whom a server doesn't know.
const PASSWORDS: &str = "passwords are read from ~/.pgpass, PGPASSWORD or the address";

pub(super) struct Server {
    address: Address,
    /// Before the runtime, which its socket belongs to: fields are dropped in order.
    connection: Option<PgConnection>,
    runtime: Runtime,
}

impl Server {
    /// Connects, at once or not at all.
    pub(super) fn connect(address: &Address) -> Result<Self, StoreError> {
        let mut server = Self::new(address)?;
        server
            .attempt(async |_: &mut PgConnection| Ok(()))
            .map_err(|e| store_error(address, e))?;
        Ok(server)
    }

    /// Connects when something is asked.
    pub(super) fn new(address: &Address) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StoreError::Runtime)?;
        Ok(Self {
            address: address.clone(),
            runtime,
            connection: None,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Does the work, again where the server or the way to it failed: it must bear that.
    pub(super) fn run<T>(
        &mut self,
        work: impl AsyncFn(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let [mut pause, longest] = PAUSES;
        loop {
            let error = match self.attempt(&work) {
                Err(error) if passing(&error) && Instant::now() < deadline => error,
                result => return result.map_err(|e| store_error(&self.address, e)),
            };
            // The first try after a cut connects again, which is no news.
            if pause > PAUSES[0] {
                tracing::warn!("{}: {}; trying again", self.address, words(&error));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Does the work once.
    pub(super) fn attempt<T>(
        &mut self,
        work: impl AsyncFn(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let (address, connection) = (&self.address, &mut self.connection);
        let result = self.runtime.block_on(async {
            let connection = match connection {
                Some(connection) => connection,
                None => {
                    let new = PgConnection::connect_with(address.options());
                    connection.insert(within(CONNECT, new).await?)
                }
            };
            within(CALL, work(connection)).await
        });
        if result.as_ref().is_err_and(passing) {
            // Dropped within the runtime, which its socket belongs to.
            let _entered = self.runtime.enter();
            self.connection = None;
        }
        result
    }

    /// Says goodbye, where the server listens.
    pub(super) fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let closed = self.runtime.block_on(within(CONNECT, connection.close()));
            if let Err(error) = closed {
                tracing::debug!("{}: {error}", self.address);
            }
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("no answer within {} s", limit.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, message).into())
        }
    }
}

/// The server's code of an error
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the same may go well in a while.
fn passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        error => code(error).is_some_and(|code| {
            // Connection failures; shutdown, crash, start-up; too many connections; a timeout of
            // a lock or a transaction; a deadlock; a conflict of transactions.
            code.starts_with("08")
                || matches!(
                    code.as_str(),
                    "57P01"
                        | "57P02"
                        | "57P03"
                        | "57P05"
                        | "57014"
                        | "53300"
                        | "55P03"
                        | "25P03"
                        | "40P01"
                        | "40001"
                )
        }),
    }
}

/// The server's or the system's own words.
fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().into(),
        sqlx::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

fn store_error(address: &Address, error: sqlx::Error) -> StoreError {
    let (place, message) = (address.to_string(), words(&error));
    if passing(&error) || matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Configuration(_)) {
        return StoreError::Unreachable { place, message };
    }
    match code(&error).as_deref() {
        Some("28P01" | "28000") => StoreError::Denied {
            place,
            message: format!("{message}; {PASSWORDS}"),
        },
        // Which database; which rights.
        Some("3D000" | "42501") => StoreError::Denied { place, message },
        // No such table or schema.
        Some("42P01" | "3F000") => StoreError::Missing { place },
        Some("53100") => StoreError::DiskFull { place },
        Some("25006") => StoreError::ReadOnly { place },
        Some("XX001" | "XX002") => StoreError::Corrupt { place, message },
        _ => StoreError::Database {
            place,
            source: Box::new(error),
        },
    }
}

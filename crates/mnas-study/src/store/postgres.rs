//! Events in a PostgreSQL database: a schema per study. One controller at a time leads a study, by
//! a lease whose number (epoch) is checked in the transaction of each append, so that a controller
//! that was taken for dead can't write any more. Others stand by; any number read.

mod address;
mod lease;
mod server;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::time::Duration;

use mnas_search::Event;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::sql;
use super::{Light, Store, StoreError, Stored, repeated};
use lease::Lease;
use server::Server;

pub use address::Address;

/// The lease's row. Times are the server's, so that the controllers' clocks don't matter.
const LEASE_TABLE: [&str; 2] = [
    "CREATE TABLE lease (
        epoch BIGINT NOT NULL,
        leader TEXT NOT NULL,
        held_until TIMESTAMPTZ NOT NULL
    )",
    "INSERT INTO lease (epoch, leader, held_until) VALUES (0, '', clock_timestamp())",
];

/// Most time between two looks at a lease that another holds.
const LOOK: Duration = Duration::from_secs(1);

/// A study's store in a PostgreSQL database. It waits out a server that restarts and connects
/// again after a cut; what it acknowledged was committed.
pub struct Postgres {
    server: Server,
    /// None where it only reads.
    lease: Option<Lease>,
    /// Position of the last event read or written here.
    last: u64,
}

/// What became of an append.
enum Appended {
    Stored,
    /// Another leads.
    Fenced(String),
    /// The newest position isn't the one known here.
    Conflict,
}

impl Postgres {
    /// Makes a study with its first events, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where the database has a study of that name, or a [`StoreError`] of
    /// the server.
    pub fn create(address: &Address, time_ms: u64, events: &[Event]) -> Result<(), StoreError> {
        let mut server = Server::connect(address)?;
        let rows = sql::rows(events, 0)?;
        let (study, schema) = (address.study(), address.schema());
        let made = server.run(async |c: &mut PgConnection| {
            let mut tx = c.begin().await?;
            // Of two that make it at once, the second waits and finds it made.
            sqlx::query("SELECT pg_advisory_xact_lock(hashtext('mnas ' || $1))")
                .bind(study)
                .execute(&mut *tx)
                .await?;
            let there = "SELECT to_regclass($1 || '.mnas_store') IS NOT NULL";
            let there: bool = sqlx::query_scalar(there)
                .bind(&schema)
                .fetch_one(&mut *tx)
                .await?;
            if there {
                return Ok(false);
            }
            // Asked first, since making one needs a right even where it exists.
            let schemas = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = $1";
            let schemas: i64 = sqlx::query_scalar(schemas)
                .bind(study)
                .fetch_one(&mut *tx)
                .await?;
            if schemas == 0 {
                // The name was checked to hold nothing but letters, digits, `-` and `_`.
                let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
                sqlx::query(create).execute(&mut *tx).await?;
            }
            for step in sql::VERSION_TABLE.into_iter().chain(LEASE_TABLE) {
                sqlx::query(step).execute(&mut *tx).await?;
            }
            sql::migrate::<sqlx::Postgres>(&mut tx, 0).await?;
            sql::insert::<sqlx::Postgres>(&mut tx, time_ms, &rows).await?;
            tx.commit().await?;
            Ok(true)
        })?;
        match made {
            true => Ok(()),
            false => Err(StoreError::Exists {
                place: address.to_string(),
            }),
        }
    }

    /// Becomes the controller that leads the study: at once, or when the one that leads ends or
    /// dies. While it stands by, `wait` is told which one leads, and says whether to go on
    /// waiting; `None` where it doesn't.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Newer`], or a [`StoreError`] of the server.
    pub fn lead(
        address: &Address,
        wait: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<Self>, StoreError> {
        let mut server = Server::connect(address)?;
        version(&mut server)?;
        let epoch = loop {
            let leader = match lease::acquire(&mut server)? {
                Ok(epoch) => break epoch,
                Err(leader) => leader,
            };
            if !wait(&leader) {
                return Ok(None);
            }
            std::thread::sleep(LOOK.min(address.lease() / 4));
        };
        let lease = Some(Lease::keep(address, epoch));
        // The one that led before may have been of another version.
        let version = version(&mut server)?;
        server.run(async |c: &mut PgConnection| {
            let mut tx = c.begin().await?;
            sql::migrate::<sqlx::Postgres>(&mut tx, version).await?;
            tx.commit().await
        })?;
        let last = newest(&mut server)?;
        Ok(Some(Self {
            server,
            lease,
            last,
        }))
    }

    /// Opens a study to read, also while a controller leads it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Newer`], or a [`StoreError`] of the server.
    pub fn open_read_only(address: &Address) -> Result<Self, StoreError> {
        let mut server = Server::connect(address)?;
        version(&mut server)?;
        let last = newest(&mut server)?;
        Ok(Self {
            server,
            lease: None,
            last,
        })
    }

    fn place(&self) -> String {
        self.server.address().to_string()
    }
}

fn version(server: &mut Server) -> Result<i64, StoreError> {
    let found = server
        .run(async |c: &mut PgConnection| sqlx::query_scalar(sql::VERSION).fetch_optional(c).await);
    sql::check_version(found?, &server.address().to_string())
}

fn newest(server: &mut Server) -> Result<u64, StoreError> {
    let newest = server.run(async |c: &mut PgConnection| {
        sqlx::query_scalar::<_, Option<i64>>(sql::NEWEST)
            .fetch_one(c)
            .await
    })?;
    Ok(newest.unwrap_or(0) as u64)
}

impl Store for Postgres {
    fn held(&mut self) -> Result<(), StoreError> {
        let lost = self.lease.as_ref().and_then(Lease::lost);
        lost.map_or(Ok(()), |leader| {
            Err(StoreError::Fenced {
                place: self.place(),
                leader,
            })
        })
    }

    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError> {
        let place = self.place();
        let Some(epoch) = self.lease.as_ref().map(Lease::epoch) else {
            return Err(StoreError::ReadOnly { place });
        };
        let (before, after) = (self.last as i64, self.last as i64 + events.len() as i64);
        let rows = sql::rows(events, self.last)?;
        let seconds = self.server.address().lease().as_secs_f64();
        let tried = Cell::new(false);
        let appended = self.server.run(async |c: &mut PgConnection| {
            let again = tried.replace(true);
            let mut tx = c.begin().await?;
            // Locks the lease's row: who wants to take over waits until this is committed.
            if let Err(leader) = lease::renew(&mut tx, epoch, seconds).await? {
                return Ok(Appended::Fenced(leader));
            }
            let newest: Option<i64> = sqlx::query_scalar(sql::NEWEST).fetch_one(&mut *tx).await?;
            match newest.unwrap_or(0) {
                // The reply was lost, not the commit: nobody else writes in this epoch.
                newest if again && newest == after => return Ok(Appended::Stored),
                newest if newest != before => return Ok(Appended::Conflict),
                _ => {}
            }
            sql::insert::<sqlx::Postgres>(&mut tx, time_ms, &rows).await?;
            tx.commit().await?;
            Ok(Appended::Stored)
        });
        match appended {
            Ok(Appended::Stored) => {
                self.last = after as u64;
                Ok(self.last)
            }
            Ok(Appended::Fenced(leader)) => Err(StoreError::Fenced { place, leader }),
            Ok(Appended::Conflict) => Err(StoreError::Conflict { seq: self.last + 1 }),
            Err(StoreError::Database { place, source })
                if source
                    .as_database_error()
                    .is_some_and(|e| e.is_unique_violation()) =>
            {
                Err(match repeated(self, events) {
                    Some(key) => key.duplicate(),
                    None => StoreError::Database { place, source },
                })
            }
            Err(error) => Err(error),
        }
    }

    fn read_from(&mut self, seq: u64) -> Result<Vec<Stored>, StoreError> {
        let rows = self.server.run(async |c: &mut PgConnection| {
            sql::rows_of::<sqlx::Postgres, _>(c, sql::READ, &[seq as i64]).await
        })?;
        let events = rows.into_iter().map(sql::stored);
        let events = events.collect::<Result<Vec<_>, StoreError>>()?;
        self.last = events.last().map_or(self.last, |s| s.seq.max(self.last));
        Ok(events)
    }

    fn read_light(&mut self, seq: u64, most: u32) -> Result<Vec<Light>, StoreError> {
        let rows = self.server.run(async |c: &mut PgConnection| {
            sql::rows_of::<sqlx::Postgres, _>(c, sql::READ_LIGHT, &[seq as i64, most.into()]).await
        })?;
        rows.into_iter().map(sql::light).collect()
    }

    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<Stored>, StoreError> {
        let rows = self.server.run(async |c: &mut PgConnection| {
            sql::rows_of::<sqlx::Postgres, _>(c, sql::READ_TRIAL, &[trial as i64, batch.into()])
                .await
        })?;
        rows.into_iter().map(sql::stored).collect()
    }
}

impl Drop for Postgres {
    /// Gives the lease up, so that another need not wait for its end.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_up(&mut self.server);
        }
        self.server.close();
    }
}

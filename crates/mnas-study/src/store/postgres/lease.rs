//! Who leads a study: one row whose number grows with every new leader.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use sqlx::PgConnection;

use super::Address;
use super::server::Server;
use crate::store::StoreError;

/// Renewals per term of a lease, so that some may fail.
const RENEWALS: u32 = 4;

/// A lease that is held, and renewed on a thread of its own: what the controller does beside
/// appending may take longer than its term.
pub(super) struct Lease {
    epoch: i64,
    /// Who leads, once it is another.
    lost: Arc<OnceLock<String>>,
    /// Dropped to end the thread.
    ended: Sender<()>,
    thread: JoinHandle<()>,
}

impl Lease {
    /// Keeps what [`acquire`] got.
    pub(super) fn keep(address: &Address, epoch: i64) -> Self {
        let (ended, inbox) = channel();
        let lost = Arc::new(OnceLock::new());
        let (address, told) = (address.clone(), Arc::clone(&lost));
        let thread = std::thread::spawn(move || keep_renewing(&address, epoch, &inbox, &told));
        Self {
            epoch,
            lost,
            ended,
            thread,
        }
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Who leads instead, where that is known.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.get().cloned()
    }

    /// Ends it before its time.
    pub(super) fn give_up(self, server: &mut Server) {
        drop(self.ended);
        if self.thread.join().is_err() {
            tracing::warn!("the thread that renewed the lease had died");
        }
        let epoch = self.epoch;
        let given = server.attempt(async |c: &mut PgConnection| {
            sqlx::query("UPDATE lease SET held_until = clock_timestamp() WHERE epoch = $1")
                .bind(epoch)
                .execute(c)
                .await
        });
        if let Err(error) = given {
            tracing::debug!("the lease ends by itself: {error}");
        }
    }
}

fn keep_renewing(address: &Address, epoch: i64, inbox: &Receiver<()>, lost: &OnceLock<String>) {
    let seconds = address.lease().as_secs_f64();
    let mut server = match Server::new(address) {
        Ok(server) => server,
        Err(error) => return tracing::warn!("the lease isn't renewed between events: {error}"),
    };
    while let Err(RecvTimeoutError::Timeout) = inbox.recv_timeout(address.lease() / RENEWALS) {
        let renewed = server.attempt(async |c: &mut PgConnection| renew(c, epoch, seconds).await);
        match renewed {
            Ok(Ok(())) => {}
            Ok(Err(leader)) => {
                // The only one that sets it.
                let _ = lost.set(leader);
                break;
            }
            // Tried again in time; the next append says what is wrong.
            Err(error) => tracing::debug!("the lease was not renewed: {error}"),
        }
    }
    server.close();
}

/// Prolongs the lease of an epoch, or tells who leads instead.
pub(super) async fn renew(
    c: &mut PgConnection,
    epoch: i64,
    seconds: f64,
) -> Result<Result<(), String>, sqlx::Error> {
    let renewed = sqlx::query(
        "UPDATE lease SET held_until = clock_timestamp() + make_interval(secs => $1)
         WHERE epoch = $2",
    )
    .bind(seconds)
    .bind(epoch)
    .execute(&mut *c)
    .await?;
    match renewed.rows_affected() {
        0 => Ok(Err(leader(c).await?)),
        _ => Ok(Ok(())),
    }
}

async fn leader(c: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT leader FROM lease")
        .fetch_one(c)
        .await
}

/// Takes the lease where it has ended, by the server's clock: the new epoch, or who leads.
pub(super) fn acquire(server: &mut Server) -> Result<Result<i64, String>, StoreError> {
    let seconds = server.address().lease().as_secs_f64();
    let me = this_process();
    server.run(async |c: &mut PgConnection| {
        let epoch = sqlx::query_scalar(
            "UPDATE lease SET epoch = epoch + 1, leader = $1,
                 held_until = clock_timestamp() + make_interval(secs => $2)
             WHERE held_until <= clock_timestamp() RETURNING epoch",
        )
        .bind(&me)
        .bind(seconds)
        .fetch_optional(&mut *c)
        .await?;
        match epoch {
            Some(epoch) => Ok(Ok(epoch)),
            None => Ok(Err(leader(c).await?)),
        }
    })
}

/// What people know this controller by.
fn this_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.map(|h| h.trim().to_string()).filter(|h| !h.is_empty());
    let host = host.unwrap_or_else(|| "an unknown host".into());
    format!("process {} on {host}", std::process::id())
}

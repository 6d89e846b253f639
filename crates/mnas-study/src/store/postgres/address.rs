//! Where a study lies in a PostgreSQL database. Passwords stay inside.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::store::StoreError;

/// What the address says of the study and not of the server.
const STUDY: &str = "study";
const LEASE: &str = "lease_seconds";
/// What PostgreSQL's own programs understand too.
const OPTIONS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// The study's name without one.
const DEFAULT_STUDY: &str = "mnas";
/// Seconds that a dead controller is waited for. A restart of the server takes less.
const DEFAULT_LEASE: f64 = 30.0;
/// Seconds after which a server gives up a transaction whose controller says no more, or waits for
/// a lock; a controller that was cut off must not hold up the one that takes over.
const TRANSACTION: &str = "15s";

/// A study in a database: `postgres://USER@HOST:PORT/DATABASE?study=NAME&lease_seconds=30`, both
/// settings with defaults, and any that PostgreSQL's own programs know.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    study: String,
    lease: Duration,
}

impl Address {
    /// Reads an address. What it leaves out comes from PostgreSQL's environment variables.
    ///
    /// # Errors
    /// [`StoreError::Address`], which never quotes the address: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |message: String| StoreError::Address { message };
        let url = url.trim();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it doesn't begin with postgres://".into()));
        }
        let (server, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut study, mut lease) = (DEFAULT_STUDY.to_string(), DEFAULT_LEASE);
        let mut rest = vec![];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                STUDY => study = value.into(),
                LEASE => lease = value.parse().unwrap_or(f64::NAN),
                known if OPTIONS.contains(&known) => rest.push(pair),
                other => return Err(wrong(format!("{other:?} is no setting"))),
            }
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if study.is_empty() || study.len() > 63 || !study.chars().all(plain) {
            let rule = "study = a name of at most 63 letters, digits, - and _";
            return Err(wrong(rule.into()));
        }
        if !(1.0..=3600.0).contains(&lease) {
            return Err(wrong(format!("{LEASE} = a number from 1 to 3600")));
        }
        let url = match rest.is_empty() {
            true => server.to_string(),
            false => format!("{server}?{}", rest.join("&")),
        };
        let options = PgConnectOptions::from_str(&url).map_err(|e| wrong(reason(&e)))?;
        let options = options.options([
            ("search_path", format!("\"{study}\"").as_str()),
            ("idle_in_transaction_session_timeout", TRANSACTION),
            ("lock_timeout", TRANSACTION),
            // A server behind a cut is noticed, and so is a controller behind one.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ]);
        Ok(Self {
            options,
            study,
            lease: Duration::from_secs_f64(lease),
        })
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(super) fn study(&self) -> &str {
        &self.study
    }

    /// The schema's name as SQL writes it.
    pub(super) fn schema(&self) -> String {
        format!("\"{}\"", self.study)
    }

    /// How long a controller leads without a word.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }
}

/// An error's own words, not those of what it was made from.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// The address without its password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = &self.options;
        let user = o.get_username();
        match o.get_socket() {
            Some(socket) => write!(f, "PostgreSQL at {}", socket.display())?,
            None => write!(f, "PostgreSQL at {}:{}", o.get_host(), o.get_port())?,
        }
        let database = o.get_database().unwrap_or(user);
        write!(
            f,
            " (database {database}, user {user}, study {})",
            self.study
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_password() {
        let url = "postgres://ann:s3cret@db.example:6000/lab?study=pets-2&lease_seconds=5";
        let address = Address::parse(url).unwrap();
        assert_eq!(
            address.to_string(),
            "PostgreSQL at db.example:6000 (database lab, user ann, study pets-2)"
        );
        assert_eq!(address.lease(), Duration::from_secs(5));
        assert!(!format!("{address:?}").contains("s3cret"));
        let socket = Address::parse("postgresql://ann@%2Frun%2Fpg/lab").unwrap();
        assert_eq!(
            socket.to_string(),
            "PostgreSQL at /run/pg (database lab, user ann, study mnas)"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_quoting_it() {
        for (url, words) in [
            ("mysql://ann:s3cret@h/db", "doesn't begin with postgres://"),
            ("postgres://ann:s3cret@h:port/db", "invalid port number"),
            (
                "postgres://ann:s3cret@h/db?stduy=a",
                "\"stduy\" is no setting",
            ),
            ("postgres://ann:s3cret@h/db?study=a\"b", "study = a name"),
            ("postgres://ann:s3cret@h/db?study=", "study = a name"),
            (
                "postgres://ann:s3cret@h/db?lease_seconds=0",
                "from 1 to 3600",
            ),
            ("postgres://ann:s3cret@h/db?sslmode=perhaps", "perhaps"),
        ] {
            let error = Address::parse(url).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(words), "{url}: {text}");
            assert!(!text.contains("s3cret"), "{url}: {text}");
        }
    }
}

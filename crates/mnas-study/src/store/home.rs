//! Where a study's events are: in a file of its folder, or in a database that a file there names.

use std::path::PathBuf;

#[cfg(feature = "postgres")]
use super::{Address, Postgres};
use super::{Sqlite, Store, StoreError};
use crate::dir::StudyDir;

#[derive(Debug, Clone)]
pub(crate) enum Home {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(Box<Address>),
}

impl Home {
    /// The home of the study in a folder.
    pub(crate) fn of(dir: &StudyDir) -> Result<Self, StoreError> {
        let pointer = dir.store_address();
        let place = pointer.display().to_string();
        match std::fs::read_to_string(&pointer) {
            #[cfg(feature = "postgres")]
            Ok(url) => Ok(Self::Postgres(Box::new(Address::parse(&url)?))),
            #[cfg(not(feature = "postgres"))]
            Ok(_) => Err(StoreError::NoPostgres { place }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::File(dir.store())),
            Err(source) => Err(StoreError::Pointer { place, source }),
        }
    }

    /// Opens the store to read, also while a search appends to it.
    pub(crate) fn read(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::File(path) => Box::new(Sqlite::open_read_only(path)?),
            #[cfg(feature = "postgres")]
            Self::Postgres(address) => Box::new(Postgres::open_read_only(address)?),
        })
    }
}

//! A study's folder is locked while a search runs on it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "study.lock";

/// Attempts to take the lock, since [`DirLock::held`] may hold it for an instant.
const TRIES: u32 = 4;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// Held for as long as the value lives; the system drops it with the process, however that ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a folder can't be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("a search already runs on {dir}")]
    Held {
        /// The folder.
        dir: PathBuf,
    },
    /// The lock file can't be made.
    #[error("{path} can't be written: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

impl DirLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// [`LockError::Held`] at once where another process holds it, or [`LockError::Io`].
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(NAME);
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if tries > 0 => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(LockError::Held { dir: dir.into() }),
                Err(TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
            }
        }
    }

    /// Whether another process holds a folder, found out by locking it for an instant.
    pub fn held(dir: &Path) -> bool {
        let file = File::open(dir.join(NAME));
        file.is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lock_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        let second = DirLock::acquire(dir.path());
        assert!(matches!(second, Err(LockError::Held { .. })), "{second:?}");
        assert!(DirLock::held(dir.path()));
        drop(first);
        assert!(!DirLock::held(dir.path()));
        assert!(!DirLock::held(&dir.path().join("none")));
        DirLock::acquire(dir.path()).unwrap();
        let missing = DirLock::acquire(&dir.path().join("none"));
        assert!(matches!(missing, Err(LockError::Io { .. })), "{missing:?}");
    }
}

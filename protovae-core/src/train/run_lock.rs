//! One process trains in a run directory at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

/// The name of the lock file. It stays, since removing it would let a third process lock a new one.
pub(super) const LOCK: &str = ".train.lock";

/// Keeps other processes from training in a run directory; ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Locks the run directory `folder`, which is there.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("write", path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::RunBusy {
                path: folder.to_path_buf(),
            }),
            // Some network file systems have no locks; there it is left to the user.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { _file: file }),
        }
    }

    /// Fails if a process trains in `folder` now; writes nothing.
    pub(super) fn check_idle(folder: &Path) -> Result<()> {
        match folder.join(LOCK).is_file() {
            true => Self::take(folder).map(drop),
            false => Ok(()),
        }
    }
}

//! Files that are not whole yet.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::DataError;

/// The name of the lock file. It stays, since removing it would let a third process lock a new one.
const LOCK: &str = ".fetch.lock";

/// Keeps other processes from writing the same parts; ends with this value, or with the process.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder where it is missing and locks it.
    pub(super) fn take(folder: &Path) -> Result<Self, DataError> {
        fs::create_dir_all(folder).map_err(|source| DataError::write(folder, source))?;
        let path = folder.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| DataError::write(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataError::write(
                folder,
                io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "another process is fetching into this folder; wait until it has ended",
                ),
            )),
            // Some network file systems have no locks; what arrives is checked there all the same.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { _file: file })
            }
            Err(TryLockError::Error(source)) => Err(DataError::write(path, source)),
        }
    }
}

/// Where a file is kept until it is whole.
pub(super) fn path_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_os_string();
    name.push(".part");
    PathBuf::from(name)
}

/// The bytes that are there already.
pub(super) fn length(part: &Path) -> Result<u64, DataError> {
    match part.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(DataError::read(part, source)),
    }
}

/// Removes a part, if there is one.
pub(super) fn remove(part: &Path) -> Result<(), DataError> {
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataError::write(part, error)),
        _ => Ok(()),
    }
}

/// Gives a part, checked by the caller, its name once it is safely on the disk.
pub(super) fn finish(part: &Path, target: &Path) -> Result<(), DataError> {
    File::options()
        .write(true)
        .open(part)
        .and_then(|file| file.sync_all())
        .map_err(|source| DataError::write(part, source))?;
    fs::rename(part, target).map_err(|source| DataError::write(target, source))?;
    // The name too must survive a power cut. Not every system can open a folder for this; the file itself is safe then.
    if let Some(Ok(folder)) = target.parent().map(File::open) {
        let _ = folder.sync_all();
    }
    Ok(())
}

//! Files that are complete or absent.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How the names of files begin that are being written; one is left behind only by a killed process.
pub(crate) const WRITING: &str = ".writing-";

/// Writes `bytes` so that `path` holds either what it held before or all of `bytes`, whatever kills the process, and whoever else
/// writes it at the same time.
///
/// ```
/// use protovae_core::train::write_atomically;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("table.md");
/// write_atomically(&path, b"whole")?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`]; nothing is left beside `path` then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let (mut file, beside) = create_beside(path)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &beside))
        .and_then(|()| fs::rename(&beside, path).map_err(Error::io("write", path)));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    match path.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// A new file beside `path` that no other writer has.
fn create_beside(path: &Path) -> Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut name = std::ffi::OsString::from(format!("{WRITING}{process}-{count}-"));
        name.push(path.file_name().unwrap_or_default());
        let beside = path.with_file_name(name);
        match File::create_new(&beside) {
            Ok(file) => return Ok((file, beside)),
            // Of a process of the same number, killed or on another machine.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", beside)(error)),
        }
    }
}

/// What lies in a folder; nothing if there is no folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", folder)(error)),
    };
    entries
        .map(|entry| Ok(entry.map_err(Error::io("read", folder))?.path()))
        .collect()
}

/// Removes what killed processes were writing into a folder.
pub(crate) fn remove_half_written(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| name.starts_with(WRITING)) {
            continue;
        }
        remove_entry(&path)?;
    }
    Ok(())
}

/// Removes a file, or a folder with what is in it.
pub(crate) fn remove_entry(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(Error::io("remove", path))
}

/// Makes a directory's entries durable.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    // Windows cannot open directories as files; its rename is durable by itself.
    if cfg!(unix) {
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io("write", path))?;
    }
    Ok(())
}

pub(crate) fn sync_file(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write", path))
}

/// SHA-256 of a file's content in hexadecimal.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

//! Files and folders, with errors that name them.

use std::fs;
use std::path::{Path, PathBuf};

use protovae_core::train::write_atomically;
use serde::Serialize;

use crate::error::{CliError, Result};

/// Makes a folder and those above it.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| unwritten(path, source))
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| CliError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Writes indented JSON, all of it or nothing.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(write_atomically(path, &text)?)
}

/// The error of a file or folder that cannot be written.
pub fn unwritten(path: &Path, source: std::io::Error) -> CliError {
    CliError::Write {
        path: path.to_path_buf(),
        source,
    }
}

/// A path from the root.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| CliError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Checks that a file can be meant by `path`, before the work whose result it is to hold: its folder is there.
///
/// # Errors
/// [`CliError::Usage`].
pub fn check_place(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    let reason = if path.is_dir() {
        "it is a folder, not a file".to_string()
    } else if folder.is_dir() {
        return Ok(());
    } else {
        format!("there is no folder {}", folder.display())
    };
    Err(CliError::Usage(format!(
        "cannot write {}: {reason}",
        path.display()
    )))
}

/// Checks that a folder can be meant by `path`, before the work whose results it is to hold.
///
/// # Errors
/// [`CliError::Usage`].
pub fn check_folder(path: &Path) -> Result<()> {
    match path.exists() && !path.is_dir() {
        true => Err(CliError::Usage(format!(
            "cannot write into {}: it is a file, not a folder",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Whether both paths are there and name the same.
pub fn same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| fs::canonicalize(path).ok();
    resolved(one).is_some_and(|one| Some(one) == resolved(other))
}

//! Published sets from a folder that one already has.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{FolderLock, Progress, Reporter, Step, is_right, part, spellings, targets};
use crate::catalogue::{PublishedFile, PublishedSet};
use crate::verify::{Verification, load_from, verify_splits};
use crate::{DataError, DataSearch, digest, search};

/// Where unpacked files lie until they are checked.
const STAGE: &str = ".taking";

/// Copies a set's files from the folder `from`, or a folder of the set's name in it, to the folder `into`; returns their
/// paths there.
///
/// The published files are checked by their SHA-256. For sets whose reader also takes other files (MNIST unpacked,
/// CIFAR-10's `.bin` files), those are accepted too: they are checked by loading them and comparing their content with the
/// published one.
///
/// # Errors
/// [`DataError::NotFound`] where files are missing, [`DataError::Digest`] where they are not the published ones, whatever
/// loading raises, [`DataError::Read`] and [`DataError::Write`].
pub fn take_from(
    set: &PublishedSet,
    from: &Path,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, DataError> {
    let _lock = FolderLock::take(into)?;
    let folders = DataSearch::default().folders(set.name, Some(from));
    let published: Vec<Vec<String>> = set
        .files
        .iter()
        .map(|file| vec![file.name.to_string()])
        .collect();
    let found = search::find(set.name, &folders, &published)
        .and_then(|(_, sources)| take_published(set, &sources, into, progress));
    match found {
        Err(DataError::NotFound { .. } | DataError::Digest { .. }) if !set.unpacked.is_empty() => {
            take_unpacked(set, &folders, into, progress)
        }
        other => other,
    }
}

fn take_published(
    set: &PublishedSet,
    sources: &[PathBuf],
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, DataError> {
    let targets = targets(set, into)?;
    let files = set.files.iter().zip(sources).zip(&targets);
    // Lengths first: they tell most strangers apart before anything is copied.
    for ((file, source), _) in files.clone() {
        check_length(file, source)?;
    }
    for (number, ((file, source), target)) in files.enumerate() {
        let mut reporter = Reporter {
            file,
            number,
            files: set.files.len(),
            callback: &mut *progress,
        };
        if is_right(target, &mut reporter)? {
            continue;
        }
        let part = part::path_of(target);
        let copied = copy(source, &part, file.length, &mut |done| {
            reporter.tell(Step::Copying, done, "", "");
        })?;
        if copied != file.sha256 {
            part::remove(&part)?;
            return Err(DataError::Digest {
                path: source.clone(),
                expected: format!("SHA-256 {}", file.sha256),
                found: format!("SHA-256 {copied}"),
            });
        }
        part::finish(&part, target)?;
        reporter.tell(Step::Finished, file.length, "", "");
    }
    Ok(targets)
}

fn check_length(file: &PublishedFile, source: &Path) -> Result<(), DataError> {
    let length = length_of(source)?;
    if length == file.length {
        return Ok(());
    }
    Err(DataError::Digest {
        path: source.to_path_buf(),
        expected: format!("{} bytes", file.length),
        found: format!("{length} bytes"),
    })
}

fn length_of(path: &Path) -> Result<u64, DataError> {
    path.metadata()
        .map(|metadata| metadata.len())
        .map_err(|source| DataError::read(path, source))
}

/// Copies at most `length` bytes and one more, and returns the SHA-256 of what was copied.
fn copy(
    source: &Path,
    part: &Path,
    length: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<String, DataError> {
    let reading = File::open(source).map_err(|error| DataError::read(source, error))?;
    let mut reading = reading.take(length.saturating_add(1));
    let mut writing = File::create(part).map_err(|error| DataError::write(part, error))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; digest::CHUNK];
    let mut done = 0u64;
    loop {
        let count = match reading.read(&mut chunk) {
            Ok(0) => return Ok(digest::hexadecimal(hash)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DataError::read(source, error)),
        };
        let bytes = chunk.get(..count).unwrap_or_default();
        hash.update(bytes);
        writing
            .write_all(bytes)
            .map_err(|error| DataError::write(part, error))?;
        done += count as u64;
        progress(done);
    }
}

fn take_unpacked(
    set: &PublishedSet,
    folders: &[PathBuf],
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, DataError> {
    let (folder, sources) = search::find(set.name, folders, &spellings(set))?;
    let stage = into.join(STAGE);
    clear(&stage)?;
    fs::create_dir(&stage).map_err(|error| DataError::write(&stage, error))?;
    let taken = stage_and_check(set, (&folder, &sources), &stage, into, progress);
    let cleared = clear(&stage);
    let paths = taken?;
    cleared.map(|()| paths)
}

fn stage_and_check(
    set: &PublishedSet,
    (folder, sources): (&Path, &[PathBuf]),
    stage: &Path,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, DataError> {
    let mut names = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let Some(name) = source.file_name() else {
            continue;
        };
        let length = length_of(source)?;
        let shown = name.to_string_lossy();
        copy(source, &stage.join(name), length, &mut |done| {
            progress(Progress {
                file: &shown,
                number,
                files: sources.len(),
                step: Step::Copying,
                done,
                length,
                address: "",
                reason: "",
            });
        })?;
        names.push(name);
    }
    let splits = load_from(set, stage)?;
    let report = verify_splits(set, &splits)?;
    if !report.complete {
        return Err(difference(folder, &report));
    }
    let mut paths = Vec::new();
    for name in names {
        let target = into.join(name);
        part::finish(&stage.join(name), &target)?;
        paths.push(target);
    }
    Ok(paths)
}

/// The first difference as an error.
fn difference(folder: &Path, report: &Verification) -> DataError {
    let check = report.checks.iter().find(|check| !check.ok);
    let side = |value: fn(&crate::Check) -> &String| {
        check.map_or("content that is known".to_string(), |check| {
            format!("{} {}", check.what, value(check))
        })
    };
    DataError::Digest {
        path: folder.to_path_buf(),
        expected: side(|check| &check.expected),
        found: side(|check| &check.found),
    }
}

fn clear(stage: &Path) -> Result<(), DataError> {
    match fs::remove_dir_all(stage) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::write(stage, error))
        }
        _ => Ok(()),
    }
}

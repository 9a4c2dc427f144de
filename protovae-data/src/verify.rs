//! Comparing a loaded set with what its publisher offers.

use std::path::Path;

use serde::Serialize;

use crate::catalogue::{PublishedFile, PublishedSet};
use crate::{DataConfig, DataError, DataSearch, DataSplits, digest, published};

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// What the published set has.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether they are equal.
    pub ok: bool,
}

/// Whether a set is the published one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The published set that was compared with.
    pub set: String,
    /// Every comparison made.
    pub checks: Vec<Check>,
    /// Whether all of them were equal, and whether the pixels were among them: by the content digest, or by the SHA-256 of
    /// every published file.
    pub complete: bool,
    /// What could not be compared, and what the reader says of the set. One sentence each.
    pub notes: Vec<String>,
}

/// Loads a published set as `search` finds it and compares it with the catalogue.
///
/// # Errors
/// [`DataError::Setting`] for a name that the catalogue does not have, and whatever loading the set may raise. A set that
/// loads but differs is no error, see [`Verification::complete`].
///
/// ```no_run
/// use protovae_data::{DataSearch, verify};
///
/// let report = verify("mnist", &DataSearch::default())?;
/// assert!(report.complete, "{:#?}", report.checks);
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn verify(set: &str, search: &DataSearch) -> Result<Verification, DataError> {
    let set = published(set)?;
    let splits = default_config(set.name)?.load(search)?;
    verify_splits(set, &splits)
}

/// Compares a set that was loaded without limits.
///
/// Where there is no content digest, the SHA-256 of the published files in the set's folder is compared; that reads each of
/// them once.
///
/// # Errors
/// [`DataError::Read`] where such a file cannot be read.
pub fn verify_splits(set: &PublishedSet, splits: &DataSplits) -> Result<Verification, DataError> {
    let mut checks = vec![
        check("training images", set.train, splits.train.len()),
        check("test images", set.test, splits.test.len()),
        check("shape", set.shape, splits.shape),
        check("classes", set.classes.join(", "), splits.classes.join(", ")),
    ];
    let mut notes = splits.notes.clone();
    let mut pixels = true;
    if let Some(expected) = set.digest {
        checks.push(check("content", expected, &splits.digest));
    } else {
        for file in set.files {
            let path = splits.folder.as_ref().map(|folder| folder.join(file.name));
            match path.filter(|path| path.is_file()) {
                Some(path) => checks.push(check_file(file, &path)?),
                None => {
                    pixels = false;
                    notes.push(format!(
                        "`{}` is not in the set's folder, so its content was not compared.",
                        file.name
                    ));
                }
            }
        }
    }
    Ok(Verification {
        set: set.name.to_string(),
        complete: pixels && checks.iter().all(|check| check.ok),
        checks,
        notes,
    })
}

/// The config of a type with nothing set.
fn default_config(kind: &str) -> Result<Box<dyn DataConfig>, DataError> {
    use serde::Deserialize;
    use serde::de::value::{Error, MapDeserializer};

    let entries = MapDeserializer::<_, Error>::new([("type", kind)].into_iter());
    <Box<dyn DataConfig>>::deserialize(entries).map_err(|error| DataError::Setting {
        key: "set",
        reason: format!("no config for `{kind}`: {error}"),
    })
}

/// Loads a published set from this very folder.
#[cfg(feature = "fetch")]
pub(crate) fn load_from(set: &PublishedSet, folder: &Path) -> Result<DataSplits, DataError> {
    let search = DataSearch::in_folder(folder);
    let splits = default_config(set.name)?.load(&search)?;
    if splits.folder.as_deref() == Some(folder) {
        return Ok(splits);
    }
    Err(DataError::NotFound {
        set: set.name.to_string(),
        missing: Vec::new(),
        folders: vec![folder.to_path_buf()],
        near: None,
    })
}

fn check(what: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Check {
    let (expected, found) = (expected.to_string(), found.to_string());
    Check {
        what: what.to_string(),
        ok: expected == found,
        expected,
        found,
    }
}

fn check_file(file: &PublishedFile, path: &Path) -> Result<Check, DataError> {
    let length = path
        .metadata()
        .map_err(|source| DataError::read(path, source))?
        .len();
    if length != file.length {
        let bytes = |length: u64| format!("{length} bytes");
        return Ok(check(file.name, bytes(file.length), bytes(length)));
    }
    let (_, sha256) = digest::of_file(path, &mut |_| {})?;
    Ok(check(file.name, file.sha256, sha256))
}

//! Getting published sets: the one part of the project that touches the network.
//!
//! A file appears under its name only when its length and SHA-256 are the published ones. Until then it is `NAME.part`,
//! which a later call continues.

mod download;
mod part;
mod take;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use take::take_from;

use crate::catalogue::{PublishedFile, PublishedSet};
use crate::verify::{load_from, verify_splits};
use crate::{DataError, digest, search};
use part::FolderLock;

/// How [`fetch`] talks to servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// A base address (`http://` or `https://`) with the set's files, tried before those of the catalogue.
    pub mirror: Option<String>,
    /// The time to find and reach a server. Default: 15 s.
    pub connect_timeout: Duration,
    /// The time a server may send nothing. Default: 30 s.
    pub idle_timeout: Duration,
    /// How often in a row one address may fail without sending more than before until the next is tried; at least 1.
    /// Default: 3.
    pub attempts: u32,
    /// The pause before the same address is tried again. Default: 1 s.
    pub pause: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            mirror: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            attempts: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// What is being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Its SHA-256 is computed.
    Checking,
    /// It was there already and is right: nothing more is done to it.
    Present,
    /// It comes from [`Progress::address`].
    Downloading,
    /// It comes from another folder.
    Copying,
    /// An attempt failed, for [`Progress::reason`]; the same or another address is tried next, if any is left.
    Failed,
    /// It is in place.
    Finished,
}

/// What a callback hears, at least once for every step and after each piece of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Which file of the set, from 0.
    pub number: usize,
    /// The number of files.
    pub files: usize,
    /// What is being done.
    pub step: Step,
    /// The bytes of the file that are done in this step.
    pub done: u64,
    /// The length of the file in bytes.
    pub length: u64,
    /// The address in use; empty where there is none.
    pub address: &'a str,
    /// Why an attempt failed; empty in other steps.
    pub reason: &'a str,
}

/// Reports on one file.
struct Reporter<'a> {
    file: &'a PublishedFile,
    number: usize,
    files: usize,
    callback: &'a mut dyn FnMut(Progress<'_>),
}

impl Reporter<'_> {
    fn tell(&mut self, step: Step, done: u64, address: &str, reason: &str) {
        (self.callback)(Progress {
            file: self.file.name,
            number: self.number,
            files: self.files,
            step,
            done,
            length: self.file.length,
            address,
            reason,
        });
    }
}

/// Fetches the files of a published set into the folder `into`, which is made where it is missing; returns their paths.
///
/// - What is there and right is left alone: a published file, or for some sets other files that hold the same images.
/// - What is there and wrong is replaced when the right file has arrived whole, and not before.
/// - A download that broke off continues where it ended, also in a later call.
/// - Addresses are tried in turn: `options.mirror`, then those of the catalogue.
/// - A second process that fetches into the same folder meanwhile gets an error; a hidden lock file stays in the folder.
///
/// `into` should be [`DataSearch::destination`](crate::DataSearch::destination), where readers look. Proxies are taken from the usual environment variables
/// (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
///
/// # Errors
/// [`DataError::Fetch`] with every address and its reason; [`DataError::Unsupported`] with instructions for a set that only
/// comes by hand; [`DataError::Setting`] for a mirror that is no base address; [`DataError::Write`] and [`DataError::Read`]
/// for the disk, and for a folder that another process fetches into.
///
/// ```no_run
/// use protovae_data::{DataSearch, FetchOptions, fetch, published};
///
/// let into = DataSearch::default().destination("mnist").ok_or("no home folder")?;
/// fetch(published("mnist")?, &into, &FetchOptions::default(), &mut |progress| {
///     eprintln!("{} {:?} {} of {}", progress.file, progress.step, progress.done, progress.length);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fetch(
    set: &PublishedSet,
    into: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>, DataError> {
    let bases = base_addresses(set, options)?;
    let _lock = FolderLock::take(into)?;
    let targets = targets(set, into)?;
    let mut missing = Vec::new();
    for (number, (file, target)) in set.files.iter().zip(&targets).enumerate() {
        let mut reporter = Reporter {
            file,
            number,
            files: set.files.len(),
            callback: &mut *progress,
        };
        if !is_right(target, &mut reporter)? {
            missing.push(number);
        }
    }
    if !missing.is_empty()
        && let Some(paths) = equal_files(set, into)
    {
        return Ok(paths);
    }
    if !missing.is_empty() && bases.is_empty() {
        return Err(DataError::Unsupported {
            what: format!("fetching `{}`", set.name),
            reason: set.by_hand.to_string(),
        });
    }
    let client = download::Client::new(options);
    for number in missing {
        let (Some(file), Some(target)) = (set.files.get(number), targets.get(number)) else {
            continue;
        };
        let addresses: Vec<String> = bases
            .iter()
            .map(|base| format!("{base}{}", percent_encoded(file.name)))
            .collect();
        let mut reporter = Reporter {
            file,
            number,
            files: set.files.len(),
            callback: &mut *progress,
        };
        client.fetch(target, &addresses, &mut reporter)?;
    }
    Ok(targets)
}

/// The base addresses to try, each with a `/` at its end.
fn base_addresses(set: &PublishedSet, options: &FetchOptions) -> Result<Vec<String>, DataError> {
    let mut bases = Vec::new();
    if let Some(mirror) = &options.mirror {
        let lower = mirror.to_ascii_lowercase();
        if !["http://", "https://"]
            .iter()
            .any(|scheme| lower.starts_with(scheme) && lower.len() > scheme.len())
            || mirror.contains(['?', '#', ' '])
        {
            return Err(DataError::Setting {
                key: "mirror",
                reason: format!("`{mirror}` is no base address such as https://example.org/data/"),
            });
        }
        bases.push(format!("{}/", mirror.trim_end_matches('/')));
    }
    bases.extend(set.addresses.iter().map(ToString::to_string));
    Ok(bases)
}

/// The paths of the published files; their names must be plain ones.
fn targets(set: &PublishedSet, into: &Path) -> Result<Vec<PathBuf>, DataError> {
    set.files
        .iter()
        .map(|file| {
            let plain = Path::new(file.name).file_name() == Some(file.name.as_ref());
            if plain && !file.name.contains(['/', '\\']) {
                Ok(into.join(file.name))
            } else {
                Err(DataError::Setting {
                    key: "files",
                    reason: format!("`{}` is no plain file name", file.name),
                })
            }
        })
        .collect()
}

/// Whether a file is there with the published length and SHA-256.
fn is_right(path: &Path, reporter: &mut Reporter<'_>) -> Result<bool, DataError> {
    let length = reporter.file.length;
    if !path
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == length)
    {
        return Ok(false);
    }
    let (_, sha256) = digest::of_file(path, &mut |done| {
        reporter.tell(Step::Checking, done, "", "")
    })?;
    let right = sha256 == reporter.file.sha256;
    if right {
        reporter.tell(Step::Present, length, "", "");
    }
    Ok(right)
}

/// The files of the folder itself that hold the published images under other names or in another wrapping, if they do.
fn equal_files(set: &PublishedSet, folder: &Path) -> Option<Vec<PathBuf>> {
    if set.unpacked.is_empty() || set.digest.is_none() {
        return None;
    }
    let (_, paths) = search::find(set.name, &[folder.to_path_buf()], &spellings(set)).ok()?;
    let splits = load_from(set, folder).ok()?;
    let complete = verify_splits(set, &splits).is_ok_and(|report| report.complete);
    complete.then_some(paths)
}

/// The spellings of the files that the reader takes.
fn spellings(set: &PublishedSet) -> Vec<Vec<String>> {
    set.unpacked
        .iter()
        .map(|names| names.iter().map(ToString::to_string).collect())
        .collect()
}

/// A file name as a part of an address: letters, digits and `-._~` as they are.
fn percent_encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::published;

    #[test]
    fn names_become_parts_of_addresses() {
        assert_eq!(percent_encoded("cat.npy"), "cat.npy");
        assert_eq!(
            percent_encoded("The Mona Lisa.npy"),
            "The%20Mona%20Lisa.npy"
        );
        assert_eq!(percent_encoded("é/?#%"), "%C3%A9%2F%3F%23%25");
    }

    #[test]
    fn a_mirror_comes_first_and_must_be_an_address() {
        let set = published("mnist").unwrap();
        let with = |mirror: &str| {
            let options = FetchOptions {
                mirror: Some(mirror.to_string()),
                ..FetchOptions::default()
            };
            base_addresses(set, &options)
        };
        for mirror in ["http://example.org/m", "http://example.org/m//"] {
            let bases = with(mirror).unwrap();
            assert_eq!(bases.first().unwrap(), "http://example.org/m/");
            assert_eq!(bases.len(), 1 + set.addresses.len());
        }
        for mirror in [
            "",
            "https://",
            "ftp://example.org/",
            "file:///etc",
            "data/mirror",
            "http://a/?b=",
        ] {
            let error = with(mirror).unwrap_err();
            assert!(
                matches!(error, DataError::Setting { key: "mirror", .. }),
                "{error}"
            );
        }
    }
}

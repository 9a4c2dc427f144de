//! The one error type of this crate.

use std::fmt;
use std::path::PathBuf;

/// Why a data set, a batch or a picture could not be read.
///
/// Every message names the file, folder or setting at fault.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused to read a file or folder, or its compressed stream is broken.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system or the decompressor said.
        source: std::io::Error,
    },
    /// The files of a data set are in none of the folders that were looked through.
    #[error("{}", missing_message(set, missing, folders, near.as_ref()))]
    NotFound {
        /// The data set's name.
        set: String,
        /// What is missing, each with its accepted spellings.
        missing: Vec<Vec<String>>,
        /// The folders looked through, first to last.
        folders: Vec<PathBuf>,
        /// A file whose name resembles a missing one.
        near: Option<PathBuf>,
    },
    /// A file is not in the format that its place calls for.
    #[error("{} is malformed: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds fewer or more bytes than its header declares.
    #[error(
        "{} holds {} bytes of data where its header declares {expected}; the file is {}: fetch it again",
        path.display(),
        if *more { format!("more than {expected}") } else { found.to_string() },
        if *more { "too long" } else { "truncated" }
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The length that the header declares.
        expected: u64,
        /// The bytes found; where `more` is set, reading stopped here.
        found: u64,
        /// Whether there are more bytes than declared.
        more: bool,
    },
    /// A label names a class that the set does not have.
    #[error(
        "label {label} of image {index} in {} is not below the number of classes, {classes}",
        path.display()
    )]
    LabelOutOfRange {
        /// The file, or the name of the set for labels in memory.
        path: PathBuf,
        /// Which image.
        index: usize,
        /// The label found.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A file of images and its file of labels differ in length.
    #[error(
        "{} holds {images} images but {} holds {labels} labels; they do not belong together",
        images_path.display(),
        labels_path.display()
    )]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// Its number of images.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Its number of labels.
        labels: usize,
    },
    /// An image was asked for that the set does not have.
    #[error("image {index} does not exist: the set has {len} images")]
    IndexOutOfRange {
        /// The index asked for.
        index: usize,
        /// The number of images.
        len: usize,
    },
    /// A slice of pixels or labels has not the length that the shape calls for.
    #[error("{what}: expected {expected} values, found {found}")]
    BufferLength {
        /// What the slice holds.
        what: &'static str,
        /// The length needed.
        expected: usize,
        /// The length given.
        found: usize,
    },
    /// A setting has a value that makes no sense.
    #[error("setting `{key}`: {reason}")]
    Setting {
        /// The setting's key.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// This version does not do what was asked for.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not, and what to do instead.
        reason: String,
    },
    /// A picture could not be decoded.
    #[error("cannot use the picture {}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused to write a file or folder.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not the published one.
    #[error(
        "{} has {found} where the published file has {expected}: it is damaged, a part, or another version; fetch it again",
        path.display()
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// The length or SHA-256 of the published file.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A file came from none of its addresses.
    #[error("{}", fetch_message(file, failures))]
    Fetch {
        /// The file's name.
        file: String,
        /// Every address tried, each with why it failed.
        failures: Vec<(String, String)>,
    },
    /// A loader thread did not start or ended without delivering its batch.
    #[error("a loader thread failed: {reason}")]
    Worker {
        /// What the thread said.
        reason: String,
    },
}

impl DataError {
    pub(crate) fn format(path: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self::Format {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn read(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Read {
            path: path.into(),
            source,
        }
    }

    pub(crate) fn write(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Write {
            path: path.into(),
            source,
        }
    }

    pub(crate) fn picture(path: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self::Picture {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

fn missing_message(
    set: &str,
    missing: &[Vec<String>],
    folders: &[PathBuf],
    near: Option<&PathBuf>,
) -> String {
    let files: Vec<String> = missing.iter().map(|names| names.join(" or ")).collect();
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| format!("\n  {}", folder.display()))
        .collect();
    let hint = near.map_or(String::new(), |path| {
        format!("\nthere is a file of a similar name: {}", path.display())
    });
    format!(
        "the files of `{set}` were not found.\nmissing: {}\nlooked in:{}{hint}\n\
         put them there, or name their folder with `path` in the data config, --data-dir or PROTOVAE_DATA",
        files.join("; "),
        folders.concat(),
    )
}

fn fetch_message(file: &str, failures: &[(String, String)]) -> String {
    let failures: Vec<String> = failures
        .iter()
        .map(|(address, reason)| format!("\n  {address}: {reason}"))
        .collect();
    format!(
        "`{file}` could not be fetched.{}\n\
         try again, which continues where this ended; or fetch the files by hand and name their folder with --from",
        failures.concat(),
    )
}

//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong in `protovae-core`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration holds a value that cannot be used; `key` is its dotted path.
    #[error("{key}: {reason}")]
    Config {
        /// Dotted path of the key, such as `model.prototypes_per_class`.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A `--device` that this build or this machine does not have.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device as the user wrote it.
        device: String,
        /// Why it cannot be used, and what can.
        reason: String,
    },
    /// A plugin broke the promise of its trait: see [`crate::conformance`].
    #[error("{plugin} `{name}` breaks its contract: {reason}")]
    Contract {
        /// Which trait: `encoder`, `decoder`, `head`, `model`, `explainer`.
        plugin: &'static str,
        /// The plugin's type.
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A loss term or a weight became NaN or infinite; the run stops.
    #[error("training is no longer finite in epoch {epoch}, step {step}: {terms}; {checkpoint}")]
    NotFinite {
        /// Epoch, from 1.
        epoch: usize,
        /// Optimisation step since the beginning of the run, from 1.
        step: usize,
        /// All terms with their values, or the parameters that hold the weights.
        terms: String,
        /// The last good checkpoint, or that there is none, and what to do.
        checkpoint: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of a run directory is there but not what it should be.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The run directory exists and may not be written over.
    #[error(
        "{path} exists; choose another folder, or add --overwrite to replace it; a run in training goes on with train --resume"
    )]
    RunExists {
        /// The run directory.
        path: PathBuf,
    },
    /// Another process trains in the run directory.
    #[error(
        "another process is training in {path}; wait until it has ended, or choose another --out"
    )]
    RunBusy {
        /// The run directory.
        path: PathBuf,
    },
    /// Images of another size or number of channels than the model was built for.
    #[error("images are {found}, the model takes {expected}")]
    ImageShape {
        /// Shape the model takes, as `C×H×W`.
        expected: String,
        /// Shape that came.
        found: String,
    },
    /// The model cannot do what was asked, such as decoding without a decoder.
    #[error("{model} models have no {what}")]
    Unsupported {
        /// The kind of model.
        model: String,
        /// What is missing.
        what: &'static str,
    },
    /// Loading data failed while training or evaluating.
    #[error("data: {0}")]
    Data(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A [`Error::Config`] at `key`.
    pub fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

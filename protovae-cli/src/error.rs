//! What the program says when it stops, and its exit code.

use std::path::PathBuf;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The command line or the configuration is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong at a key: exit code 2.
    #[error("{origin}: {message}")]
    Config {
        /// Where the configuration came from: a file, a preset, `--set`.
        origin: String,
        /// What is wrong, naming the key.
        message: String,
    },
    /// The model, the trainer or a file failed: exit code 1, or 2 where a configured value is to blame.
    #[error(transparent)]
    Core(#[from] protovae_core::Error),
    /// The data cannot be read: exit code 1.
    #[error("{}{}", _0, how_to_get(_0))]
    Data(#[from] protovae_data::DataError),
    /// A picture cannot be made: exit code 1.
    #[error(transparent)]
    Explain(protovae_explain::Error),
    /// Weights of others do not fit or cannot be read: exit code 1; 2 if the model cannot have their layout.
    #[error(transparent)]
    Weights(#[from] protovae_backbones::weights::WeightsError),
    /// A file cannot be read: exit code 1.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or folder cannot be written: exit code 1.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A result cannot be written as JSON: exit code 1.
    #[error("cannot write this as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// This program's own file cannot be found or started again: exit code 1.
    #[error("cannot start this program again: {0}")]
    Program(std::io::Error),
    /// Standard output went away: exit code 1, said to nobody.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// None of the runs of a table or figure can be made. Exit code 1.
    #[error("{item}: nothing of it can be run: {reasons}")]
    NothingToRun {
        /// The table or figure.
        item: String,
        /// Why.
        reasons: String,
    },
    /// Data sets are not, or not shown to be, what was published; how was reported. Exit code 1.
    #[error("{failed} of {all} sets are not the published ones, or not shown to be")]
    Unverified {
        /// How many.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// Some of several inputs failed; each was reported when it did. Exit code 1.
    #[error("{failed} of {all} images failed; why is said above")]
    Some {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
}

impl From<protovae_explain::Error> for CliError {
    /// What the core says through that crate is what the core says.
    fn from(error: protovae_explain::Error) -> Self {
        match error {
            protovae_explain::Error::Core(error) => Self::Core(error),
            other => Self::Explain(other),
        }
    }
}

impl CliError {
    /// 1: the work failed; 2: the command line or the configuration is wrong.
    pub fn exit_code(&self) -> u8 {
        use protovae_core::Error as Core;
        match self {
            Self::Usage(_) | Self::Config { .. } => 2,
            Self::Core(Core::Config { .. } | Core::Device { .. } | Core::RunExists { .. }) => 2,
            Self::Data(protovae_data::DataError::Setting { .. }) => 2,
            Self::Weights(protovae_backbones::weights::WeightsError::Unsuited { .. }) => 2,
            _ => 1,
        }
    }
}

/// The command that gets the files of a published set.
fn how_to_get(error: &protovae_data::DataError) -> String {
    match error {
        protovae_data::DataError::NotFound { set, .. } if protovae_data::published(set).is_ok() => {
            format!("; `protovae data fetch {set}` gets them")
        }
        _ => String::new(),
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, CliError>;

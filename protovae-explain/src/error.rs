//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong in `protovae-explain`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor of images cannot be drawn.
    #[error("cannot draw images of shape {shape:?}: {reason}")]
    Shape {
        /// `[N, C, H, W]`.
        shape: [usize; 4],
        /// What would be right.
        reason: &'static str,
    },
    /// A picture cannot be written.
    #[error("cannot write the picture {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The encoder's or the system's reason.
        source: image::ImageError,
    },
    /// The model lacks what a picture needs, or a file could not be written.
    #[error(transparent)]
    Core(#[from] protovae_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

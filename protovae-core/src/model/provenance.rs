//! Where a prototype comes from, if it comes from a training image.

use serde::{Deserialize, Serialize};

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// The part of a training image that a prototype is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The image's index in the training set.
    pub sample: u64,
    /// The place of the patch in the maps that prototypes are compared with, row and column; none if the prototype is the
    /// whole image.
    pub patch: Option<[usize; 2]>,
    /// What of the image the prototype shows.
    pub region: Region,
}

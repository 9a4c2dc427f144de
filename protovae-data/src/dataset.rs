//! Image sets: the trait that loaders read from, and the one kept in memory.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// The size of every image of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// A shape of `channels` × `height` × `width`.
    #[must_use]
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
        }
    }

    /// The number of values of one image, channels × height × width; `usize::MAX` where that overflows.
    #[must_use]
    pub const fn pixels(&self) -> usize {
        self.channels
            .saturating_mul(self.height)
            .saturating_mul(self.width)
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}×{}×{}",
            self.channels, self.height, self.width
        )
    }
}

/// Labelled images of one shape, read by index from any thread.
pub trait Dataset: Send + Sync + Debug {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of every image.
    fn shape(&self) -> ImageShape;

    /// The class of image `index`, counted from 0.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] unless `index < len()`, and whatever reading the label may raise.
    fn label(&self, index: usize) -> Result<usize, DataError>;

    /// Writes image `index` to `out`: values in [-1, 1] (byte / 127.5 − 1), channel by channel, row by row.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] unless `index < len()`, [`DataError::BufferLength`] unless `out` holds exactly
    /// `shape().pixels()` values, and whatever reading the image may raise.
    fn image(&self, index: usize, out: &mut [f32]) -> Result<(), DataError>;
}

/// Images kept as bytes in memory. Clones and views share them.
///
/// ```
/// use protovae_data::{Dataset, ImageShape, InMemoryDataset};
///
/// let set = InMemoryDataset::new(ImageShape::new(1, 1, 2), vec![0, 255, 255, 0], vec![4, 7])?;
/// let mut image = [0.0; 2];
/// set.image(1, &mut image)?;
/// assert_eq!((set.label(1)?, image), (7, [1.0, -1.0]));
/// # Ok::<(), protovae_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct InMemoryDataset {
    shape: ImageShape,
    pixels: Arc<Vec<u8>>,
    labels: Arc<Vec<u16>>,
    /// Which stored images this view shows, in its order; all of them where there is no list.
    view: Option<Arc<Vec<usize>>>,
}

impl Debug for InMemoryDataset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("InMemoryDataset")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl InMemoryDataset {
    /// A set of `labels.len()` images; `pixels` holds them one after the other, each channel by channel.
    ///
    /// # Errors
    /// [`DataError::BufferLength`] unless `pixels.len() == labels.len() * shape.pixels()`, [`DataError::Setting`] for a
    /// shape without pixels.
    pub fn new(shape: ImageShape, pixels: Vec<u8>, labels: Vec<u16>) -> Result<Self, DataError> {
        if shape.pixels() == 0 {
            return Err(DataError::Setting {
                key: "shape",
                reason: format!("an image of {shape} has no pixels"),
            });
        }
        let expected = labels.len().saturating_mul(shape.pixels());
        if pixels.len() != expected {
            return Err(DataError::BufferLength {
                what: "pixels of the set",
                expected,
                found: pixels.len(),
            });
        }
        Ok(Self {
            shape,
            pixels: Arc::new(pixels),
            labels: Arc::new(labels),
            view: None,
        })
    }

    /// The images at `indices` of this set, in that order and without a copy of them.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] for an index that this set does not have.
    pub fn view(&self, indices: &[usize]) -> Result<Self, DataError> {
        let stored: Result<Vec<usize>, DataError> =
            indices.iter().map(|&index| self.stored(index)).collect();
        Ok(Self {
            view: Some(Arc::new(stored?)),
            ..self.clone()
        })
    }

    /// The images of a range of indices.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] for a range that reaches beyond the set.
    pub fn range(&self, range: Range<usize>) -> Result<Self, DataError> {
        if range.end > self.len() {
            return Err(self.out_of_range(range.end - 1));
        }
        self.view(&range.collect::<Vec<_>>())
    }

    /// The bytes of image `index`, channel by channel.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`] unless `index < len()`.
    pub fn bytes(&self, index: usize) -> Result<&[u8], DataError> {
        let start = self.stored(index)?.saturating_mul(self.shape.pixels());
        self.pixels
            .get(start..start.saturating_add(self.shape.pixels()))
            .ok_or_else(|| self.out_of_range(index))
    }

    fn stored(&self, index: usize) -> Result<usize, DataError> {
        let stored = match &self.view {
            Some(view) => view.get(index).copied(),
            None => (index < self.labels.len()).then_some(index),
        };
        stored.ok_or_else(|| self.out_of_range(index))
    }

    fn out_of_range(&self, index: usize) -> DataError {
        DataError::IndexOutOfRange {
            index,
            len: self.len(),
        }
    }
}

impl Dataset for InMemoryDataset {
    fn len(&self) -> usize {
        self.view
            .as_ref()
            .map_or(self.labels.len(), |view| view.len())
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        let label = self.labels.get(self.stored(index)?);
        label
            .map(|&label| usize::from(label))
            .ok_or_else(|| self.out_of_range(index))
    }

    fn image(&self, index: usize, out: &mut [f32]) -> Result<(), DataError> {
        let bytes = self.bytes(index)?;
        if out.len() != bytes.len() {
            return Err(DataError::BufferLength {
                what: "buffer for an image",
                expected: bytes.len(),
                found: out.len(),
            });
        }
        for (value, &byte) in out.iter_mut().zip(bytes) {
            *value = scale(byte);
        }
        Ok(())
    }
}

/// A byte as the networks see it, in [-1, 1].
pub(crate) fn scale(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

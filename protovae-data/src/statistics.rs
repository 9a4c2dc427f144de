//! What a data set looks like in figures.

use std::thread;

use serde::Serialize;

use crate::{DataError, Dataset, ImageShape};

/// Images that are summed up together. Sums are joined in the order of the images, so that the figures do not depend on
/// the number of threads.
const CHUNK: usize = 256;

/// More threads than this gain nothing: memory is the limit.
const MAX_THREADS: usize = 8;

/// More classes than labels of two bytes can name are refused.
const MAX_CLASSES: usize = 1 << 16;

/// Counts, and the pixels' moments a channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetStatistics {
    /// The number of images.
    pub images: usize,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The number of images of each class.
    pub per_class: Vec<usize>,
    /// The mean of each channel, of pixels in [0, 1] (byte / 255).
    pub mean: Vec<f64>,
    /// The standard deviation of each channel over all its pixels (divided by their number, not by one less).
    pub deviation: Vec<f64>,
    /// The least pixel of each channel, in [0, 1].
    pub minimum: Vec<f64>,
    /// The greatest pixel of each channel, in [0, 1].
    pub maximum: Vec<f64>,
}

/// Reads every image of a set once and sums up in 64 bits.
///
/// # Errors
/// [`DataError::Setting`] for a set without images or for 0 or more than 65,536 `classes`;
/// [`DataError::LabelOutOfRange`] for a label that is not below `classes`; whatever reading the images may raise.
///
/// ```
/// use protovae_data::{ImageShape, InMemoryDataset, statistics};
///
/// let set = InMemoryDataset::new(ImageShape::new(1, 1, 2), vec![0, 255, 255, 255], vec![0, 1])?;
/// let figures = statistics(&set, 2)?;
/// assert_eq!((figures.per_class, figures.mean), (vec![1, 1], vec![0.75]));
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn statistics(set: &dyn Dataset, classes: usize) -> Result<SetStatistics, DataError> {
    check(set, classes)?;
    let chunks = set.len().div_ceil(CHUNK);
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS)
        .min(chunks);
    let mut sums = Sums::new(set.shape().channels, classes);
    // A round gives each thread one chunk: what is in memory stays small, and the order of joining is the images' own.
    for round in (0..chunks).step_by(threads) {
        let parts: Vec<Result<Sums, DataError>> = thread::scope(|scope| {
            let workers: Vec<_> = (round..chunks.min(round + threads))
                .map(|chunk| scope.spawn(move || Sums::of_chunk(set, classes, chunk)))
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker.join().unwrap_or_else(|_| {
                        Err(DataError::Worker {
                            reason: "a data set panicked while it was read".to_string(),
                        })
                    })
                })
                .collect()
        });
        for part in parts {
            sums.join(&part?);
        }
    }
    Ok(sums.finish(set))
}

fn check(set: &dyn Dataset, classes: usize) -> Result<(), DataError> {
    if set.is_empty() {
        return Err(DataError::Setting {
            key: "data",
            reason: "the set has no images".to_string(),
        });
    }
    if classes == 0 || classes > MAX_CLASSES {
        return Err(DataError::Setting {
            key: "classes",
            reason: format!("{classes} classes; 1 to {MAX_CLASSES} are counted"),
        });
    }
    Ok(())
}

/// A label, checked against the number of classes.
pub(crate) fn checked_label(
    set: &dyn Dataset,
    index: usize,
    classes: usize,
) -> Result<usize, DataError> {
    let label = set.label(index)?;
    if label < classes {
        return Ok(label);
    }
    Err(DataError::LabelOutOfRange {
        path: "the set".into(),
        index,
        label,
        classes,
    })
}

/// A buffer for one image; a shape beyond all memory is an error and no abort.
pub(crate) fn image_buffer(shape: ImageShape) -> Result<Vec<f32>, DataError> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(shape.pixels())
        .map_err(|error| DataError::Setting {
            key: "shape",
            reason: format!("no memory for an image of {shape}: {error}"),
        })?;
    buffer.resize(shape.pixels(), 0.0);
    Ok(buffer)
}

struct Sums {
    per_class: Vec<usize>,
    channels: Vec<ChannelSums>,
}

#[derive(Clone, Copy)]
struct ChannelSums {
    sum: f64,
    squares: f64,
    minimum: f64,
    maximum: f64,
}

impl Sums {
    fn new(channels: usize, classes: usize) -> Self {
        let nothing = ChannelSums {
            sum: 0.0,
            squares: 0.0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
        };
        Self {
            per_class: vec![0; classes],
            channels: vec![nothing; channels],
        }
    }

    fn of_chunk(set: &dyn Dataset, classes: usize, chunk: usize) -> Result<Self, DataError> {
        let shape = set.shape();
        let mut sums = Self::new(shape.channels, classes);
        let mut image = image_buffer(shape)?;
        let plane = (shape.height * shape.width).max(1);
        for index in chunk * CHUNK..set.len().min((chunk + 1) * CHUNK) {
            let label = checked_label(set, index, classes)?;
            if let Some(count) = sums.per_class.get_mut(label) {
                *count += 1;
            }
            set.image(index, &mut image)?;
            for (channel, values) in sums.channels.iter_mut().zip(image.chunks_exact(plane)) {
                channel.add(values);
            }
        }
        Ok(sums)
    }

    fn join(&mut self, other: &Self) {
        for (count, more) in self.per_class.iter_mut().zip(&other.per_class) {
            *count += more;
        }
        for (channel, more) in self.channels.iter_mut().zip(&other.channels) {
            channel.sum += more.sum;
            channel.squares += more.squares;
            channel.minimum = channel.minimum.min(more.minimum);
            channel.maximum = channel.maximum.max(more.maximum);
        }
    }

    fn finish(self, set: &dyn Dataset) -> SetStatistics {
        let shape = set.shape();
        let count = set.len() as f64 * (shape.height as f64 * shape.width as f64);
        let mean = |channel: &ChannelSums| channel.sum / count;
        // Rounding may make the variance of equal pixels a hair negative.
        let deviation = |channel: &ChannelSums| {
            (channel.squares / count - mean(channel).powi(2))
                .max(0.0)
                .sqrt()
        };
        SetStatistics {
            images: set.len(),
            shape,
            per_class: self.per_class,
            mean: self.channels.iter().map(mean).collect(),
            deviation: self.channels.iter().map(deviation).collect(),
            minimum: self.channels.iter().map(|sums| sums.minimum).collect(),
            maximum: self.channels.iter().map(|sums| sums.maximum).collect(),
        }
    }
}

impl ChannelSums {
    fn add(&mut self, values: &[f32]) {
        for &value in values {
            let value = (f64::from(value) + 1.0) / 2.0;
            self.sum += value;
            self.squares += value * value;
            self.minimum = self.minimum.min(value);
            self.maximum = self.maximum.max(value);
        }
    }
}

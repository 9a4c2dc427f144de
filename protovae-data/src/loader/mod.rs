//! Batches of a data set, prepared by threads, in an order that depends on the seed and the epoch alone.

mod order;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use order::{Order, permutation};

use crate::{AugmentationConfig, DataError, Dataset, ImageShape};
use workers::Workers;

/// How a [`Loader`] makes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Images of a batch; the last one of an epoch may have fewer. At least 1.
    pub batch_size: usize,
    /// Threads that prepare batches; 0 prepares them in the calling thread.
    pub threads: usize,
    /// Batches that each thread prepares ahead. At least 1.
    pub prefetch: usize,
    /// The order of the images.
    pub order: Order,
}

impl Default for LoaderConfig {
    /// 128 images in sequence, by one thread that is two batches ahead.
    fn default() -> Self {
        Self {
            batch_size: 128,
            threads: 1,
            prefetch: 2,
            order: Order::Sequential,
        }
    }
}

/// A batch in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// The images one after the other, N×C×H×W, in [-1, 1].
    pub images: Vec<f32>,
    /// The N classes.
    pub labels: Vec<usize>,
    /// The N indices into the data set.
    pub indices: Vec<u64>,
    /// The shape of one image.
    pub shape: ImageShape,
}

impl HostBatch {
    /// The number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Makes the batches of epoch after epoch.
///
/// What a batch holds is a pure function of (data set, order, augmentation, epoch, batch number): neither the number of
/// threads nor the batch an epoch starts from changes it.
///
/// ```
/// use protovae_data::{DataConfig, DataSearch, Loader, LoaderConfig, Mnist5kConfig, Order};
///
/// let splits = Mnist5kConfig::default().load(&DataSearch::default())?;
/// let order = Order::Shuffled { seed: 1 };
/// let loader = Loader::new(splits.train, LoaderConfig { order, threads: 2, ..LoaderConfig::default() })?;
/// for batch in loader.epoch(0, 30) {
///     let batch = batch?;
///     assert_eq!(batch.images.len(), batch.len() * 28 * 28);
/// }
/// # Ok::<(), protovae_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    augmentation: Option<Augmentation>,
}

#[derive(Debug, Clone, Copy)]
struct Augmentation {
    config: AugmentationConfig,
    seed: u64,
}

impl Loader {
    /// A loader of `dataset`.
    ///
    /// # Errors
    /// [`DataError::Setting`] for an empty set, a batch size of 0, or threads without prefetch.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self, DataError> {
        let fault = if dataset.is_empty() {
            Some(("data", "the data set has no images"))
        } else if config.batch_size == 0 {
            Some(("batch_size", "a batch needs at least one image"))
        } else if config.threads > 0 && config.prefetch == 0 {
            Some((
                "prefetch",
                "a loader thread prepares at least one batch ahead",
            ))
        } else {
            None
        };
        match fault {
            Some((key, reason)) => Err(DataError::Setting {
                key,
                reason: reason.to_string(),
            }),
            None => Ok(Self {
                dataset,
                config,
                augmentation: None,
            }),
        }
    }

    /// Changes every image at random as [`AugmentationConfig::draw`] says for (`seed`, epoch, index): the same image looks
    /// different in every epoch, and the same in an epoch that is repeated.
    ///
    /// The threads that prepare batches do this; without any, the calling thread.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a value out of range, or one that does not fit the images.
    pub fn augmented(self, config: AugmentationConfig, seed: u64) -> Result<Self, DataError> {
        config.check(self.dataset.shape())?;
        Ok(Self {
            augmentation: (!config.is_nothing()).then_some(Augmentation { config, seed }),
            ..self
        })
    }

    /// The number of batches of a whole epoch.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.dataset.len().div_ceil(self.config.batch_size)
    }

    /// The set that the batches come from.
    #[must_use]
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// The settings in use.
    #[must_use]
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// The batches of an epoch from number `first_batch` on; none where the epoch has no such batch.
    #[must_use]
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> EpochBatches {
        let plan = Arc::new(Plan {
            dataset: Arc::clone(&self.dataset),
            indices: self.config.order.indices(epoch, self.dataset.len()),
            batch_size: self.config.batch_size,
            augmentation: self.augmentation,
            epoch,
        });
        let batches = plan.batches();
        let first = first_batch.min(batches);
        // A thread without a batch would only cost its start.
        let threads = self.config.threads.min(batches - first);
        EpochBatches {
            workers: Workers::start(&plan, first, threads, self.config.prefetch),
            plan,
            next: first,
            batches,
            waited: Duration::ZERO,
        }
    }
}

/// The batches of one epoch. After an error there are no more. Dropping it stops and joins its threads.
#[derive(Debug)]
pub struct EpochBatches {
    plan: Arc<Plan>,
    workers: Result<Workers, Option<DataError>>,
    next: usize,
    batches: usize,
    waited: Duration,
}

impl EpochBatches {
    /// How long `next` has taken so far in sum: the time the consumer waited for data.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The number of batches of the whole epoch, those before `first_batch` included.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// The number of the batch that `next` returns.
    #[must_use]
    pub fn next_batch(&self) -> usize {
        self.next
    }

    fn prepare_next(&mut self) -> Result<HostBatch, DataError> {
        match &mut self.workers {
            Ok(workers) if workers.is_empty() => self.plan.prepare(self.next),
            Ok(workers) => workers.receive(self.next),
            Err(error) => Err(error.take().unwrap_or(DataError::Worker {
                reason: "it could not be started".to_string(),
            })),
        }
    }
}

impl Iterator for EpochBatches {
    type Item = Result<HostBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches {
            return None;
        }
        let start = Instant::now();
        let batch = self.prepare_next();
        self.waited += start.elapsed();
        self.next = if batch.is_ok() {
            self.next + 1
        } else {
            self.batches
        };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches - self.next;
        // An error ends the epoch early.
        (left.min(1), Some(left))
    }
}

impl std::iter::FusedIterator for EpochBatches {}

/// What every thread needs to prepare any batch of an epoch.
#[derive(Debug)]
pub(crate) struct Plan {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
    batch_size: usize,
    augmentation: Option<Augmentation>,
    epoch: u64,
}

impl Plan {
    fn batches(&self) -> usize {
        self.indices.len().div_ceil(self.batch_size)
    }

    fn prepare(&self, batch: usize) -> Result<HostBatch, DataError> {
        let start = batch.saturating_mul(self.batch_size);
        let end = start
            .saturating_add(self.batch_size)
            .min(self.indices.len());
        let indices = self.indices.get(start..end).unwrap_or_default();
        let shape = self.dataset.shape();
        let pixels = shape.pixels();
        let mut images = vec![0.0; indices.len().saturating_mul(pixels)];
        let mut labels = Vec::with_capacity(indices.len());
        for (position, &index) in indices.iter().enumerate() {
            let image = &mut images[position * pixels..(position + 1) * pixels];
            self.dataset.image(index, image)?;
            if let Some(Augmentation { config, seed }) = &self.augmentation {
                let draw = config.draw(*seed, self.epoch, index as u64);
                draw.apply(image, shape)?;
            }
            labels.push(self.dataset.label(index)?);
        }
        Ok(HostBatch {
            images,
            labels,
            indices: indices.iter().map(|&index| index as u64).collect(),
            shape,
        })
    }
}

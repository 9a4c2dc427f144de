//! Batches, and where they come from.

use std::time::Duration;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::precision::Precision;
use crate::random::{Purpose, normal_rows};

/// A batch in host memory, as loaders make it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// `N·C·H·W` values in `[-1, 1]`, image by image.
    pub images: Vec<f32>,
    /// `N` labels, each below the number of classes.
    pub labels: Vec<usize>,
    /// `N` sample indices in the data set: the identity of a sample, on which its noise depends.
    pub indices: Vec<u64>,
    /// The shape of each image.
    pub shape: ImageShape,
}

impl HostBatch {
    /// The batch cut into `parts` pieces in the samples' order, the first ones larger by a sample where it does not come out
    /// even; one piece a sample if there are fewer samples than that.
    ///
    /// ```
    /// use protovae_core::ImageShape;
    /// use protovae_core::train::HostBatch;
    /// let shape = ImageShape::new(1, 1, 2);
    /// let batch = HostBatch { images: vec![0.5; 10], labels: vec![0; 5], indices: (0..5).collect(), shape };
    /// let sizes: Vec<usize> = batch.into_parts(2).iter().map(|part| part.labels.len()).collect();
    /// assert_eq!(sizes, [3, 2]);
    /// ```
    #[must_use]
    pub fn into_parts(self, parts: usize) -> Vec<Self> {
        let samples = self.labels.len();
        let parts = parts.clamp(1, samples.max(1));
        if parts == 1 {
            return vec![self];
        }
        let mut made = Vec::with_capacity(parts);
        let (mut images, mut labels, mut indices) = (
            self.images.as_slice(),
            self.labels.as_slice(),
            self.indices.as_slice(),
        );
        for part in 0..parts {
            let samples = samples / parts + usize::from(part < samples % parts);
            made.push(Self {
                images: take(&mut images, samples.saturating_mul(self.shape.values())),
                labels: take(&mut labels, samples),
                indices: take(&mut indices, samples),
                shape: self.shape,
            });
        }
        // What is too much for the labels stays, for `Batch::new` to refuse.
        if let (Some(last), false) = (made.last_mut(), images.is_empty() && indices.is_empty()) {
            last.images.extend_from_slice(images);
            last.indices.extend_from_slice(indices);
        }
        made
    }
}

/// The first values of a slice, which then begins behind them.
fn take<T: Clone>(from: &mut &[T], count: usize) -> Vec<T> {
    let (taken, rest) = from.split_at(count.min(from.len()));
    *from = rest;
    taken.to_vec()
}

/// Iterates over the batches of one epoch.
pub trait EpochBatches: Iterator<Item = Result<HostBatch>> {
    /// How long the consumer has waited for batches so far.
    fn waited(&self) -> Duration;
}

/// Where the trainer gets its batches; the order must be a pure function of the epoch (and the source's own seed).
pub trait BatchSource {
    /// Samples in an epoch.
    fn samples(&self) -> usize;

    /// Batches in an epoch.
    fn batches(&self) -> usize;

    /// The batches of `epoch` (from 0) from the `first`-th on.
    ///
    /// # Errors
    /// If the source cannot start.
    fn epoch(&self, epoch: u64, first: usize) -> Result<Box<dyn EpochBatches + '_>>;
}

/// A batch on the device, with what its noise depends on.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[N, C, H, W]` in `[-1, 1]`.
    pub images: Tensor<4>,
    /// `[N]`.
    pub labels: Tensor<1, Int>,
    /// Identity of each sample.
    pub indices: Vec<u64>,
    /// The run's seed.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// In what the model's layers are to compute, if they can: [`Model::takes_lower_precision`](crate::model::Model::takes_lower_precision).
    pub precision: Precision,
}

impl Batch {
    /// Puts a host batch on a device, to be computed in 32 bits, after checking it against the model's image shape and number of classes.
    ///
    /// # Errors
    /// [`Error::ImageShape`] for other images; [`Error::Config`] for lengths or labels out of range.
    pub fn new(
        host: HostBatch,
        image: ImageShape,
        classes: usize,
        seed: u64,
        epoch: u64,
        device: &Device,
    ) -> Result<Self> {
        let samples = host.labels.len();
        if host.shape != image {
            return Err(Error::ImageShape {
                expected: image.to_string(),
                found: host.shape.to_string(),
            });
        }
        if samples == 0
            || host.indices.len() != samples
            || samples.checked_mul(image.values()) != Some(host.images.len())
        {
            return Err(Error::config(
                "data",
                format!(
                    "a batch of {samples} labels came with {} indices and {} pixel values",
                    host.indices.len(),
                    host.images.len()
                ),
            ));
        }
        if let Some(label) = host.labels.iter().find(|label| **label >= classes) {
            return Err(Error::config(
                "data",
                format!("label {label} is out of range for {classes} classes"),
            ));
        }
        let labels: Vec<i64> = host.labels.iter().map(|label| *label as i64).collect();
        Ok(Self {
            images: Tensor::from_data(
                TensorData::new(
                    host.images,
                    [samples, image.channels, image.height, image.width],
                ),
                device,
            ),
            labels: Tensor::from_data(TensorData::new(labels, [samples]), device),
            indices: host.indices,
            seed,
            epoch,
            precision: Precision::F32,
        })
    }

    /// Standard normal noise `[N, width]` that depends on seed, epoch, sample and purpose alone.
    pub fn normal_noise(&self, width: usize, purpose: Purpose) -> Tensor<2> {
        normal_rows(
            self.seed,
            self.epoch,
            &self.indices,
            width,
            purpose,
            &self.images.device(),
        )
    }
}

/// Batches that are held in memory, in order; for tests, examples and measures.
#[derive(Debug, Clone)]
pub struct InMemorySource {
    batches: Vec<HostBatch>,
}

impl InMemorySource {
    /// A source that gives these batches every epoch.
    pub fn new(batches: Vec<HostBatch>) -> Self {
        Self { batches }
    }
}

struct InMemoryEpoch<'a>(std::slice::Iter<'a, HostBatch>);

impl Iterator for InMemoryEpoch<'_> {
    type Item = Result<HostBatch>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().cloned().map(Ok)
    }
}

impl EpochBatches for InMemoryEpoch<'_> {
    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}

impl BatchSource for InMemorySource {
    fn samples(&self) -> usize {
        self.batches.iter().map(|batch| batch.labels.len()).sum()
    }

    fn batches(&self) -> usize {
        self.batches.len()
    }

    fn epoch(&self, _epoch: u64, first: usize) -> Result<Box<dyn EpochBatches + '_>> {
        let rest = self.batches.get(first..).unwrap_or_default();
        Ok(Box::new(InMemoryEpoch(rest.iter())))
    }
}

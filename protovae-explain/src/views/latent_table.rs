//! What a model makes of every image of a set.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};

use super::{largest, squared_distance, values};
use crate::check::check_images;

/// A row for each image of a set: where it lies, what it is taken for, how well it is reconstructed.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use protovae_core::{ImageShape, model::{BoxModel, ModelConfig, ModelSpec}, random::Initializer};
/// # use protovae_backbones as _;
/// # let recipe = r#"{"type": "protovae", "latent_dimensions": 4, "prototypes_per_class": 2,
/// #     "encoder": {"type": "conv-pool", "widths": [4, 6]},
/// #     "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]},
/// #     "head": {"type": "prototype"}}"#;
/// # let config: Box<dyn ModelConfig> = serde_json::from_str(recipe)?;
/// # let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 3 };
/// # let model = config.build(&spec, &mut Initializer::new(1, &Device::flex().autodiff()))?;
/// use protovae_explain::views::{LatentTable, Neighbours, Usage};
/// let batch = (Tensor::<4>::ones([5, 1, 8, 8], &Device::flex()), vec![0, 1, 2, 0, 1]);
/// let table = LatentTable::new(&model, [Ok::<_, protovae_core::Error>(batch)])?;
/// assert_eq!(table.len(), 5);
/// let nearest = Neighbours::of(&table, 3);
/// assert_eq!(nearest.nearest.len(), 6);
/// assert_eq!(Usage::of(&table).map(|usage| usage.nearest_of_all.iter().sum()), Some(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LatentTable {
    /// `L`, the width of latents and prototypes; 0 if the model has neither.
    pub latent_dimensions: usize,
    /// `K`.
    pub classes: usize,
    /// `M`; 0 if the model has no prototypes.
    pub per_class: usize,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The class that the model takes it for.
    pub predicted: Vec<usize>,
    /// The probability that it gives this class.
    pub probability: Vec<f32>,
    /// Posterior means, `[N, L]` row by row.
    pub means: Vec<f32>,
    /// The prototypes, `[K·M, L]` row by row.
    pub prototypes: Vec<f32>,
    /// Squared distance of each mean to each prototype, `[N, K·M]` row by row.
    pub distances: Vec<f32>,
    /// Similarity of each image to each prototype, `[N, K·M]` row by row, of models without latents, which compare patches; empty
    /// for others, whose distances say as much.
    pub similarities: Vec<f32>,
    /// Mean squared error a pixel of each reconstruction from the mean; empty if the model has no decoder.
    pub reconstruction_errors: Vec<f32>,
}

impl LatentTable {
    /// Sends batches of images `[n, C, H, W]` and their labels through a model (as `valid()`).
    ///
    /// # Errors
    /// The first error of `batches`; [`Error::Config`] if a batch has another number of labels than images, [`Error::ImageShape`] for
    /// images that the model does not take.
    pub fn new<E: From<Error>>(
        model: &BoxModel,
        batches: impl IntoIterator<Item = std::result::Result<(Tensor<4>, Vec<usize>), E>>,
    ) -> std::result::Result<Self, E> {
        let model = model.valid();
        let mut table = Self {
            classes: model.classes(),
            ..Self::default()
        };
        if let Some(bank) = model.prototypes() {
            table.per_class = bank.per_class;
            table.latent_dimensions = bank.vectors.dims()[1];
            table.prototypes = values(bank.vectors);
        }
        for batch in batches {
            let (images, labels) = batch?;
            table.extend(&model, images, &labels)?;
        }
        Ok(table)
    }

    fn extend(&mut self, model: &BoxModel, images: Tensor<4>, labels: &[usize]) -> Result<()> {
        let [count, channels, height, width] = images.dims();
        if count != labels.len() {
            return Err(Error::config(
                "labels",
                format!("{} labels for {count} images", labels.len()),
            ));
        }
        if count == 0 {
            return Ok(());
        }
        check_images(model, &images)?;
        let images = images.without_autodiff();
        let prediction = model.predict(images.clone());
        let probabilities = values(softmax(prediction.logits, 1));
        for row in probabilities.chunks_exact(self.classes.max(1)) {
            let class = largest(row);
            self.predicted.push(class);
            self.probability.push(row[class]);
        }
        self.labels.extend_from_slice(labels);
        let Some(latents) = prediction.latents else {
            self.similarities
                .extend(prediction.similarities.map(values).unwrap_or_default());
            return Ok(());
        };
        if let Some(decoded) = model.decode(latents.clone()) {
            let apart = (decoded - images).powi_scalar(2);
            let each = apart
                .reshape([count, channels * height * width])
                .mean_dim(1);
            self.reconstruction_errors.extend(values(each));
        }
        self.latent_dimensions = latents.dims()[1];
        let means = values(latents);
        let width = self.latent_dimensions.max(1);
        for mean in means.chunks_exact(width) {
            let prototypes = self.prototypes.chunks_exact(width);
            self.distances
                .extend(prototypes.map(|prototype| squared_distance(mean, prototype)));
        }
        self.means.extend(means);
        Ok(())
    }

    /// `N`.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `K·M`.
    pub fn prototype_count(&self) -> usize {
        self.classes * self.per_class
    }

    /// The posterior mean of image `index`, `[L]`; none if there is no such image, or no latents.
    pub fn mean(&self, index: usize) -> Option<&[f32]> {
        let width = self.latent_dimensions;
        self.means
            .get(index * width..(index + 1) * width)
            .filter(|mean| !mean.is_empty())
    }

    /// Squared distances of image `index` to all prototypes, `[K·M]`; none if there is no such image, or no prototypes.
    pub fn distances(&self, index: usize) -> Option<&[f32]> {
        let width = self.prototype_count();
        self.distances
            .get(index * width..(index + 1) * width)
            .filter(|row| !row.is_empty())
    }

    /// How far image `index` lies from each prototype, `[K·M]`, for comparisons: the squared distances or, for models that compare
    /// patches, `e^−s` of the similarities `s`, which lies between 0 and 1. None without prototypes.
    pub fn remoteness(&self, index: usize) -> Option<Vec<f32>> {
        if let Some(distances) = self.distances(index) {
            return Some(distances.to_vec());
        }
        let width = self.prototype_count();
        let row = self.similarities.get(index * width..(index + 1) * width)?;
        let far = row.iter().map(|similarity| (-similarity).exp());
        Some(far.collect()).filter(|row: &Vec<f32>| !row.is_empty())
    }

    /// The least of [`remoteness`](Self::remoteness).
    pub fn nearest(&self, index: usize) -> Option<f32> {
        self.remoteness(index)?.into_iter().reduce(f32::min)
    }

    /// Prototype `row`, `[L]`.
    pub fn prototype(&self, row: usize) -> Option<&[f32]> {
        let width = self.latent_dimensions;
        self.prototypes
            .get(row * width..(row + 1) * width)
            .filter(|row| !row.is_empty())
    }

    /// `counts[true][predicted]` of all images.
    pub fn confusion(&self) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (label, predicted) in self.labels.iter().zip(&self.predicted) {
            if let Some(count) = counts
                .get_mut(*label)
                .and_then(|row| row.get_mut(*predicted))
            {
                *count += 1;
            }
        }
        counts
    }

    /// The share of images taken for what they are; 0 of none.
    pub fn accuracy(&self) -> f64 {
        let right = self
            .labels
            .iter()
            .zip(&self.predicted)
            .filter(|(a, b)| a == b);
        right.count() as f64 / self.len().max(1) as f64
    }
}

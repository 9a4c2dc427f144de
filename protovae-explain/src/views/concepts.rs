//! What a model's concepts stand for: the images with most of each, and the classes it speaks for.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{largest, values};
use crate::check::check_images;

/// An image with so much of a concept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConceptImage {
    /// Its row in the table.
    pub image: usize,
    /// Its class.
    pub label: usize,
    /// How much of the concept there is in it.
    pub activation: f32,
}

/// A class for which a concept speaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConceptClass {
    /// The class.
    pub class: usize,
    /// What the concept adds to its logit, on average over the images that are taken for it.
    pub contribution: f32,
    /// What the activation is multiplied with in its logit, on average over all images.
    pub weight: f32,
}

/// A concept is active in an image if the size of its activation is more than this share of its largest over the set.
pub const ACTIVE_ABOVE: f32 = 0.1;

/// The concepts of every image of a set, and what they add to each class.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use protovae_core::{ImageShape, model::{BoxModel, ModelConfig, ModelSpec}, random::Initializer};
/// # use protovae_backbones as _;
/// # let recipe = r#"{"type": "flint", "latent_dimensions": 4, "attributes": 6,
/// #     "encoder": {"type": "conv-pool", "widths": [4, 6]},
/// #     "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]}}"#;
/// # let config: Box<dyn ModelConfig> = serde_json::from_str(recipe)?;
/// # let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 3 };
/// # let model = config.build(&spec, &mut Initializer::new(1, &Device::flex().autodiff()))?;
/// use protovae_explain::views::ConceptTable;
/// let batch = (Tensor::<4>::ones([5, 1, 8, 8], &Device::flex()), vec![0, 1, 2, 0, 1]);
/// let table = ConceptTable::new(&model, [Ok::<_, protovae_core::Error>(batch)])?;
/// assert_eq!((table.len(), table.concepts), (5, 6));
/// assert!(table.most(0, 3).len() <= 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConceptTable {
    /// `C`.
    pub concepts: usize,
    /// `K`.
    pub classes: usize,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The class that the model takes it for.
    pub predicted: Vec<usize>,
    /// How much of each concept there is in each image, `[N, C]` row by row.
    pub activations: Vec<f32>,
    /// What an activation is multiplied with in the logit of each class, on average over all images, `[K, C]` row by row.
    pub mean_weights: Vec<f32>,
    /// What a concept adds to the logit of each class, on average over the images that are taken for this class (0 if there
    /// are none), `[K, C]` row by row.
    pub mean_contributions: Vec<f32>,
}

impl ConceptTable {
    /// Sends batches of images `[n, c, H, W]` and their labels through a model (as `valid()`).
    ///
    /// # Errors
    /// The first error of `batches`; [`Error::Unsupported`] if the model has no concepts; [`Error::Config`] if a batch has
    /// another number of labels than images.
    pub fn new<E: From<Error>>(
        model: &BoxModel,
        batches: impl IntoIterator<Item = std::result::Result<(Tensor<4>, Vec<usize>), E>>,
    ) -> std::result::Result<Self, E> {
        let model = model.valid();
        let mut sums = Sums {
            table: Self {
                classes: model.classes(),
                ..Self::default()
            },
            ..Sums::default()
        };
        for batch in batches {
            let (images, labels) = batch?;
            sums.extend(&model, images, &labels)?;
        }
        Ok(sums.finished())
    }

    /// `N`.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How much of a concept there is in each image.
    fn column(&self, concept: usize) -> impl Iterator<Item = f32> + '_ {
        let rows = self.activations.chunks_exact(self.concepts.max(1));
        rows.filter_map(move |row| row.get(concept).copied())
    }

    fn ranked(&self, concept: usize, count: usize, sign: f32) -> Vec<ConceptImage> {
        let all = self.column(concept).zip(&self.labels).enumerate();
        let mut all: Vec<ConceptImage> = all
            .filter(|(_, (activation, _))| *activation != 0.0)
            .map(|(image, (activation, label))| ConceptImage {
                image,
                label: *label,
                activation,
            })
            .collect();
        all.sort_by(|a, b| {
            let order = (sign * b.activation).total_cmp(&(sign * a.activation));
            order.then(a.image.cmp(&b.image))
        });
        all.truncate(count);
        all
    }

    /// The images with most of a concept, at most `count`, the first of equals first; those with nothing of it are left out.
    pub fn most(&self, concept: usize, count: usize) -> Vec<ConceptImage> {
        self.ranked(concept, count, 1.0)
    }

    /// The images with least of a concept: those that it is most negative in, if it can be.
    pub fn least(&self, concept: usize, count: usize) -> Vec<ConceptImage> {
        self.ranked(concept, count, -1.0)
    }

    /// Whether some activation of the concept is negative.
    pub fn is_signed(&self, concept: usize) -> bool {
        self.column(concept).any(|value| value < 0.0)
    }

    /// The share of images in which the concept is active: see [`ACTIVE_ABOVE`].
    pub fn activity(&self, concept: usize) -> f64 {
        let largest = self
            .column(concept)
            .fold(0f32, |most, value| most.max(value.abs()));
        let active = self.column(concept);
        let active = active.filter(|value| value.abs() > ACTIVE_ABOVE * largest);
        active.count() as f64 / self.len().max(1) as f64
    }

    /// Concepts of which there is nothing in any image.
    pub fn never_active(&self) -> Vec<usize> {
        let silent = |concept: &usize| self.column(*concept).all(|value| value == 0.0);
        (0..self.concepts).filter(silent).collect()
    }

    /// The classes that a concept speaks for, at most `count`, the largest contribution first; those it does not speak for
    /// are left out.
    pub fn speaks_for(&self, concept: usize, count: usize) -> Vec<ConceptClass> {
        let at = |table: &[f32], class: usize| {
            let value = table.get(class * self.concepts + concept);
            value.copied().unwrap_or(0.0)
        };
        let mut classes: Vec<ConceptClass> = (0..self.classes)
            .map(|class| ConceptClass {
                class,
                contribution: at(&self.mean_contributions, class),
                weight: at(&self.mean_weights, class),
            })
            .filter(|each| each.contribution > 0.0)
            .collect();
        classes.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        classes.truncate(count);
        classes
    }

    /// What a user should be told.
    pub fn warnings(&self, name: impl Fn(usize) -> String) -> Vec<String> {
        let silent: Vec<String> = self.never_active().into_iter().map(name).collect();
        match silent.is_empty() || self.is_empty() {
            true => Vec::new(),
            false => vec![format!("active in no image: {}", silent.join(", "))],
        }
    }
}

/// A table in the making.
#[derive(Default)]
struct Sums {
    table: ConceptTable,
    /// Over all images, `[K, C]`.
    weights: Vec<f64>,
    /// Over the images taken for each class, `[K, C]`.
    contributions: Vec<f64>,
    /// Images taken for each class.
    taken: Vec<usize>,
}

impl Sums {
    fn extend(&mut self, model: &BoxModel, images: Tensor<4>, labels: &[usize]) -> Result<()> {
        let count = images.dims()[0];
        if count != labels.len() {
            let reason = format!("{} labels for {count} images", labels.len());
            return Err(Error::config("labels", reason));
        }
        if count == 0 {
            return Ok(());
        }
        check_images(model, &images)?;
        let images = images.without_autodiff();
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        let concepts = model
            .concepts(images.clone())
            .ok_or_else(|| unsupported("concepts"))?;
        let [rows, classes, width] = concepts.weights.dims();
        if concepts.activations.dims() != [count, width]
            || [rows, classes] != [count, self.table.classes]
        {
            return Err(unsupported("a weight for each image, class and concept"));
        }
        let table = &mut self.table;
        table.concepts = width;
        self.weights.resize(classes * width, 0.0);
        self.contributions.resize(classes * width, 0.0);
        self.taken.resize(classes, 0);
        let sums = values(concepts.weights.clone().sum_dim(0));
        for (sum, value) in self.weights.iter_mut().zip(sums) {
            *sum += f64::from(value);
        }
        let logits = values(model.predict(images).logits);
        let contributions = values(concepts.contributions());
        let all = contributions.chunks_exact((classes * width).max(1));
        for (logits, contributions) in logits.chunks_exact(classes.max(1)).zip(all) {
            let class = largest(logits);
            table.predicted.push(class);
            self.taken[class] += 1;
            let own = class * width..(class + 1) * width;
            let sums = self.contributions[own.clone()].iter_mut();
            for (sum, value) in sums.zip(&contributions[own]) {
                *sum += f64::from(*value);
            }
        }
        table.activations.extend(values(concepts.activations));
        table.labels.extend_from_slice(labels);
        Ok(())
    }

    fn finished(self) -> ConceptTable {
        let count = self.table.len().max(1) as f64;
        let width = self.table.concepts.max(1);
        let taken = |index: usize| self.taken.get(index / width).copied().unwrap_or(0).max(1);
        let mean_weights = self.weights.iter().map(|sum| (sum / count) as f32);
        let sums = self.contributions.iter().enumerate();
        let mean_contributions = sums.map(|(index, sum)| (sum / taken(index) as f64) as f32);
        ConceptTable {
            mean_weights: mean_weights.collect(),
            mean_contributions: mean_contributions.collect(),
            ..self.table
        }
    }
}

/// Whether a model explains itself by concepts.
pub fn has_concepts(model: &BoxModel) -> bool {
    let shape = model.image_shape();
    let device = match model.devices().first() {
        Some(device) => device.clone().without_autodiff(),
        None => return false,
    };
    let data = TensorData::new(
        vec![0f32; shape.values()],
        [1, shape.channels, shape.height, shape.width],
    );
    let image = Tensor::from_data(data, &device);
    model.valid().concepts(image).is_some()
}

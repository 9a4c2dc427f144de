//! KMEx (Gautam et al. 2024): prototypes by k-means in the latent space of an encoder that was trained for something else.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use protovae_core::device::on_workers;
use protovae_core::loss::{cross_entropy, similarity, squared_distances};
use protovae_core::model::{
    BoxModel, EpochDone, LossTerm, Mode, Model, ModelConfig, ModelSpec, Phase, Prediction,
    Provenance, Region, StepOutput, replaced,
};
use protovae_core::plugin::{BoxEncoder, EncoderConfig, EncoderSpec, HeadOutput, PrototypeBank};
use protovae_core::random::{Initializer, Purpose, stream};
use protovae_core::train::Batch;
use protovae_core::{Error, ImageShape, Result};
use serde::{Deserialize, Serialize};

use super::k_means::k_means;
use crate::check;
use crate::layers::Linear;

/// A black box whose classifier is replaced by the nearest of the centres of each class's latents.
///
/// Steps train the encoder with a linear classifier and cross-entropy, as a black box. After each epoch the latents of all
/// training images of a class are divided by k-means; the centres are the class's prototypes, and an image belongs to the class
/// of the nearest one. The linear classifier takes no part in predictions; its error is reported as `black_box_error`.
#[derive(Module, Debug)]
pub struct KMex {
    encoder: BoxEncoder,
    classifier: Linear,
    /// `[K·M, L]`, class by class; not trained.
    prototypes: Param<Tensor<2>>,
    /// The nearest training image of its class to each prototype, `[K·M]`, in two parts below 4096 so that `f32` holds any
    /// index: `index / 4096` and `index % 4096`; −1 before there is one.
    origins: Param<Tensor<2>>,
    #[module(skip)]
    settings: KMexConfigSettings,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
}

/// What of the recipe the model keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct KMexConfigSettings {
    per_class: usize,
    similarity_epsilon: f64,
    train_encoder: bool,
    restarts: usize,
}

/// The recipe of a [`KMex`], tag `kmex`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KMexConfig {
    /// `L`, default 256.
    #[serde(default = "default_latent_dimensions")]
    pub latent_dimensions: usize,
    /// `M`, default 5.
    #[serde(default = "default_prototypes_per_class")]
    pub prototypes_per_class: usize,
    /// The encoder plugin.
    pub encoder: Box<dyn EncoderConfig>,
    /// Whether epochs train the encoder; default true. Without, an epoch is k-means alone: for an encoder whose weights come from
    /// another run (`initial_weights`), and one epoch is enough.
    #[serde(default = "default_train_encoder")]
    pub train_encoder: bool,
    /// Beginnings of k-means after the last epoch, of which the best is kept; after earlier ones there is one. Default 4.
    #[serde(default = "default_restarts")]
    pub restarts: usize,
    /// `eps` of the similarity `log((d + 1) / (d + eps))` of the squared distance, default 1e-4. It does not change predictions.
    #[serde(default = "default_similarity_epsilon")]
    pub similarity_epsilon: f64,
}

fn default_latent_dimensions() -> usize {
    256
}
fn default_prototypes_per_class() -> usize {
    5
}
fn default_train_encoder() -> bool {
    true
}
fn default_restarts() -> usize {
    4
}
fn default_similarity_epsilon() -> f64 {
    1e-4
}

/// The base in which an index is stored in two values.
const BASE: u64 = 4096;

#[typetag::serde(name = "kmex")]
impl ModelConfig for KMexConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        let total = spec.classes.saturating_mul(self.prototypes_per_class);
        for (key, value) in [
            ("model.latent_dimensions", self.latent_dimensions),
            ("model.prototypes_per_class", self.prototypes_per_class),
            ("model.restarts", self.restarts),
        ] {
            check::width(key, value)?;
        }
        check::weights(
            "model.prototypes_per_class",
            init,
            &[&[total, self.latent_dimensions]],
        )?;
        check::similarity_epsilon("model.similarity_epsilon", self.similarity_epsilon)?;
        let encoder = self.encoder.build(
            &EncoderSpec {
                image: spec.image,
                latent_dimensions: self.latent_dimensions,
            },
            init,
        )?;
        let classifier = Linear::new(self.latent_dimensions, spec.classes, init);
        let prototypes = init.normal([total, self.latent_dimensions], 0.0, 1.0);
        let origins = init.constant([total, 2], -1.0);
        Ok(BoxModel::new(KMex {
            encoder,
            classifier,
            prototypes: prototypes.set_require_grad(false),
            origins: origins.set_require_grad(false),
            settings: KMexConfigSettings {
                per_class: self.prototypes_per_class,
                similarity_epsilon: self.similarity_epsilon,
                train_encoder: self.train_encoder,
                restarts: self.restarts,
            },
            image: spec.image,
            classes: spec.classes,
        }))
    }

    fn reported_as(&self) -> String {
        "kmex".to_string()
    }

    fn resolved(&self, _spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        super::clone_config(self).map(|config: Self| -> Box<dyn ModelConfig> { Box::new(config) })
    }
}

impl KMex {
    /// The nearest prototype of each class decides: its similarity is the class's logit.
    fn nearest(&self, latents: Tensor<2>) -> HeadOutput {
        let [samples, _] = latents.dims();
        let apart = squared_distances(latents, self.prototypes.val());
        let similarities = similarity(apart, self.settings.similarity_epsilon);
        let by_class = [samples, self.classes, self.settings.per_class];
        HeadOutput {
            logits: similarities
                .clone()
                .reshape(by_class)
                .max_dim(2)
                .squeeze_dim(2),
            similarities: Some(similarities),
        }
    }

    /// Latents of all training images with their labels and indices, class by class.
    fn latents_by_class(&self, done: &EpochDone<'_>) -> Result<Vec<Class>> {
        let encoder = self.encoder.valid();
        let mut classes: Vec<Class> = (0..self.classes).map(|_| Class::default()).collect();
        for batch in done.batches(self.image, self.classes)? {
            let batch = batch?;
            let images = batch.images.clone();
            let means = on_workers(done.device, || encoder.encode(images).mean);
            let [_, width] = means.dims();
            let means: Vec<f32> = means.into_data().iter::<f32>().collect();
            let labels = batch.labels.into_data();
            let rows = means.chunks_exact(width.max(1)).zip(labels.iter::<i64>());
            for ((row, label), index) in rows.zip(&batch.indices) {
                if let Some(class) = classes.get_mut(label as usize) {
                    class.latents.extend_from_slice(row);
                    class.indices.push(*index);
                }
            }
        }
        Ok(classes)
    }
}

/// The training images of one class.
#[derive(Default)]
struct Class {
    latents: Vec<f32>,
    indices: Vec<u64>,
}

impl Model for KMex {
    fn kind(&self) -> &'static str {
        "kmex"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let latents = self.encoder.encode(batch.images.clone()).mean;
        let trained = self.classifier.forward(latents.clone());
        let mut terms = vec![LossTerm {
            name: "prediction",
            value: cross_entropy(trained.clone(), batch.labels.clone()),
            weight: 1.0,
        }];
        if mode == Mode::Training {
            // What is trained is what is looked at; there may be no prototypes yet.
            return StepOutput {
                terms,
                logits: trained,
                similarities: None,
            };
        }
        let wrong = trained
            .argmax(1)
            .squeeze_dim::<1>(1)
            .not_equal(batch.labels.clone());
        terms.push(LossTerm {
            name: "black_box_error",
            value: wrong.float().mean(),
            weight: 0.0,
        });
        let HeadOutput {
            logits,
            similarities,
        } = self.nearest(latents);
        StepOutput {
            terms,
            logits,
            similarities,
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let latents = self.encoder.encode(images).mean;
        let HeadOutput {
            logits,
            similarities,
        } = self.nearest(latents.clone());
        Prediction {
            logits,
            similarities,
            latents: Some(latents),
        }
    }

    fn image_shape(&self) -> ImageShape {
        self.image
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn encoder(&self) -> Option<&BoxEncoder> {
        Some(&self.encoder)
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: self.classes,
            per_class: self.settings.per_class,
        })
    }

    fn classify(&self, latents: Tensor<2>) -> Option<HeadOutput> {
        Some(self.nearest(latents))
    }

    fn phase(&self, _epoch: usize) -> Phase {
        Phase {
            steps: self.settings.train_encoder,
            learning_rates: BTreeMap::new(),
        }
    }

    fn after_epoch(&self, done: &EpochDone<'_>) -> Result<Option<BoxModel>> {
        let restarts = if done.is_last() {
            self.settings.restarts
        } else {
            1
        };
        let per_class = self.settings.per_class;
        let [_, width] = self.prototypes.val().dims();
        let old: Vec<f32> = self.prototypes.val().into_data().iter::<f32>().collect();
        let (mut vectors, mut origins) = (Vec::new(), Vec::new());
        for (label, class) in self.latents_by_class(done)?.iter().enumerate() {
            if class.indices.is_empty() && done.max_batches.is_some() {
                // A run that looks at a few batches only may not meet every class.
                let own = label * per_class..(label + 1) * per_class;
                vectors.extend_from_slice(&old[own.start * width..own.end * width]);
                origins.extend(own.flat_map(|_| [-1.0, -1.0]));
                continue;
            }
            if class.indices.is_empty() {
                return Err(Error::config(
                    "data",
                    format!("class {label} has no training images, so it can have no prototypes"),
                ));
            }
            let mut generator = stream(done.seed, done.epoch as u64, label as u64, Purpose::Plugin);
            let found = k_means(
                &class.latents,
                width,
                per_class,
                restarts,
                &mut generator,
                done.device,
            )?;
            vectors.extend(found.centres);
            for nearest in found.nearest {
                let index = class.indices.get(nearest).copied().unwrap_or_default();
                origins.extend([(index / BASE) as f32, (index % BASE) as f32]);
            }
        }
        let total = self.classes * per_class;
        let vectors = Tensor::from_data(TensorData::new(vectors, [total, width]), done.device);
        let origins = Tensor::from_data(TensorData::new(origins, [total, 2]), done.device);
        Ok(Some(BoxModel::new(Self {
            prototypes: replaced(&self.prototypes, vectors),
            origins: replaced(&self.origins, origins),
            ..self.clone()
        })))
    }

    fn provenance(&self) -> Option<Vec<Option<Provenance>>> {
        let region = Region {
            top: 0,
            left: 0,
            height: self.image.height,
            width: self.image.width,
        };
        let parts: Vec<f32> = self.origins.val().into_data().iter::<f32>().collect();
        let origin = |parts: &[f32]| match parts {
            [high, low] if *high >= 0.0 && *low >= 0.0 => Some(Provenance {
                sample: *high as u64 * BASE + *low as u64,
                patch: None,
                region,
            }),
            _ => None,
        };
        Some(parts.chunks_exact(2).map(origin).collect())
    }
}

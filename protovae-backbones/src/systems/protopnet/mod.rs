//! ProtoPNet (Chen et al. 2019): this looks like that, patch by patch.
//!
//! Feature maps, two 1×1 convolutions and a sigmoid give a vector for each patch of an image. The similarity of an image to a
//! prototype is that of its nearest patch, and the logits are linear in the similarities:
//!
//! ```text
//! d_p(x) = min over patches z of x of ‖z − phi_p‖²,   s_p = log((d_p + 1) / (d_p + eps)),   logits = W s
//! L = cross-entropy + 0.8·cluster − 0.08·separation + 1e-4·Σ |W to other classes|
//! ```
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use protovae_core::ImageShape;
//! use protovae_core::model::{ModelConfig, ModelSpec};
//! use protovae_core::random::Initializer;
//! use protovae_backbones as _;
//!
//! let recipe: Box<dyn ModelConfig> = serde_json::from_str(
//!     r#"{"type": "protopnet", "encoder": {"type": "conv-pool", "widths": [4]}, "channels": 8, "prototypes_per_class": 2}"#,
//! )?;
//! let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 3 };
//! let device = Device::flex();
//! let model = recipe.build(&spec, &mut Initializer::new(1, &device))?;
//! let images = Tensor::zeros([5, 1, 8, 8], &device);
//! assert_eq!(model.predict(images.clone()).logits.dims(), [5, 3]);
//! assert_eq!(model.similarity_maps(images).map(|maps| maps.dims()), Some([5, 6, 4, 4]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From time to time each prototype is *pushed*: it becomes the nearest patch of any training image of its class, so that it
//! can be shown. The last layer is then trained alone, which is a convex problem, and never otherwise.

mod config;
mod last_layer;
mod provenance;
mod push;

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Int, Tensor, TensorData};
use protovae_core::loss::{cross_entropy, own_class_similarities, similarity, squared_distances};
use protovae_core::model::{
    BoxModel, EpochDone, LossTerm, Mode, Model, Phase, Prediction, Provenance, StepOutput, replaced,
};
use protovae_core::plugin::{BoxFeatures, PrototypeBank, without_columns};
use protovae_core::random::Initializer;
use protovae_core::train::Batch;
use protovae_core::{ImageShape, Result};

pub use config::{ProtoPNetConfig, ProtoPNetRates, ProtoPNetWeights, Pruning};
use last_layer::Problem;
use provenance::Sources;

use crate::layers::Linear;

/// What turns feature maps into patches: 1×1 convolution, ReLU, 1×1 convolution, sigmoid.
///
/// On patches row by row a 1×1 convolution is a fully connected layer, and distances want them row by row.
#[derive(Module, Debug)]
pub struct AddOn {
    first: Linear,
    second: Linear,
}

impl AddOn {
    /// Layers from `channels[0]` to `channels[1]` channels: Kaiming's normal over the outgoing connections, biases 0.
    pub fn new(channels: [usize; 2], init: &mut Initializer) -> Self {
        let [inputs, outputs] = channels;
        let mut layer = |inputs| Linear {
            weight: init.normal([inputs, outputs], 0.0, (2.0 / outputs as f32).sqrt()),
            bias: init.constant([outputs], 0.0),
        };
        Self {
            first: layer(inputs),
            second: layer(outputs),
        }
    }

    /// Rows `[n, in]` to patches `[n, c]` with values between 0 and 1.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        sigmoid(self.second.forward(relu(self.first.forward(rows))))
    }
}

/// A ProtoPNet; [`ProtoPNetConfig`] builds it.
#[derive(Module, Debug)]
pub struct ProtoPNet {
    features: BoxFeatures,
    add_on: AddOn,
    /// `[K·M, c]`, class by class.
    prototypes: Param<Tensor<2>>,
    /// `[K, K·M]`.
    last_layer: Param<Tensor<2>>,
    /// 1 for each prototype that counts, 0 for each that is pruned, `[K·M]`; not trained.
    kept: Param<Tensor<1>>,
    /// Where each prototype was pushed to; not trained. See [`Sources`].
    sources: Param<Tensor<2>>,
    #[module(skip)]
    settings: Settings,
}

/// What does not change in a model.
#[derive(Debug, Clone)]
struct Settings {
    image: ImageShape,
    classes: usize,
    per_class: usize,
    epsilon: f64,
    weights: ProtoPNetWeights,
    warm_up_epochs: usize,
    rates: ProtoPNetRates,
    push_start: usize,
    push_every: usize,
    last_layer_iterations: usize,
    pruning: Option<Pruning>,
}

impl Settings {
    /// Whether prototypes are pushed after `epoch`, from 0.
    fn pushes(&self, epoch: usize, is_last: bool) -> bool {
        let since = epoch.checked_sub(self.push_start);
        is_last || since.is_some_and(|since| since.is_multiple_of(self.push_every))
    }
}

/// Larger than any distance between patches, whose values lie between 0 and 1.
const FAR: f32 = 1e8;

impl ProtoPNet {
    /// The patches of images `[N, C, H, W]`, row by row and image by image, `[N·h·w, c]`, and `[h, w]`.
    fn patches(&self, images: Tensor<4>) -> (Tensor<2>, [usize; 2]) {
        let maps = self.features.last_maps(images);
        let [count, channels, height, width] = maps.dims();
        let rows = maps
            .permute([0, 2, 3, 1])
            .reshape([count * height * width, channels]);
        (self.add_on.forward(rows), [height, width])
    }

    /// Squared distance of each patch of each image to each prototype, `[N, h·w, K·M]`, and `[h, w]`.
    fn patch_distances(&self, images: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let [count, ..] = images.dims();
        let (patches, size) = self.patches(images);
        let apart = squared_distances(patches, self.prototypes.val());
        let [rows, prototypes] = apart.dims();
        (
            apart.reshape([count, rows / count.max(1), prototypes]),
            size,
        )
    }

    /// Squared distance of the nearest patch of each image to each prototype, `[N, K·M]`.
    fn distances(&self, images: Tensor<4>) -> Tensor<2> {
        self.patch_distances(images).0.min_dim(1).squeeze_dim(1)
    }

    /// The weights of those prototypes that are not pruned, `[K, K·M]`.
    fn weights(&self) -> Tensor<2> {
        self.last_layer.val() * self.kept.val().unsqueeze_dim(0)
    }

    /// The mean distance to the nearest prototype of the own class, and of another.
    fn nearest(&self, distances: Tensor<2>, labels: Tensor<1, Int>) -> [Tensor<1>; 2] {
        let Settings {
            classes, per_class, ..
        } = self.settings;
        let [count, _] = distances.dims();
        let own = own_class_similarities(distances.clone(), labels.clone(), per_class);
        let cluster = own.min_dim(1).mean();
        let of_classes = distances
            .reshape([count, classes, per_class])
            .min_dim(2)
            .squeeze_dim::<2>(2);
        let is_own: Tensor<2> = labels.one_hot(classes).float();
        let separation = (of_classes + is_own * FAR).min_dim(1).mean();
        [cluster, separation]
    }

    /// The sum of absolute weights from prototypes to other classes than their own.
    fn off_class(&self) -> Tensor<1> {
        let Settings {
            classes, per_class, ..
        } = self.settings;
        let weights = self.weights();
        let total = classes * per_class;
        let mask: Vec<f32> = (0..classes * total)
            .map(|index| f32::from(u8::from(index % total / per_class != index / total)))
            .collect();
        let mask = Tensor::from_data(TensorData::new(mask, [classes, total]), &weights.device());
        (weights.abs() * mask).sum()
    }
}

impl Model for ProtoPNet {
    fn kind(&self) -> &'static str {
        "protopnet"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let distances = self.distances(batch.images.clone());
        let similarities = similarity(distances.clone(), self.settings.epsilon);
        let logits = similarities.clone().matmul(self.weights().transpose());
        let weights = self.settings.weights;
        let [cluster, separation] = self.nearest(distances, batch.labels.clone());
        let terms = [
            (
                "prediction",
                cross_entropy(logits.clone(), batch.labels.clone()),
                weights.cross_entropy,
            ),
            ("cluster", cluster, weights.cluster),
            ("separation", separation, -weights.separation),
            ("l1", self.off_class(), weights.l1),
        ];
        let wanted = |weight: f64| mode == Mode::Evaluation || weight != 0.0;
        StepOutput {
            terms: terms
                .into_iter()
                .filter(|(_, _, weight)| wanted(*weight))
                .map(|(name, value, weight)| LossTerm {
                    name,
                    value,
                    weight,
                })
                .collect(),
            logits,
            similarities: Some(similarities),
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let similarities = similarity(self.distances(images), self.settings.epsilon);
        Prediction {
            logits: similarities.clone().matmul(self.weights().transpose()),
            similarities: Some(similarities),
            latents: None,
        }
    }

    fn image_shape(&self) -> ImageShape {
        self.settings.image
    }

    fn classes(&self) -> usize {
        self.settings.classes
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: self.settings.classes,
            per_class: self.settings.per_class,
        })
    }

    fn class_weights(&self) -> Option<Tensor<2>> {
        Some(self.weights())
    }

    /// They become as those that are pruned.
    fn without_prototypes(&self, rows: &[usize]) -> Result<BoxModel> {
        let kept = without_columns(self.kept.val().unsqueeze_dim(0), rows);
        Ok(BoxModel::new(Self {
            kept: replaced(&self.kept, kept.squeeze_dim(0)),
            ..self.clone()
        }))
    }

    fn phase(&self, epoch: usize) -> Phase {
        let rates = self.settings.rates;
        let features = if epoch < self.settings.warm_up_epochs {
            rates.warm_up_features
        } else {
            rates.features
        };
        Phase {
            steps: true,
            learning_rates: BTreeMap::from([
                ("features".to_string(), features),
                ("add_on".to_string(), rates.add_on),
                ("prototypes".to_string(), rates.prototypes),
                ("last_layer".to_string(), 0.0),
            ]),
        }
    }

    fn after_epoch(&self, done: &EpochDone<'_>) -> Result<Option<BoxModel>> {
        if !self.settings.pushes(done.epoch, done.is_last()) {
            return Ok(None);
        }
        let pushed = push::push(&self.valid(), done)?;
        let moved = Self {
            prototypes: replaced(&self.prototypes, pushed.prototypes),
            sources: replaced(&self.sources, pushed.sources),
            ..self.clone()
        };
        let mut problem = Problem::new(&moved.valid(), done)?;
        let mut kept = moved.kept.clone();
        if let (Some(pruning), true) = (self.settings.pruning, done.is_last()) {
            problem.prune(pruning);
            kept = replaced(&kept, problem.kept(done.device));
        }
        let weights = problem.trained(moved.last_layer.val(), &self.settings, done);
        Ok(Some(BoxModel::new(Self {
            last_layer: replaced(&moved.last_layer, weights),
            kept,
            ..moved
        })))
    }

    fn provenance(&self) -> Option<Vec<Option<Provenance>>> {
        Some(Sources::read(&self.sources.val()))
    }

    fn similarity_maps(&self, images: Tensor<4>) -> Option<Tensor<4>> {
        let (distances, [height, width]) = self.patch_distances(images);
        let [count, _, prototypes] = distances.dims();
        let maps = similarity(distances, self.settings.epsilon).permute([0, 2, 1]);
        Some(maps.reshape([count, prototypes, height, width]))
    }
}

//! SENN, the self-explaining network of Alvarez-Melis and Jaakkola (2018).
//!
//! `f(x)_k = sum_i theta_ik(x)·h_i(x)`: the *conceptizer* `h` says how much of each concept there is in an image, the
//! *parametrizer* `theta` how much each concept counts for each class in it. A decoder makes the image of its concepts, so that
//! they say something of it; an L1 penalty keeps few of them active; and a robustness penalty makes `theta` change slowly, so
//! that `f` is nearly linear in the concepts around each image.
//!
//! # The robustness penalty
//! The publication penalises `‖∇_x f(x) − theta(x)ᵀ·J_h(x)‖`. By the product rule the difference is, for class `k`,
//! `sum_i h_i(x)·∇_x theta_ik(x)`: the gradient of `g_k(x') = sum_i h_i(x)·theta_ik(x')` at `x' = x`, with the concepts held
//! where they are. Training on it takes a second derivative, which burn's autodiff has not. It is therefore taken as a central
//! difference along directions `u ~ N(0, I)`: `(g_k(x + e·u) − g_k(x − e·u)) / 2e` is the derivative along `u`, and the
//! expectation of its square over `u` is `‖∇g_k‖²`. The term is the mean over images and directions of the sum over classes of
//! these squares. All of it is forward operations, so one differentiation reaches the parameters, through `h(x)` and through
//! `theta(x ± e·u)`. Between two kinks of its ReLUs the parametrizer is linear in evaluation, and there the difference is exact.
//!
//! What is penalised is the squared Frobenius norm, not its root as in the publication: the estimate of the square is unbiased
//! for any number of directions, that of the root is not, and the root has no gradient where it is 0. A weight for the square
//! is therefore not comparable with one for the root.
//!
//! *Batch normalisation.* The images and both displaced copies go through the parametrizer in one batch. So both copies see the
//! same statistics, which the displacements, being opposite, change in second order only: the difference is a derivative
//! with the statistics held. The running statistics move once a step, towards those of this threefold batch.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::loss::{Reduction, cross_entropy, reconstruction_errors};
use protovae_core::model::{
    BoxModel, Concepts, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, StepOutput,
};
use protovae_core::plugin::{BoxDecoder, DecoderConfig, DecoderSpec, EncoderConfig};
use protovae_core::random::{Initializer, Purpose};
use protovae_core::train::Batch;
use protovae_core::{Error, ImageShape, Result};
use serde::{Deserialize, Serialize};

use super::clone_config;
use super::ends::{Branch, check_weight};
use crate::check;

/// SENN.
#[derive(Module, Debug)]
pub struct Senn {
    conceptizer: Branch,
    parametrizer: Branch,
    decoder: BoxDecoder,
    #[module(skip)]
    weights: SennWeights,
    #[module(skip)]
    robustness: RobustnessEstimate,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
    concepts: usize,
}

/// The recipe of a [`Senn`], tag `senn`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_backbones::systems::senn::SennConfig;
/// use protovae_core::ImageShape;
/// use protovae_core::model::{ModelConfig, ModelSpec};
/// use protovae_core::random::Initializer;
/// let recipe: SennConfig = serde_json::from_str(
///     r#"{"concepts": 4, "latent_dimensions": 8, "encoder": {"type": "conv-pool", "widths": [4]},
///         "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]}}"#,
/// )?;
/// let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 3 };
/// let model = recipe.build(&spec, &mut Initializer::new(1, &Device::flex()))?;
/// let images = Tensor::<4>::ones([2, 1, 8, 8], &Device::flex());
/// let concepts = model.concepts(images.clone()).ok_or("no concepts")?;
/// let sums = concepts.contributions().sum_dim(2).squeeze_dim::<2>(2);
/// let apart = (sums - model.predict(images).logits).abs().max().into_scalar::<f32>();
/// assert!(apart < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SennConfig {
    /// `C`, the number of concepts; default 10, the fewest that the comparison uses, because fewer are easier to read.
    #[serde(default = "default_concepts")]
    pub concepts: usize,
    /// `L`: half the hidden units of the ends of conceptizer and parametrizer; default 256.
    #[serde(default = "default_latent_dimensions")]
    pub latent_dimensions: usize,
    /// The encoder plugin whose features conceptizer and parametrizer have, each for itself.
    pub encoder: Box<dyn EncoderConfig>,
    /// The decoder plugin, from concepts to images.
    pub decoder: Box<dyn DecoderConfig>,
    /// Weights of the loss terms.
    #[serde(default)]
    pub weights: SennWeights,
    /// How the robustness penalty is estimated.
    #[serde(default)]
    pub robustness: RobustnessEstimate,
}

fn default_concepts() -> usize {
    10
}

fn default_latent_dimensions() -> usize {
    256
}

/// Weights of the loss terms of [`Senn`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SennWeights {
    /// Of the cross-entropy; default 1.
    pub prediction: f64,
    /// Of the squared error of the decoded concepts, averaged over pixels; default 1.
    pub reconstruction: f64,
    /// Of `‖h(x)‖_1`, averaged over images; default 2e-4.
    pub sparsity: f64,
    /// Of the robustness penalty; default 1e-4. With 0 it is left out of training.
    pub robustness: f64,
}

impl Default for SennWeights {
    fn default() -> Self {
        Self {
            prediction: 1.0,
            reconstruction: 1.0,
            sparsity: 2e-4,
            robustness: 1e-4,
        }
    }
}

/// How the robustness penalty of [`Senn`] is estimated; see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RobustnessEstimate {
    /// Directions an image; default 1. Each sends two more copies of the batch through the parametrizer.
    pub directions: usize,
    /// `e`, the displacement of a pixel whose direction is 1; default 0.01, in units of pixels in `[-1, 1]`.
    pub step: f64,
}

impl Default for RobustnessEstimate {
    fn default() -> Self {
        Self {
            directions: 1,
            step: 0.01,
        }
    }
}

impl SennConfig {
    fn check(&self) -> Result<()> {
        check::width("model.concepts", self.concepts)?;
        check::width("model.latent_dimensions", self.latent_dimensions)?;
        let weights = self.weights;
        check_weight("model.weights.prediction", weights.prediction)?;
        check_weight("model.weights.reconstruction", weights.reconstruction)?;
        check_weight("model.weights.sparsity", weights.sparsity)?;
        check_weight("model.weights.robustness", weights.robustness)?;
        if weights.prediction == 0.0 {
            return Err(Error::config(
                "model.weights.prediction",
                "must be above 0: nothing else trains the classifier",
            ));
        }
        let RobustnessEstimate { directions, step } = self.robustness;
        if !(1..=64).contains(&directions) {
            return Err(Error::config(
                "model.robustness.directions",
                format!("must lie between 1 and 64, not {directions}"),
            ));
        }
        if !(1e-5..=1.0).contains(&step) {
            return Err(Error::config(
                "model.robustness.step",
                format!("must lie between 0.00001 and 1, not {step}"),
            ));
        }
        Ok(())
    }
}

#[typetag::serde(name = "senn")]
impl ModelConfig for SennConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        self.check()?;
        check::image(spec.image)?;
        let hidden = 2 * self.latent_dimensions;
        let branch = |outputs, init: &mut Initializer| {
            Branch::new(&*self.encoder, spec.image, [hidden, outputs], init)
        };
        let conceptizer = branch(self.concepts, init)?;
        let parametrizer = branch(self.concepts.saturating_mul(spec.classes), init)?;
        let decoder = self.decoder.build(
            &DecoderSpec {
                image: spec.image,
                latent_dimensions: self.concepts,
            },
            init,
        )?;
        Ok(BoxModel::new(Senn {
            conceptizer,
            parametrizer,
            decoder,
            weights: self.weights,
            robustness: self.robustness,
            image: spec.image,
            classes: spec.classes,
            concepts: self.concepts,
        }))
    }

    fn reported_as(&self) -> String {
        "senn".to_string()
    }

    fn resolved(&self, _spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        self.check()?;
        Ok(Box::new(clone_config(self)?))
    }
}

/// `sum_i theta_ik·h_i` for theta `[N, K, C]` and h `[N, C]`, as `[N, K]`.
fn combined(theta: Tensor<3>, concepts: Tensor<2>) -> Tensor<2> {
    (theta * concepts.unsqueeze_dim::<3>(1))
        .sum_dim(2)
        .squeeze_dim(2)
}

/// What the parametrizer says of images and of their displaced copies.
struct Displaced {
    /// `theta(x)`, `[N, K, C]`.
    theta: Tensor<3>,
    /// `theta(x + e·u)` and `theta(x − e·u)` for each direction `u`.
    pairs: Vec<[Tensor<3>; 2]>,
}

impl Senn {
    /// `h(x)`, `[N, C]`, of images `[N, c, H, W]`.
    pub fn activations(&self, images: Tensor<4>) -> Tensor<2> {
        self.conceptizer.forward(images)
    }

    /// `theta(x)`, `[N, K, C]`, of images `[N, c, H, W]`.
    pub fn parameters(&self, images: Tensor<4>) -> Tensor<3> {
        let theta = self.parametrizer.forward(images);
        let [samples, _] = theta.dims();
        theta.reshape([samples, self.classes, self.concepts])
    }

    /// The estimate of `‖∇_x f − thetaᵀ·J_h‖²` of each of images `[N, c, H, W]`, as `[N]`: the *sum* over the directions, each
    /// `[N, c, H, W]`, of the squared changes along it. The directions of the coordinate axes together give the squared norm
    /// itself; the mean over random ones estimates it.
    pub fn squared_changes(&self, images: Tensor<4>, directions: &[Tensor<4>]) -> Tensor<1> {
        let concepts = self.activations(images.clone());
        let displaced = self.displaced(images, directions);
        self.squared_changes_of(&displaced, &concepts)
    }

    fn displaced(&self, images: Tensor<4>, directions: &[Tensor<4>]) -> Displaced {
        let samples = images.dims()[0];
        let mut copies = vec![images.clone()];
        for direction in directions {
            let displacement = direction.clone() * self.robustness.step;
            copies.push(images.clone() + displacement.clone());
            copies.push(images.clone() - displacement);
        }
        let all = self.parameters(Tensor::cat(copies, 0));
        let copy = |number: usize| all.clone().narrow(0, number * samples, samples);
        Displaced {
            theta: copy(0),
            pairs: (0..directions.len())
                .map(|number| [copy(2 * number + 1), copy(2 * number + 2)])
                .collect(),
        }
    }

    fn squared_changes_of(&self, displaced: &Displaced, concepts: &Tensor<2>) -> Tensor<1> {
        let each = displaced.pairs.iter().map(|[above, below]| {
            let change = combined(above.clone() - below.clone(), concepts.clone())
                / (2.0 * self.robustness.step);
            (change.clone() * change).sum_dim(1).squeeze_dim::<1>(1)
        });
        each.reduce(|sum, next| sum + next)
            .unwrap_or_else(|| Tensor::zeros([concepts.dims()[0]], &concepts.device()))
    }

    /// Random directions for each image of a batch.
    fn directions(&self, batch: &Batch) -> Vec<Tensor<4>> {
        let count = self.robustness.directions;
        let pixels = self.image.values();
        let noise = batch.normal_noise(count * pixels, Purpose::Plugin);
        let shape = batch.images.dims();
        (0..count)
            .map(|number| {
                noise
                    .clone()
                    .narrow(1, number * pixels, pixels)
                    .reshape(shape)
            })
            .collect()
    }
}

impl Model for Senn {
    fn kind(&self) -> &'static str {
        "senn"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let weights = self.weights;
        let wanted = |weight: f64| mode == Mode::Evaluation || weight != 0.0;
        let concepts = self.activations(batch.images.clone());
        let directions = match wanted(weights.robustness) {
            true => self.directions(batch),
            false => Vec::new(),
        };
        let displaced = self.displaced(batch.images.clone(), &directions);
        let logits = combined(displaced.theta.clone(), concepts.clone());
        let mut terms = vec![LossTerm {
            name: "prediction",
            value: cross_entropy(logits.clone(), batch.labels.clone()),
            weight: weights.prediction,
        }];
        if wanted(weights.reconstruction) {
            let decoded = self.decoder.decode(concepts.clone());
            let errors = reconstruction_errors(batch.images.clone(), decoded, Reduction::Mean);
            terms.push(LossTerm {
                name: "reconstruction",
                value: errors.mean(),
                weight: weights.reconstruction,
            });
        }
        if wanted(weights.sparsity) {
            terms.push(LossTerm {
                name: "sparsity",
                value: concepts.clone().abs().sum_dim(1).mean(),
                weight: weights.sparsity,
            });
        }
        if wanted(weights.robustness) {
            let sums = self.squared_changes_of(&displaced, &concepts);
            terms.push(LossTerm {
                name: "robustness",
                value: sums.mean() / self.robustness.directions as f64,
                weight: weights.robustness,
            });
        }
        StepOutput {
            terms,
            logits,
            similarities: None,
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let concepts = self.activations(images.clone());
        Prediction {
            logits: combined(self.parameters(images), concepts.clone()),
            similarities: None,
            latents: Some(concepts),
        }
    }

    fn image_shape(&self) -> ImageShape {
        self.image
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn decode(&self, latents: Tensor<2>) -> Option<Tensor<4>> {
        Some(self.decoder.decode(latents))
    }

    fn concepts(&self, images: Tensor<4>) -> Option<Concepts> {
        Some(Concepts {
            activations: self.activations(images.clone()),
            weights: self.parameters(images),
        })
    }
}

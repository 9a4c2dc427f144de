//! FLINT, the framework to learn with interpretation of Parekh, Mozharovskyi and d'Alché-Buc (2021).
//!
//! A *predictor* `f` is an ordinary classifier. *Attributes* `Phi(x) ≥ 0` look at its hidden stages; an *interpreter*
//! `g(x) = softmax(V·Phi(x) + b)` is linear in them, so that each logit is a sum over attributes; a decoder makes the image of
//! its attributes. All are trained together:
//!
//! | term | what | weight |
//! |---|---|---|
//! | `prediction` | cross-entropy of `f` with the labels | 1 |
//! | `output_fidelity` | cross-entropy between `f` and `g`, see [`OutputFidelity`] | `beta` |
//! | `input_fidelity` | squared error of the decoded attributes, averaged over pixels | `gamma` |
//! | `conciseness` | mean over images of `E(Phi(x))`, `E` the entropy of the softmax | `delta` |
//! | `diversity` | `−E` of the batch's mean `Phi` | `delta` |
//! | `sparsity` | mean over images of `‖Phi(x)‖_1` | `delta·eta` |
//!
//! Attributes see a stage through a 3×3 convolution, ReLU and batch normalisation, the block of which all networks here are made,
//! then all stages through one fully connected layer and ReLU. Without the normalisation that layer's inputs are all positive, and
//! about half of its random initial rows are negative on every image: such attributes would never be active, nor trained.
//!
//! The terms are switched on one after the other ([`FlintSchedule`]): first `f` alone, then fidelity, then conciseness. In
//! evaluation all have their final weights. FLINT-g, the interpreter's answer, is the default; FLINT-f, the predictor's, is
//! the other. Whichever answers, the share of images that the other gets wrong is reported as a term of weight 0.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use protovae_core::loss::{Reduction, cross_entropy, reconstruction_errors};
use protovae_core::model::{
    BoxModel, Concepts, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, StepOutput,
};
use protovae_core::plugin::{
    BoxDecoder, BoxFeatures, DecoderConfig, DecoderSpec, EncoderConfig, HeadOutput,
};
use protovae_core::random::Initializer;
use protovae_core::train::Batch;
use protovae_core::{Error, ImageShape, Result};
use serde::{Deserialize, Serialize};

use super::clone_config;
use super::ends::{FullyConnectedEnd, check_weight, map_shapes};
use super::flint_losses::{conciseness, cross_entropy_of_predictions, diversity, sparsity};
use crate::check;
use crate::kernels::relu;
use crate::layers::{ConvBlock, ConvolutionWeights, Linear};

/// FLINT.
#[derive(Module, Debug)]
pub struct Flint {
    features: BoxFeatures,
    embedding: FullyConnectedEnd,
    predictor: Linear,
    stages: Vec<ConvBlock>,
    attributes: Linear,
    interpreter: Linear,
    decoder: BoxDecoder,
    #[module(skip)]
    settings: Settings,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
}

/// What a [`Flint`] keeps of its recipe.
#[derive(Debug, Clone, Copy)]
struct Settings {
    weights: FlintWeights,
    schedule: FlintSchedule,
    output_fidelity: OutputFidelity,
    answer: Answer,
}

/// The recipe of a [`Flint`], tag `flint`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_backbones::systems::flint::FlintConfig;
/// use protovae_core::ImageShape;
/// use protovae_core::model::{ModelConfig, ModelSpec};
/// use protovae_core::random::Initializer;
/// let recipe: FlintConfig = serde_json::from_str(
///     r#"{"attributes": 6, "latent_dimensions": 8, "encoder": {"type": "conv-pool", "widths": [4, 4]},
///         "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]}}"#,
/// )?;
/// let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 3 };
/// let model = recipe.build(&spec, &mut Initializer::new(1, &Device::flex()))?;
/// let images = Tensor::<4>::ones([2, 1, 8, 8], &Device::flex());
/// let attributes = model.concepts(images).ok_or("no attributes")?;
/// assert_eq!(attributes.activations.dims(), [2, 6]);
/// assert!(attributes.activations.min().into_scalar::<f32>() >= 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlintConfig {
    /// `J`, the number of attributes; default 25.
    #[serde(default = "default_attributes")]
    pub attributes: usize,
    /// `L`: the predictor ends in `Linear(·, 2L)`, ReLU, `Linear(2L, L)`, ReLU, `Linear(L, K)`; default 256.
    #[serde(default = "default_latent_dimensions")]
    pub latent_dimensions: usize,
    /// So many of the last stages of the features are what attributes look at; default 2.
    #[serde(default = "default_stages")]
    pub stages: usize,
    /// Channels of the 3×3 convolution, ReLU and batch normalisation through which attributes see each stage; default 16.
    #[serde(default = "default_stage_channels")]
    pub stage_channels: usize,
    /// The encoder plugin whose features the predictor has.
    pub encoder: Box<dyn EncoderConfig>,
    /// The decoder plugin, from attributes to images.
    pub decoder: Box<dyn DecoderConfig>,
    /// Whose logits the predictions are.
    #[serde(default)]
    pub answer: Answer,
    /// Which way the output fidelity is measured.
    #[serde(default)]
    pub output_fidelity: OutputFidelity,
    /// Weights of the loss terms.
    #[serde(default)]
    pub weights: FlintWeights,
    /// When terms are switched on.
    #[serde(default)]
    pub schedule: FlintSchedule,
}

fn default_attributes() -> usize {
    25
}

fn default_latent_dimensions() -> usize {
    256
}

fn default_stages() -> usize {
    2
}

fn default_stage_channels() -> usize {
    16
}

/// Who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The interpreter `g`, linear in the attributes: FLINT-g, the default.
    #[default]
    Interpreter,
    /// The predictor `f`: FLINT-f. Attributes do not add up to its logits, so such a model has no
    /// [`concepts`](Model::concepts).
    Predictor,
}

/// Which way the cross-entropy between predictor and interpreter is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputFidelity {
    /// `−sum_k f_k·log g_k`, the default: whatever the interpreter says, it is drawn towards the predictor.
    #[default]
    LogInterpreter,
    /// `−sum_k g_k·log f_k`. It is smallest for an interpreter that is certain of one class and a predictor that follows it; an
    /// interpreter that has become certain of a wrong class gets no gradient back.
    LogPredictor,
}

/// Weights of the loss terms of [`Flint`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlintWeights {
    /// Of the predictor's cross-entropy; default 1.
    pub prediction: f64,
    /// `beta`, of the output fidelity; default 0.5.
    pub output_fidelity: f64,
    /// `gamma`, of the input fidelity; default 0.8.
    pub input_fidelity: f64,
    /// `delta`, of conciseness, diversity and sparsity; default 0.2.
    pub conciseness: f64,
    /// `eta`, of sparsity within these; default 0.1.
    pub sparsity: f64,
}

impl Default for FlintWeights {
    fn default() -> Self {
        Self {
            prediction: 1.0,
            output_fidelity: 0.5,
            input_fidelity: 0.8,
            conciseness: 0.2,
            sparsity: 0.1,
        }
    }
}

/// When the loss terms of [`Flint`] are switched on: epochs that are trained before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlintSchedule {
    /// Epochs before output and input fidelity; default 1.
    pub fidelity_after: u64,
    /// Epochs before conciseness, diversity and sparsity; default 2.
    pub conciseness_after: u64,
}

impl Default for FlintSchedule {
    fn default() -> Self {
        Self {
            fidelity_after: 1,
            conciseness_after: 2,
        }
    }
}

impl FlintConfig {
    fn check(&self) -> Result<()> {
        check::width("model.attributes", self.attributes)?;
        check::width("model.latent_dimensions", self.latent_dimensions)?;
        check::width("model.stages", self.stages)?;
        check::width("model.stage_channels", self.stage_channels)?;
        let weights = self.weights;
        check_weight("model.weights.prediction", weights.prediction)?;
        check_weight("model.weights.output_fidelity", weights.output_fidelity)?;
        check_weight("model.weights.input_fidelity", weights.input_fidelity)?;
        check_weight("model.weights.conciseness", weights.conciseness)?;
        check_weight("model.weights.sparsity", weights.sparsity)?;
        if weights.prediction == 0.0 {
            return Err(Error::config(
                "model.weights.prediction",
                "must be above 0: nothing else trains the predictor",
            ));
        }
        Ok(())
    }
}

#[typetag::serde(name = "flint")]
impl ModelConfig for FlintConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        self.check()?;
        check::image(spec.image)?;
        let latent_dimensions = self.latent_dimensions;
        let features = self.encoder.build_features(spec.image, init)?;
        let shapes = map_shapes(&features, spec.image, init);
        let Some(seen) = shapes.len().checked_sub(self.stages) else {
            return Err(Error::config(
                "model.stages",
                format!(
                    "asks for {} stages, but the encoder has {}",
                    self.stages,
                    shapes.len()
                ),
            ));
        };
        let values = shapes.last().map_or(0, |shape| shape.iter().product());
        let embedding =
            FullyConnectedEnd::new([values, 2 * latent_dimensions, latent_dimensions], init)?;
        let predictor = Linear::new(latent_dimensions, spec.classes, init);
        let seen = shapes.get(seen..).unwrap_or_default();
        for [channels, ..] in seen {
            let weight = [self.stage_channels, *channels, 3, 3];
            check::weights("model.stage_channels", init, &[&weight])?;
        }
        let stages: Vec<ConvBlock> = seen
            .iter()
            .map(|[channels, ..]| {
                let channels = [*channels, self.stage_channels];
                ConvBlock::new(channels, 3, 1, 1, ConvolutionWeights::Uniform, init)
            })
            .collect();
        let values = seen
            .iter()
            .map(|[_, height, width]| self.stage_channels * height * width)
            .sum();
        check::weights("model.stage_channels", init, &[&[values, self.attributes]])?;
        let decoder = self.decoder.build(
            &DecoderSpec {
                image: spec.image,
                latent_dimensions: self.attributes,
            },
            init,
        )?;
        Ok(BoxModel::new(Flint {
            features,
            embedding,
            predictor,
            stages,
            attributes: Linear::new(values, self.attributes, init),
            interpreter: Linear::new(self.attributes, spec.classes, init),
            decoder,
            settings: Settings {
                weights: self.weights,
                schedule: self.schedule,
                output_fidelity: self.output_fidelity,
                answer: self.answer,
            },
            image: spec.image,
            classes: spec.classes,
        }))
    }

    fn reported_as(&self) -> String {
        match self.answer {
            Answer::Interpreter => "flint-g".to_string(),
            Answer::Predictor => "flint-f".to_string(),
        }
    }

    fn resolved(&self, _spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        self.check()?;
        Ok(Box::new(clone_config(self)?))
    }
}

/// Both answers to images.
#[derive(Debug, Clone)]
pub struct FlintOutput {
    /// The predictor's logits, `[N, K]`.
    pub predictor: Tensor<2>,
    /// `Phi(x)`, `[N, J]`, none negative.
    pub attributes: Tensor<2>,
    /// The interpreter's logits, `[N, K]`.
    pub interpreter: Tensor<2>,
}

/// The share of images whose largest logit is not that of their label, `[1]`; without gradient.
fn zero_one_loss(logits: &Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    let predicted = logits.clone().detach().argmax(1).squeeze_dim::<1>(1);
    predicted.not_equal(labels.clone()).float().mean()
}

impl Flint {
    /// Predictor, attributes and interpreter on images `[N, C, H, W]`.
    pub fn forward(&self, images: Tensor<4>) -> FlintOutput {
        let count = self.features.channels().len();
        let maps = self
            .features
            .maps(images.clone(), count.saturating_sub(self.stages.len()));
        let last = maps.last().cloned().unwrap_or(images);
        let embedded = relu(self.embedding.forward(last));
        let seen: Vec<Tensor<2>> = self
            .stages
            .iter()
            .zip(maps)
            .map(|(stage, maps)| stage.forward(maps).flatten(1, 3))
            .collect();
        let attributes = relu(self.attributes.forward(Tensor::cat(seen, 1)));
        FlintOutput {
            predictor: self.predictor.forward(embedded),
            interpreter: self.interpreter.forward(attributes.clone()),
            attributes,
        }
    }

    /// The weights in a batch of epoch `epoch`, from 0: those of terms that are not yet switched on are 0.
    fn weights(&self, epoch: u64, mode: Mode) -> FlintWeights {
        let Settings {
            weights, schedule, ..
        } = self.settings;
        let on = |after: u64, weight: f64| match mode {
            Mode::Training if epoch < after => 0.0,
            _ => weight,
        };
        FlintWeights {
            prediction: weights.prediction,
            output_fidelity: on(schedule.fidelity_after, weights.output_fidelity),
            input_fidelity: on(schedule.fidelity_after, weights.input_fidelity),
            conciseness: on(schedule.conciseness_after, weights.conciseness),
            sparsity: weights.sparsity,
        }
    }
}

impl Model for Flint {
    fn kind(&self) -> &'static str {
        "flint"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let FlintOutput {
            predictor,
            attributes,
            interpreter,
        } = self.forward(batch.images.clone());
        let weights = self.weights(batch.epoch, mode);
        let fidelity = match self.settings.output_fidelity {
            OutputFidelity::LogPredictor => {
                cross_entropy_of_predictions(interpreter.clone(), predictor.clone())
            }
            OutputFidelity::LogInterpreter => {
                cross_entropy_of_predictions(predictor.clone(), interpreter.clone())
            }
        };
        let decoded = self.decoder.decode(attributes.clone());
        let errors = reconstruction_errors(batch.images.clone(), decoded, Reduction::Mean);
        let (logits, other, other_error) = match self.settings.answer {
            Answer::Interpreter => (interpreter, &predictor, "predictor_error"),
            Answer::Predictor => (predictor.clone(), &interpreter, "interpreter_error"),
        };
        let term = |name, value, weight| LossTerm {
            name,
            value,
            weight,
        };
        // A term that is not yet switched on is computed all the same: it is reported, and the names of terms never change.
        let terms = vec![
            term(
                "prediction",
                cross_entropy(predictor.clone(), batch.labels.clone()),
                weights.prediction,
            ),
            term("output_fidelity", fidelity, weights.output_fidelity),
            term("input_fidelity", errors.mean(), weights.input_fidelity),
            term(
                "conciseness",
                conciseness(attributes.clone()),
                weights.conciseness,
            ),
            term(
                "diversity",
                diversity(attributes.clone()),
                weights.conciseness,
            ),
            term(
                "sparsity",
                sparsity(attributes),
                weights.conciseness * weights.sparsity,
            ),
            term(other_error, zero_one_loss(other, &batch.labels), 0.0),
        ];
        StepOutput {
            terms,
            logits,
            similarities: None,
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let output = self.forward(images);
        Prediction {
            logits: match self.settings.answer {
                Answer::Interpreter => output.interpreter,
                Answer::Predictor => output.predictor,
            },
            similarities: None,
            latents: Some(output.attributes),
        }
    }

    fn image_shape(&self) -> ImageShape {
        self.image
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn classify(&self, latents: Tensor<2>) -> Option<HeadOutput> {
        let linear = self.settings.answer == Answer::Interpreter;
        linear.then(|| HeadOutput {
            logits: self.interpreter.forward(latents),
            similarities: None,
        })
    }

    fn decode(&self, latents: Tensor<2>) -> Option<Tensor<4>> {
        Some(self.decoder.decode(latents))
    }

    fn concepts(&self, images: Tensor<4>) -> Option<Concepts> {
        if self.settings.answer == Answer::Predictor {
            return None;
        }
        let activations = self.forward(images).attributes;
        let [samples, attributes] = activations.dims();
        let weights = self.interpreter.weight.val().transpose();
        Some(Concepts {
            activations,
            weights: weights
                .unsqueeze_dim::<3>(0)
                .expand([samples, self.classes, attributes]),
        })
    }
}

//! Small plugins that keep every promise of their traits, and break any one of them on demand.

use std::sync::atomic::{AtomicU32, Ordering};

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor};
use protovae_core::loss::{Distance, LossConfig, cross_entropy, distances, similarity};
use protovae_core::model::{
    BoxModel, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, ProtoVaeConfig,
    StepOutput, replaced,
};
use protovae_core::plugin::{
    BoxDecoder, BoxEncoder, BoxHead, Decoder, DecoderConfig, DecoderSpec, Encoder, EncoderConfig,
    EncoderSpec, HeadConfig, HeadOutput, HeadSpec, LayerView, Posterior, PrototypeBank,
    PrototypeHead, without_columns,
};
use protovae_core::random::Initializer;
use protovae_core::train::Batch;
use protovae_core::{ImageShape, Result};
use serde::{Deserialize, Serialize};

/// A promise to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    #[default]
    None,
    /// Not a fault: a parameter that the log variance alone depends on.
    SpareForVariance,
    /// One column or row too many.
    Shape,
    /// A log variance for all samples together.
    SharedVariance,
    /// A NaN for one sample.
    NotFinite,
    /// A NaN in training on one sample alone.
    NotFiniteAlone,
    /// Infinity left in the running statistics by training on one sample alone.
    PoisonedStatistics,
    /// The mean of the batch is subtracted.
    BatchDependent,
    /// A parameter that the output does not depend on.
    Detached,
    /// A gradient that is NaN although the output is finite.
    NanGradient,
    /// All gradients vanish.
    NoMovement,
    /// Parameters on a device of the plugin's own choice, without autodiff.
    OwnDevice,
    /// Outputs without the input's autodiff.
    OwnOutputDevice,
    /// The running statistic also runs in evaluation.
    ChangesInEvaluation,
    /// Not the same twice, though nothing in the module changes.
    Unrepeatable,
    /// Weights that depend on more than the seed.
    Seedless,
    /// A setting that its file does not hold.
    Forgetful,
    /// Layers without the bias.
    LayersWithoutBias,
    /// A layer of another width.
    LayersNarrow,
    /// Layers that do not fit each other.
    LayersApart,
    /// Values outside [-1, 1] for latents of ordinary size.
    OutOfRange,
    /// Values outside [-1, 1] for latents far out only.
    OutOfRangeFarOut,
    /// Similarities that may be negative.
    NegativeSimilarity,
    /// Similarities in another order than the bank's.
    Misordered,
    /// Similarities that do not rise toward the prototype.
    FarIsSimilar,
    /// Prototypes without similarities.
    NoSimilarities,
    /// Similarities without prototypes.
    NoPrototypes,
    /// A bank that tells another number of classes.
    WrongBank,
    /// Class weights that are not those of the logits.
    WrongClassWeights,
    /// Removes the prototype after the one that is to go.
    RemovesAnother,
    /// Terms that change their names.
    ChangingNames,
    /// Logits of the losses that are not those of predict.
    OtherLogits,
    /// No term that counts.
    WeightlessTerms,
    /// Another number of classes than asked for.
    WrongClasses,
    /// Another image shape than asked for.
    WrongImage,
    /// A resolved recipe that builds another model.
    ResolvedOtherwise,
    /// A resolved recipe under another name.
    RenamedWhenResolved,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Another number for each call.
fn next_call() -> f32 {
    CALLS.fetch_add(1, Ordering::Relaxed) as f32
}

fn poison(output: Tensor<2>) -> Tensor<2> {
    let mask = output.zeros_like();
    let [_, width] = mask.dims();
    let nan = Tensor::<2>::full([1, width], f32::NAN, &mask.device());
    output + mask.slice_assign([0..1, 0..width], nan)
}

fn common_faults(fault: Fault, output: Tensor<2>) -> Tensor<2> {
    match fault {
        Fault::Shape => Tensor::cat(vec![output.clone(), output.narrow(1, 0, 1)], 1),
        Fault::NotFinite => poison(output),
        Fault::NotFiniteAlone if output.dims()[0] == 1 && output.device().is_autodiff() => {
            poison(output)
        }
        Fault::BatchDependent => output.clone() - output.mean_dim(0) * 0.1,
        Fault::NoMovement => output * 0.0,
        Fault::NanGradient => {
            // sqrt has an infinite slope at 0, which the square before it makes 0 · infinity.
            let zero = (output.clone() - output.clone()).powf_scalar(2.0).sqrt();
            output + zero
        }
        Fault::OwnOutputDevice => output.without_autodiff(),
        Fault::Unrepeatable => output + next_call(),
        _ => output,
    }
}

/// The shape of a parameter and the device it is on, broken on demand.
fn weight(fault: Fault, init: &mut Initializer, shape: [usize; 2], size: f32) -> Param<Tensor<2>> {
    match fault {
        Fault::OwnDevice => Initializer::new(1, &Device::flex()).uniform(shape, -size, size),
        Fault::Seedless => init.constant(shape, next_call()),
        _ => init.uniform(shape, -size, size),
    }
}

// Encoder -------------------------------------------------------------------------------------------------------------

/// A linear encoder that counts the batches it was trained on.
#[derive(Module, Debug)]
pub struct ToyEncoder {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    spare: Option<Param<Tensor<1>>>,
    /// Batches trained on.
    pub seen: RunningState<Tensor<1>>,
    latent_dimensions: usize,
    #[module(skip)]
    fault: Fault,
}

impl ToyEncoder {
    /// Counts a batch.
    pub fn count(&self) {
        let more = self.seen.value_sync() + 1.0;
        self.seen.update(more.detach());
        let _ = self.seen.value_sync();
    }
}

impl Encoder for ToyEncoder {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let flat = images.flatten::<2>(1, 3);
        if flat.device().is_autodiff() || self.fault == Fault::ChangesInEvaluation {
            self.count();
        }
        if self.fault == Fault::PoisonedStatistics && flat.device().is_autodiff() {
            let samples = flat.dims()[0] as f32;
            let divided = self.seen.value_sync() / (samples - 1.0);
            self.seen.update(divided.detach());
            let _ = self.seen.value_sync();
        }
        let mut output = flat.matmul(self.weight.val()) + self.bias.val().unsqueeze();
        if self.fault == Fault::PoisonedStatistics && !output.device().is_autodiff() {
            output = output + self.seen.value_sync().unsqueeze::<2>() * 0.0;
        }
        let output = common_faults(self.fault, output);
        let width = self.latent_dimensions;
        let extra = output.dims()[1] - 2 * width;
        let mut log_variance = output.clone().narrow(1, width + extra, width);
        if let (Fault::SpareForVariance, Some(spare)) = (self.fault, &self.spare) {
            log_variance = log_variance + spare.val().unsqueeze();
        }
        if self.fault == Fault::SharedVariance {
            log_variance = log_variance.mean_dim(0);
        }
        Posterior {
            mean: output.narrow(1, 0, width + extra),
            log_variance,
        }
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        if self.fault == Fault::SpareForVariance {
            return None;
        }
        let bias = match self.fault {
            Fault::LayersWithoutBias => None,
            _ => Some(self.bias.val().without_autodiff()),
        };
        let linear = LayerView::Linear {
            weight: self.weight.val().without_autodiff(),
            bias,
        };
        Some(match self.fault {
            Fault::LayersApart => vec![linear],
            Fault::LayersNarrow => vec![LayerView::GlobalAvgPool, LayerView::Flatten, linear],
            _ => vec![LayerView::Flatten, linear],
        })
    }
}

/// Recipe of a [`ToyEncoder`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToyEncoderConfig {
    #[serde(skip_serializing_if = "is_kept")]
    pub fault: Fault,
    pub size: Size,
}

/// What [`Fault::Forgetful`] forgets is itself.
fn is_kept(fault: &Fault) -> bool {
    *fault == Fault::Forgetful
}

/// Spread of the initial weights.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Size(pub f32);

impl Default for Size {
    fn default() -> Self {
        Self(0.3)
    }
}

#[typetag::serde(name = "toy")]
impl EncoderConfig for ToyEncoderConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        let (inputs, width) = (spec.image.values(), spec.latent_dimensions);
        let fault = self.fault;
        let size = if fault == Fault::Forgetful { 2.0 } else { 1.0 } * self.size.0;
        Ok(BoxEncoder::new(ToyEncoder {
            weight: weight(fault, init, [inputs, 2 * width], size),
            bias: match fault {
                Fault::OwnDevice => Initializer::new(1, &Device::flex()).constant([2 * width], 0.0),
                _ => init.constant([2 * width], 0.0),
            },
            spare: matches!(fault, Fault::Detached | Fault::SpareForVariance)
                .then(|| init.constant([1], 0.0)),
            seen: RunningState::new(Tensor::zeros([1], init.device())),
            latent_dimensions: width,
            fault,
        }))
    }
}

// Decoder -------------------------------------------------------------------------------------------------------------

/// A linear decoder.
#[derive(Module, Debug)]
pub struct ToyDecoder {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    image: ImageShape,
    #[module(skip)]
    fault: Fault,
}

impl Decoder for ToyDecoder {
    fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [samples, _] = latents.dims();
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let flat = latents.matmul(self.weight.val());
        let flat = match self.fault {
            Fault::OutOfRange => flat.tanh() * 3.0 + 1.5,
            Fault::OutOfRangeFarOut => flat * 0.01,
            _ => flat.tanh() * 0.9,
        };
        match self.fault {
            Fault::Shape => {
                let image = flat.reshape([samples, channels, height, width]);
                Tensor::cat(vec![image.clone(), image.narrow(2, 0, 1)], 2)
            }
            fault => common_faults(fault, flat).reshape([samples, channels, height, width]),
        }
    }
}

/// Recipe of a [`ToyDecoder`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToyDecoderConfig {
    #[serde(skip_serializing_if = "is_kept")]
    pub fault: Fault,
    pub size: Size,
}

#[typetag::serde(name = "toy")]
impl DecoderConfig for ToyDecoderConfig {
    fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder> {
        let shape = [spec.latent_dimensions, spec.image.values()];
        Ok(BoxDecoder::new(ToyDecoder {
            weight: weight(self.fault, init, shape, self.size.0),
            image: spec.image,
            fault: self.fault,
        }))
    }
}

// Head ----------------------------------------------------------------------------------------------------------------

/// Prototypes with a trained linear map on their similarities.
#[derive(Module, Debug)]
pub struct ToyHead {
    prototypes: Param<Tensor<2>>,
    class_weights: Param<Tensor<2>>,
    classes: usize,
    per_class: usize,
    #[module(skip)]
    distance: Distance,
    epsilon: f64,
    #[module(skip)]
    fault: Fault,
}

impl PrototypeHead for ToyHead {
    fn classify(&self, latents: Tensor<2>) -> HeadOutput {
        let apart = distances(latents, self.prototypes.val(), self.distance);
        let similarities = match self.fault {
            Fault::NegativeSimilarity => apart.neg() + 1.0,
            Fault::FarIsSimilar => apart + 1.0,
            Fault::Misordered => similarity(apart, self.epsilon).flip([1]),
            _ => similarity(apart, self.epsilon),
        };
        let weights = match self.fault {
            Fault::Detached => self.class_weights.val().detach(),
            _ => self.class_weights.val(),
        };
        HeadOutput {
            logits: common_faults(self.fault, similarities.clone().matmul(weights.transpose())),
            similarities: (self.fault != Fault::NoSimilarities).then_some(similarities),
        }
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        let (classes, per_class) = match self.fault {
            Fault::NoPrototypes => return None,
            Fault::WrongBank => (self.per_class, self.classes),
            _ => (self.classes, self.per_class),
        };
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes,
            per_class,
        })
    }

    fn class_weights(&self) -> Option<Tensor<2>> {
        let weights = self.class_weights.val();
        Some(match self.fault {
            Fault::WrongClassWeights => weights * 2.0,
            _ => weights,
        })
    }

    fn without_prototypes(&self, rows: &[usize]) -> Option<BoxHead> {
        let wrong = usize::from(self.fault == Fault::RemovesAnother);
        let rows: Vec<usize> = rows.iter().map(|row| row.saturating_add(wrong)).collect();
        let weights = without_columns(self.class_weights.val(), &rows);
        Some(BoxHead::new(Self {
            class_weights: replaced(&self.class_weights, weights),
            ..self.clone()
        }))
    }
}

/// Recipe of a [`ToyHead`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToyHeadConfig {
    pub fault: Fault,
}

#[typetag::serde(name = "toy")]
impl HeadConfig for ToyHeadConfig {
    fn build(&self, spec: &HeadSpec, init: &mut Initializer) -> Result<BoxHead> {
        let all = spec.classes * spec.prototypes_per_class;
        let fault = self.fault;
        Ok(BoxHead::new(ToyHead {
            prototypes: weight(fault, init, [all, spec.latent_dimensions], 1.0),
            class_weights: match fault {
                Fault::OwnDevice => {
                    Initializer::new(1, &Device::flex()).constant([spec.classes, all], 0.3)
                }
                _ => init.values([spec.classes, all], |[class, prototype]| {
                    let own = prototype / spec.prototypes_per_class.max(1) == class;
                    if own { 1.0 } else { -0.5 }
                }),
            },
            classes: spec.classes,
            per_class: spec.prototypes_per_class,
            distance: spec.distance,
            epsilon: spec.similarity_epsilon,
            fault,
        }))
    }
}

/// A recipe of a whole ProtoVAE of toys.
pub fn toy_protovae(
    latent_dimensions: usize,
    per_class: usize,
    loss: LossConfig,
) -> ProtoVaeConfig {
    ProtoVaeConfig {
        latent_dimensions,
        prototypes_per_class: Some(per_class),
        prototypes: None,
        encoder: Box::new(ToyEncoderConfig::default()),
        decoder: Box::new(ToyDecoderConfig::default()),
        head: Box::new(ToyHeadConfig::default()),
        loss,
    }
}

// Model ---------------------------------------------------------------------------------------------------------------

/// A classifier with faults of its own.
#[derive(Module, Debug)]
pub struct ToyModel {
    encoder: BoxEncoder,
    head: BoxHead,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
    #[module(skip)]
    fault: Fault,
}

impl Model for ToyModel {
    fn kind(&self) -> &'static str {
        "toy-model"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let predicted = self.predict(batch.images.clone());
        let mut value = cross_entropy(predicted.logits.clone(), batch.labels.clone());
        // The log variance is trained too.
        let posterior = self.encoder.encode(batch.images.clone());
        let spread = posterior.log_variance.powf_scalar(2.0).mean();
        if self.fault == Fault::Detached {
            value = value.detach();
        }
        let name = match self.fault {
            Fault::ChangingNames if batch.indices.len() == 1 => "other",
            _ => "prediction",
        };
        let weight = match self.fault {
            Fault::WeightlessTerms => 0.0,
            _ => 1.0,
        };
        let logits = match (self.fault, mode) {
            (Fault::OtherLogits, Mode::Evaluation) => predicted.logits * 2.0,
            _ => predicted.logits,
        };
        StepOutput {
            terms: vec![
                LossTerm {
                    name,
                    value,
                    weight,
                },
                LossTerm {
                    name: "spread",
                    value: spread,
                    weight,
                },
            ],
            logits,
            similarities: predicted.similarities,
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let latents = self.encoder.encode(images).mean;
        let output = self.head.classify(latents.clone());
        Prediction {
            logits: common_faults(self.fault, output.logits),
            similarities: output.similarities,
            latents: Some(latents),
        }
    }

    fn image_shape(&self) -> ImageShape {
        match self.fault {
            Fault::WrongImage => ImageShape::new(9, 9, 9),
            _ => self.image,
        }
    }

    fn classes(&self) -> usize {
        match self.fault {
            Fault::WrongClasses => self.classes + 1,
            _ => self.classes,
        }
    }

    fn encoder(&self) -> Option<&BoxEncoder> {
        Some(&self.encoder)
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        self.head.prototypes()
    }
}

/// Recipe of a [`ToyModel`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToyModelConfig {
    pub fault: Fault,
    pub encoder: ToyEncoderConfig,
    pub resolved: bool,
}

#[typetag::serde(name = "toy-model")]
impl ModelConfig for ToyModelConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        let other = self.fault == Fault::ResolvedOtherwise && self.resolved;
        let size = Size(if other { 0.1 } else { 0.3 });
        let encoder = ToyEncoderConfig {
            size,
            ..self.encoder.clone()
        };
        let encoder_spec = EncoderSpec {
            image: spec.image,
            latent_dimensions: 3,
        };
        let head_spec = HeadSpec {
            latent_dimensions: 3,
            classes: spec.classes,
            prototypes_per_class: 2,
            distance: Distance::Squared,
            similarity_epsilon: 1e-4,
        };
        Ok(BoxModel::new(ToyModel {
            encoder: encoder.build(&encoder_spec, init)?,
            head: ToyHeadConfig::default().build(&head_spec, init)?,
            image: spec.image,
            classes: spec.classes,
            fault: self.fault,
        }))
    }

    fn reported_as(&self) -> String {
        match (self.fault, self.resolved) {
            (Fault::RenamedWhenResolved, true) => "other".to_string(),
            _ => "toy".to_string(),
        }
    }

    fn resolved(&self, _spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        Ok(Box::new(Self {
            resolved: true,
            ..self.clone()
        }))
    }
}

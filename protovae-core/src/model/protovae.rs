//! The model of the paper.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{BoxModel, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, StepOutput};
use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::loss::{
    Latent, LossConfig, cross_entropy, inverse_volume, mixture_divergence, mixture_weights,
    orthonormality, own_class_divergence, own_class_similarities, reconstruction_errors,
};
use crate::plugin::{
    BoxDecoder, BoxEncoder, BoxHead, DecoderConfig, DecoderSpec, EncoderConfig, EncoderSpec,
    HeadConfig, HeadOutput, HeadSpec, Posterior, PrototypeBank,
};
use crate::precision::Precision;
use crate::random::{Initializer, Purpose};
use crate::train::Batch;

/// ProtoVAE: one encoder, one decoder, one prototype head, and the losses of Eq. 2 (main paper) and 3 to 7 (supplement).
#[derive(Module, Debug)]
pub struct ProtoVae {
    encoder: BoxEncoder,
    decoder: BoxDecoder,
    head: BoxHead,
    #[module(skip)]
    loss: LossConfig,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
}

/// The recipe of a [`ProtoVae`], tag `protovae`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtoVaeConfig {
    /// `L`, default 256.
    #[serde(default = "default_latent_dimensions")]
    pub latent_dimensions: usize,
    /// `M`; default 5 unless `prototypes` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototypes_per_class: Option<usize>,
    /// `K·M`, another way to say `prototypes_per_class`; must be divisible by the number of classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototypes: Option<usize>,
    /// The encoder plugin.
    pub encoder: Box<dyn EncoderConfig>,
    /// The decoder plugin.
    pub decoder: Box<dyn DecoderConfig>,
    /// The head plugin; it must have prototypes.
    pub head: Box<dyn HeadConfig>,
    /// The choices of the losses.
    #[serde(default)]
    pub loss: LossConfig,
}

const DEFAULT_PROTOTYPES_PER_CLASS: usize = 5;

fn default_latent_dimensions() -> usize {
    256
}

/// Largest latent or prototype count that a configuration may ask for; beyond it a typing slip would exhaust memory.
const LARGEST_COUNT: usize = 1 << 16;

pub(super) fn check_count(key: &str, value: usize) -> Result<()> {
    if (1..=LARGEST_COUNT).contains(&value) {
        Ok(())
    } else {
        Err(Error::config(
            key,
            format!("must lie between 1 and {LARGEST_COUNT}, not {value}"),
        ))
    }
}

impl ProtoVaeConfig {
    fn prototypes_per_class(&self, classes: usize) -> Result<usize> {
        if classes < 2 {
            return Err(Error::config(
                "data",
                format!("a classifier needs at least 2 classes, not {classes}"),
            ));
        }
        let from_total = match self.prototypes {
            Some(total) if total == 0 || total % classes != 0 => {
                let below = total / classes;
                let near = if below == 0 {
                    format!("{classes} is")
                } else {
                    format!("{} and {} are", below * classes, (below + 1) * classes)
                };
                return Err(Error::config(
                    "model.prototypes",
                    format!(
                        "{total} prototypes cannot be shared by {classes} classes; {near} divisible"
                    ),
                ));
            }
            Some(total) => Some(total / classes),
            None => None,
        };
        let per_class = match (self.prototypes_per_class, from_total) {
            (Some(given), Some(computed)) if given != computed => {
                return Err(Error::config(
                    "model.prototypes_per_class",
                    format!(
                        "{given} contradicts model.prototypes, which gives {computed} a class; drop one"
                    ),
                ));
            }
            (given, computed) => given.or(computed).unwrap_or(DEFAULT_PROTOTYPES_PER_CLASS),
        };
        check_count("model.prototypes_per_class", per_class)?;
        Ok(per_class)
    }
}

#[typetag::serde(name = "protovae")]
impl ModelConfig for ProtoVaeConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        check_count("model.latent_dimensions", self.latent_dimensions)?;
        self.loss.check("model.loss")?;
        let prototypes_per_class = self.prototypes_per_class(spec.classes)?;
        let latent_dimensions = self.latent_dimensions;
        if self.loss.weights.volume != 0.0 && prototypes_per_class > latent_dimensions {
            return Err(Error::config(
                "model.loss.weights.volume",
                format!(
                    "{prototypes_per_class} prototypes a class span no volume in {latent_dimensions} latent dimensions"
                ),
            ));
        }
        let encoder = self.encoder.build(
            &EncoderSpec {
                image: spec.image,
                latent_dimensions,
            },
            init,
        )?;
        let decoder = self.decoder.build(
            &DecoderSpec {
                image: spec.image,
                latent_dimensions,
            },
            init,
        )?;
        let head = self.head.build(
            &HeadSpec {
                latent_dimensions,
                classes: spec.classes,
                prototypes_per_class,
                distance: self.loss.distance,
                similarity_epsilon: self.loss.similarity_epsilon,
            },
            init,
        )?;
        if head.prototypes().is_none() {
            return Err(Error::config(
                "model.head.type",
                "this head has no prototypes; use `prototype`, or a model of type `black-box`",
            ));
        }
        Ok(BoxModel::new(ProtoVae {
            encoder,
            decoder,
            head,
            loss: self.loss.clone(),
            image: spec.image,
            classes: spec.classes,
        }))
    }

    fn reported_as(&self) -> String {
        self.loss.name()
    }

    fn resolved(&self, spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        self.loss.check("model.loss")?;
        let per_class = self.prototypes_per_class(spec.classes)?;
        let mut copy = clone_config(self)?;
        copy.prototypes_per_class = Some(per_class);
        copy.prototypes = None;
        Ok(Box::new(copy))
    }
}

/// Plugin recipes are trait objects without `Clone`; their one certain property is that they serialise.
pub(super) fn clone_config<T: Serialize + serde::de::DeserializeOwned>(config: &T) -> Result<T> {
    serde_json::to_value(config)
        .and_then(serde_json::from_value)
        .map_err(|error| Error::config("model", format!("cannot be written as JSON: {error}")))
}

impl ProtoVae {
    /// A model of parts that fit each other; [`ProtoVaeConfig`] checks that they do.
    pub fn new(
        encoder: BoxEncoder,
        decoder: BoxDecoder,
        head: BoxHead,
        loss: LossConfig,
        spec: ModelSpec,
    ) -> Self {
        Self {
            encoder,
            decoder,
            head,
            loss,
            image: spec.image,
            classes: spec.classes,
        }
    }

    /// The posterior with its log variance clamped to the configured limit.
    fn posterior(&self, images: Tensor<4>) -> Posterior {
        let limit = self.loss.log_variance_limit;
        let Posterior { mean, log_variance } = self.encoder.encode(images);
        Posterior {
            mean: Precision::raise(mean),
            log_variance: Precision::raise(log_variance).clamp(-limit, limit),
        }
    }
}

impl Model for ProtoVae {
    fn kind(&self) -> &'static str {
        "protovae"
    }

    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        let weights = self.loss.weights;
        let wanted = |weight: f64| mode == Mode::Evaluation || weight != 0.0;
        let posterior = self.posterior(batch.precision.lower(batch.images.clone()));
        let latents = match (mode, self.loss.latent) {
            (Mode::Training, Latent::Sampled) => {
                let [_, width] = posterior.mean.dims();
                let noise = batch.normal_noise(width, Purpose::Posterior);
                posterior.mean.clone() + (posterior.log_variance.clone() * 0.5).exp() * noise
            }
            _ => posterior.mean.clone(),
        };
        let output = self.head.classify(latents.clone());

        let mut terms = vec![LossTerm {
            name: "prediction",
            value: cross_entropy(output.logits.clone(), batch.labels.clone()),
            weight: weights.prediction,
        }];
        if wanted(weights.reconstruction) {
            let decoded = self.decoder.decode(batch.precision.lower(latents));
            let decoded = Precision::raise(decoded);
            let reduction = self.loss.reconstruction_reduction;
            let errors = reconstruction_errors(batch.images.clone(), decoded, reduction);
            terms.push(LossTerm {
                name: "reconstruction",
                value: errors.mean(),
                weight: weights.reconstruction,
            });
        }
        if let (Some(bank), Some(similarities)) = (self.head.prototypes(), &output.similarities) {
            let by_class = bank.by_class();
            if wanted(weights.kl) {
                let divergence = own_class_divergence(
                    posterior.mean,
                    posterior.log_variance,
                    by_class.clone(),
                    batch.labels.clone(),
                    self.loss.kl_reduction,
                );
                let own = own_class_similarities(
                    similarities.clone(),
                    batch.labels.clone(),
                    bank.per_class,
                );
                let mixture = mixture_weights(own, &divergence, self.loss.mixture_weights);
                terms.push(LossTerm {
                    name: "kl",
                    value: mixture_divergence(mixture, divergence),
                    weight: weights.kl,
                });
            }
            if wanted(weights.orthonormality) {
                terms.push(LossTerm {
                    name: "orthonormality",
                    value: orthonormality(
                        by_class,
                        self.loss.orthonormality_norm,
                        self.loss.orthonormality_reduction,
                    ),
                    weight: weights.orthonormality,
                });
            }
            // Not by default in evaluation either: it means nothing to a model that was not trained with it.
            if weights.volume != 0.0 {
                terms.push(LossTerm {
                    name: "volume",
                    value: inverse_volume(bank.by_class()),
                    weight: weights.volume,
                });
            }
        }
        StepOutput {
            terms,
            logits: output.logits,
            similarities: output.similarities,
        }
    }

    fn predict(&self, images: Tensor<4>) -> Prediction {
        let latents = self.encoder.encode(images).mean;
        let output = self.head.classify(latents.clone());
        Prediction {
            logits: output.logits,
            similarities: output.similarities,
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

    fn takes_lower_precision(&self) -> bool {
        self.encoder.takes_lower_precision() && self.decoder.takes_lower_precision()
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        self.head.prototypes()
    }

    fn classify(&self, latents: Tensor<2>) -> Option<HeadOutput> {
        Some(self.head.classify(latents))
    }

    fn class_weights(&self) -> Option<Tensor<2>> {
        self.head.class_weights()
    }

    fn without_prototypes(&self, rows: &[usize]) -> Result<BoxModel> {
        let head = self
            .head
            .without_prototypes(rows)
            .ok_or_else(|| Error::Unsupported {
                model: format!("{} with a head of this type", self.kind()),
                what: "class weights that prototypes could be taken out of",
            })?;
        Ok(BoxModel::new(Self {
            head,
            ..self.clone()
        }))
    }

    fn decode(&self, latents: Tensor<2>) -> Option<Tensor<4>> {
        Some(self.decoder.decode(latents))
    }
}

//! The black box that ProtoVAE is compared with (Table 3).

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::protovae::{check_count, clone_config};
use super::{BoxModel, LossTerm, Mode, Model, ModelConfig, ModelSpec, Prediction, StepOutput};
use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::loss::{Distance, cross_entropy};
use crate::plugin::{
    BoxEncoder, BoxHead, EncoderConfig, EncoderSpec, HeadConfig, HeadOutput, HeadSpec,
    PrototypeBank,
};
use crate::precision::Precision;
use crate::random::Initializer;
use crate::train::Batch;

/// An encoder with a head on its mean, trained with cross-entropy alone.
#[derive(Module, Debug)]
pub struct BlackBox {
    encoder: BoxEncoder,
    head: BoxHead,
    #[module(skip)]
    image: ImageShape,
    classes: usize,
}

/// The recipe of a [`BlackBox`], tag `black-box`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlackBoxConfig {
    /// `L`, the width of the features that are classified; default 256.
    #[serde(default = "default_latent_dimensions")]
    pub latent_dimensions: usize,
    /// The encoder plugin.
    pub encoder: Box<dyn EncoderConfig>,
    /// The head plugin, `linear` for the paper's black box.
    pub head: Box<dyn HeadConfig>,
}

fn default_latent_dimensions() -> usize {
    256
}

#[typetag::serde(name = "black-box")]
impl ModelConfig for BlackBoxConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        check_count("model.latent_dimensions", self.latent_dimensions)?;
        let encoder = self.encoder.build(
            &EncoderSpec {
                image: spec.image,
                latent_dimensions: self.latent_dimensions,
            },
            init,
        )?;
        let head = self.head.build(
            &HeadSpec {
                latent_dimensions: self.latent_dimensions,
                classes: spec.classes,
                prototypes_per_class: 1,
                distance: Distance::Euclidean,
                similarity_epsilon: 1e-4,
            },
            init,
        )?;
        Ok(BoxModel::new(BlackBox {
            encoder,
            head,
            image: spec.image,
            classes: spec.classes,
        }))
    }

    fn reported_as(&self) -> String {
        "black-box".to_string()
    }

    fn resolved(&self, _spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        Ok(Box::new(clone_config(self)?))
    }
}

impl Model for BlackBox {
    fn kind(&self) -> &'static str {
        "black-box"
    }

    fn losses(&self, batch: &Batch, _mode: Mode) -> StepOutput {
        let latents = self
            .encoder
            .encode(batch.precision.lower(batch.images.clone()))
            .mean;
        let HeadOutput {
            logits,
            similarities,
        } = self.head.classify(Precision::raise(latents));
        StepOutput {
            terms: vec![LossTerm {
                name: "prediction",
                value: cross_entropy(logits.clone(), batch.labels.clone()),
                weight: 1.0,
            }],
            logits,
            similarities,
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
        self.encoder.takes_lower_precision()
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        self.head.prototypes()
    }
}

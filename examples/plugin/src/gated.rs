//! An encoder that does not show its layers: explainers that need gradients or scores alone work with it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};
use protovae_core::plugin::{BoxEncoder, Encoder, EncoderConfig, EncoderSpec, Posterior};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// One hidden layer of gated units, `tanh(x·W) · sigmoid(x·G)`.
#[derive(Module, Debug)]
pub struct GatedEncoder {
    values: Param<Tensor<2>>,
    gates: Param<Tensor<2>>,
    mean: Param<Tensor<2>>,
    log_variance: Param<Tensor<2>>,
}

impl Encoder for GatedEncoder {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let pixels = images.flatten::<2>(1, 3);
        let values = tanh(pixels.clone().matmul(self.values.val()));
        let gates = sigmoid(pixels.matmul(self.gates.val()));
        let hidden = values * gates;
        Posterior {
            mean: hidden.clone().matmul(self.mean.val()),
            log_variance: hidden.matmul(self.log_variance.val()),
        }
    }
}

/// The recipe of a [`GatedEncoder`]: `{"type": "gated", "neurons": 64}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatedEncoderConfig {
    /// Hidden units, 1 to 4096, default 64.
    pub neurons: usize,
}

impl Default for GatedEncoderConfig {
    fn default() -> Self {
        Self { neurons: 64 }
    }
}

#[typetag::serde(name = "gated")]
impl EncoderConfig for GatedEncoderConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        if !(1..=4096).contains(&self.neurons) {
            return Err(Error::config(
                "model.encoder.neurons",
                format!("must lie between 1 and 4096, not {}", self.neurons),
            ));
        }
        let (pixels, neurons, latents) =
            (spec.image.values(), self.neurons, spec.latent_dimensions);
        let small = 1.0 / (pixels.max(1) as f32).sqrt();
        Ok(BoxEncoder::new(GatedEncoder {
            values: init.normal([pixels, neurons], 0.0, small),
            gates: init.normal([pixels, neurons], 0.0, small),
            mean: init.normal([neurons, latents], 0.0, 0.3),
            log_variance: init.normal([neurons, latents], 0.0, 0.01),
        }))
    }
}

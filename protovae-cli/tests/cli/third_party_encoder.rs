//! An encoder as someone else would write it: with burn, the public part of protovae-core, serde and typetag.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::plugin::{BoxEncoder, Encoder, EncoderConfig, EncoderSpec, Posterior};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// One hidden layer over the pixels.
#[derive(Module, Debug)]
pub struct ThirdPartyEncoder {
    hidden: Param<Tensor<2>>,
    mean: Param<Tensor<2>>,
    log_variance: Param<Tensor<2>>,
}

impl Encoder for ThirdPartyEncoder {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let hidden = images.flatten::<2>(1, 3).matmul(self.hidden.val()).tanh();
        Posterior {
            mean: hidden.clone().matmul(self.mean.val()),
            log_variance: hidden.matmul(self.log_variance.val()),
        }
    }
}

/// The recipe, tag `third-party`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThirdPartyConfig {
    #[serde(default = "default_neurons")]
    neurons: usize,
}

fn default_neurons() -> usize {
    12
}

#[typetag::serde(name = "third-party")]
impl EncoderConfig for ThirdPartyConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        if self.neurons == 0 {
            return Err(Error::config("model.encoder.neurons", "must be at least 1"));
        }
        let latents = spec.latent_dimensions;
        Ok(BoxEncoder::new(ThirdPartyEncoder {
            hidden: init.normal([spec.image.values(), self.neurons], 0.0, 0.04),
            mean: init.normal([self.neurons, latents], 0.0, 0.3),
            log_variance: init.normal([self.neurons, latents], 0.0, 0.01),
        }))
    }
}

//! An encoder that shows its layers, so that relevance propagation works with it.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use protovae_backbones::layers::{Conv2d, ConvolutionWeights, Linear};
use protovae_core::Result;
use protovae_core::plugin::{
    BoxEncoder, Encoder, EncoderConfig, EncoderSpec, LayerView, Posterior,
};
use protovae_core::random::Initializer;
use serde::{Deserialize, Serialize};

/// Cuts the image into square patches, embeds each, mixes the channels of each, and reads the posterior off all together.
#[derive(Module, Debug)]
pub struct PatchEncoder {
    embed: Conv2d,
    mix: Conv2d,
    tail: Linear,
}

impl Encoder for PatchEncoder {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let patches = relu(self.embed.forward(images));
        let mixed = relu(self.mix.forward(patches));
        let both = self.tail.forward(mixed.flatten(1, 3));
        let latents = both.dims()[1] / 2;
        Posterior {
            mean: both.clone().narrow(1, 0, latents),
            log_variance: both.narrow(1, latents, latents),
        }
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        Some(vec![
            self.embed.layer_view(),
            LayerView::Relu,
            self.mix.layer_view(),
            LayerView::Relu,
            LayerView::Flatten,
            self.tail.layer_view(),
        ])
    }
}

/// The recipe of a [`PatchEncoder`]: `{"type": "patches", "patch": 7, "width": 32}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchEncoderConfig {
    /// Pixels a side of a patch, default 4; the image's sides must be multiples of it.
    pub patch: usize,
    /// Channels of an embedded patch, default 32.
    pub width: usize,
}

impl Default for PatchEncoderConfig {
    fn default() -> Self {
        Self {
            patch: 4,
            width: 32,
        }
    }
}

#[typetag::serde(name = "patches")]
impl EncoderConfig for PatchEncoderConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        let [rows, columns] =
            crate::patch_grid("model.encoder.patch", self.patch, self.width, spec.image)?;
        let (patch, width) = (self.patch, self.width);
        let weights = ConvolutionWeights::KaimingFanOut;
        Ok(BoxEncoder::new(PatchEncoder {
            embed: Conv2d::new([spec.image.channels, width], patch, patch, 0, weights, init),
            mix: Conv2d::new([width, width], 1, 1, 0, weights, init),
            tail: Linear::new(rows * columns * width, 2 * spec.latent_dimensions, init),
        }))
    }
}

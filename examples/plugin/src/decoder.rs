//! A decoder that paints the image patch by patch.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, tanh};
use protovae_backbones::layers::{Conv2d, ConvolutionWeights, Linear};
use protovae_core::plugin::{BoxDecoder, Decoder, DecoderConfig, DecoderSpec};
use protovae_core::random::Initializer;
use protovae_core::{ImageShape, Result};
use serde::{Deserialize, Serialize};

/// A fully connected layer gives every patch its features, and one linear map paints the pixels of each patch from them.
#[derive(Module, Debug)]
pub struct PatchDecoder {
    spread: Linear,
    paint: Conv2d,
    #[module(skip)]
    image: ImageShape,
    patch: usize,
}

impl Decoder for PatchDecoder {
    fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let [samples, _] = latents.dims();
        let ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let patch = self.patch;
        let (rows, columns) = (height / patch, width / patch);
        let spread = relu(self.spread.forward(latents));
        let features = spread.dims()[1] / (rows * columns);
        let pixels = self
            .paint
            .forward(spread.reshape([samples, features, rows, columns]));
        // The channels of a patch become its pixels: [N, C, p, p, rows, columns] to [N, C, rows·p, columns·p].
        let pixels = pixels
            .reshape([samples, channels, patch, patch, rows, columns])
            .permute([0, 1, 4, 2, 5, 3])
            .reshape([samples, channels, height, width]);
        tanh(pixels)
    }
}

/// The recipe of a [`PatchDecoder`]: `{"type": "patches", "patch": 7, "width": 32}`.
///
/// The encoder's recipe has the same tag; each trait has its own set of tags.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchDecoderConfig {
    /// Pixels a side of a patch, default 4; the image's sides must be multiples of it.
    pub patch: usize,
    /// Features of a patch, default 32.
    pub width: usize,
}

impl Default for PatchDecoderConfig {
    fn default() -> Self {
        Self {
            patch: 4,
            width: 32,
        }
    }
}

#[typetag::serde(name = "patches")]
impl DecoderConfig for PatchDecoderConfig {
    fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder> {
        let [rows, columns] =
            crate::patch_grid("model.decoder.patch", self.patch, self.width, spec.image)?;
        let (patch, width) = (self.patch, self.width);
        let pixels = spec.image.channels * patch * patch;
        let weights = ConvolutionWeights::Uniform;
        Ok(BoxDecoder::new(PatchDecoder {
            spread: Linear::new(spec.latent_dimensions, rows * columns * width, init),
            paint: Conv2d::new([width, pixels], 1, 1, 0, weights, init),
            image: spec.image,
            patch,
        }))
    }
}

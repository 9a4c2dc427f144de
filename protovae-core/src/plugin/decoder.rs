//! From latents to images.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::random::Initializer;

/// A decoder `g(z) = x̂`.
///
/// Promises: `decode` takes latents `[N, L]` for any `N ≥ 1` and gives images `[N, C, H, W]` with values in `[-1, 1]` on the
/// device of the latents; in evaluation each image depends on its own latent alone; every parameter receives a gradient.
pub trait Decoder {
    /// The image of each latent.
    fn decode(&self, latents: Tensor<2>) -> Tensor<4>;

    /// As [`Encoder::takes_lower_precision`](super::Encoder::takes_lower_precision), of latents.
    fn takes_lower_precision(&self) -> bool {
        false
    }
}

crate::dyn_module!(
    /// Any [`Decoder`], as a burn module.
    BoxDecoder, DecoderObject, Decoder
);

/// What a decoder has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderSpec {
    /// Images it makes.
    pub image: ImageShape,
    /// `L`, the width of the latents it takes.
    pub latent_dimensions: usize,
}

/// A serialisable recipe for a decoder, found by its tag: `{"type": "<tag>", ...}`.
#[typetag::serde(tag = "type")]
pub trait DecoderConfig: Debug + Send + Sync {
    /// Builds the decoder with fresh weights drawn from `init`.
    ///
    /// # Errors
    /// If the recipe does not fit `spec`.
    fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder>;
}

//! From images to a posterior over latents.

use std::fmt::Debug;

use burn::tensor::Tensor;

use super::LayerView;
use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::random::Initializer;

/// The diagonal Gaussian `N(mean, exp(log_variance))` that an encoder gives for each image; both are `[N, L]`.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// `mu`, `[N, L]`.
    pub mean: Tensor<2>,
    /// `log sigma²`, `[N, L]`; unbounded here, the losses clamp it.
    pub log_variance: Tensor<2>,
}

/// An encoder `f(x) = (mu, log sigma²)`.
///
/// Promises:
/// * `encode` takes images `[N, C, H, W]` with values in `[-1, 1]` for any `N ≥ 1` and gives two tensors `[N, L]` on the
///   device of the images, finite for finite input;
/// * in evaluation (`valid()`) each image's posterior does not depend on the others in the batch;
/// * every parameter that is meant to be trained receives a gradient.
pub trait Encoder {
    /// The posterior of each image.
    fn encode(&self, images: Tensor<4>) -> Posterior;

    /// The layers between image and `[mean | log_variance]` (concatenated along the second axis, `[N, 2·L]`), in order
    /// and as used in evaluation, or `None` if the encoder does not expose them.
    ///
    /// Relevance propagation walks these layers. Replaying them must give what [`encode`](Self::encode) gives.
    fn layers(&self) -> Option<Vec<LayerView>> {
        None
    }
}

crate::dyn_module!(
    /// Any [`Encoder`], as a burn module.
    BoxEncoder, EncoderObject, Encoder
);

/// What an encoder has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSpec {
    /// Images it takes.
    pub image: ImageShape,
    /// `L`, the width of `mean` and of `log_variance`.
    pub latent_dimensions: usize,
}

/// A serialisable recipe for an encoder, found by its tag: `{"type": "<tag>", ...}`.
#[typetag::serde(tag = "type")]
pub trait EncoderConfig: Debug + Send + Sync {
    /// Builds the encoder with fresh weights drawn from `init`.
    ///
    /// # Errors
    /// If the recipe does not fit `spec`, such as images too small for the number of poolings.
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder>;
}

//! From images to a posterior over latents.

use std::fmt::Debug;

use burn::tensor::Tensor;

use super::{BoxFeatures, LayerView};
use crate::error::{Error, Result};
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
///
/// ```
/// use burn::module::{Module, Param};
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::plugin::{BoxEncoder, Encoder, EncoderConfig, EncoderSpec, LayerView, Posterior};
/// use protovae_core::random::Initializer;
/// use protovae_core::{ImageShape, Result, conformance};
/// use serde::{Deserialize, Serialize};
///
/// /// One matrix from pixels to mean and log variance.
/// #[derive(Module, Debug)]
/// struct Projection {
///     weight: Param<Tensor<2>>,
/// }
///
/// impl Encoder for Projection {
///     fn encode(&self, images: Tensor<4>) -> Posterior {
///         let both = images.flatten::<2>(1, 3).matmul(self.weight.val());
///         let latents = both.dims()[1] / 2;
///         Posterior {
///             mean: both.clone().narrow(1, 0, latents),
///             log_variance: both.narrow(1, latents, latents),
///         }
///     }
///
///     fn layers(&self) -> Option<Vec<LayerView>> {
///         let weight = self.weight.val().without_autodiff();
///         Some(vec![LayerView::Flatten, LayerView::Linear { weight, bias: None }])
///     }
/// }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct ProjectionConfig {}
///
/// #[typetag::serde(name = "projection")]
/// impl EncoderConfig for ProjectionConfig {
///     fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
///         let shape = [spec.image.values(), 2 * spec.latent_dimensions];
///         Ok(BoxEncoder::new(Projection { weight: init.normal(shape, 0.0, 0.1) }))
///     }
/// }
///
/// let spec = EncoderSpec { image: ImageShape::new(1, 4, 4), latent_dimensions: 3 };
/// conformance::encoder(&ProjectionConfig {}, &spec)?;
/// // From a configuration, by its tag.
/// let recipe: Box<dyn EncoderConfig> = serde_json::from_str(r#"{"type": "projection"}"#)?;
/// let encoder = recipe.build(&spec, &mut Initializer::new(0, &Device::flex()))?;
/// assert_eq!(encoder.encode(Tensor::ones([2, 1, 4, 4], &Device::flex())).mean.dims(), [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

    /// Whether `encode` takes images of fewer than 32 bits (`bf16`, `f16`) as well and then computes in these, with weights that stay
    /// as they are, and normalisation in 32 bits. What it gives may be of either.
    fn takes_lower_precision(&self) -> bool {
        false
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

    /// Builds the convolutional part alone, for models that work on feature maps: the same layers without the fully connected
    /// end, drawn from `init` in the same order.
    ///
    /// # Errors
    /// [`Error::Config`] unless the recipe overrides this; if it does not fit `image`.
    fn build_features(&self, image: ImageShape, init: &mut Initializer) -> Result<BoxFeatures> {
        let _ = (image, init);
        Err(Error::config(
            "model.encoder.type",
            "this encoder does not show its feature maps, which this model needs; use `conv-pool`, `conv-stride` or `resnet18`",
        ))
    }
}

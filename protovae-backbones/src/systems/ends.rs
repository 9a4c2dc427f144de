//! What systems put on feature maps: fully connected ends, and how large the maps are.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::plugin::{BoxFeatures, EncoderConfig};
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape, Result};

use crate::check;
use crate::kernels::relu;
use crate::layers::Linear;

/// Channels, height and width of the maps of each stage, found by sending one image through the features as in evaluation.
pub(super) fn map_shapes(
    features: &BoxFeatures,
    image: ImageShape,
    init: &Initializer,
) -> Vec<[usize; 3]> {
    let device = init.device().clone().without_autodiff();
    let images = Tensor::zeros([1, image.channels, image.height, image.width], &device);
    let maps = features.valid().maps(images, 0);
    maps.iter()
        .map(|maps| {
            let [_, channels, height, width] = maps.dims();
            [channels, height, width]
        })
        .collect()
}

/// A weight of a loss term is finite and not negative.
pub(super) fn check_weight(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::config(
            key,
            format!("must be at least 0, not {value}"),
        ))
    }
}

/// `Linear(features, hidden)`, ReLU, `Linear(hidden, outputs)` on flattened maps.
#[derive(Module, Debug)]
pub struct FullyConnectedEnd {
    /// From the flattened maps to the hidden units.
    pub hidden: Linear,
    /// From these to the outputs.
    pub output: Linear,
}

impl FullyConnectedEnd {
    /// An end on so many features.
    pub(super) fn new(
        [features, hidden, outputs]: [usize; 3],
        init: &mut Initializer,
    ) -> Result<Self> {
        check::weights("model.encoder", init, &[&[features, hidden]])?;
        check::weights("model.latent_dimensions", init, &[&[hidden, outputs]])?;
        Ok(Self {
            hidden: Linear::new(features, hidden, init),
            output: Linear::new(hidden, outputs, init),
        })
    }

    /// Maps `[N, C, H, W]` to `[N, outputs]`.
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<2> {
        let hidden = relu(self.hidden.forward(maps.flatten(1, 3)));
        self.output.forward(hidden)
    }
}

/// Features of an image with a fully connected end.
#[derive(Module, Debug)]
pub struct Branch {
    /// The convolutional part.
    pub features: BoxFeatures,
    /// Its end.
    pub end: FullyConnectedEnd,
}

impl Branch {
    /// The features of a recipe with an end of `hidden` and `outputs` units.
    pub(super) fn new(
        encoder: &dyn EncoderConfig,
        image: ImageShape,
        [hidden, outputs]: [usize; 2],
        init: &mut Initializer,
    ) -> Result<Self> {
        let features = encoder.build_features(image, init)?;
        let shapes = map_shapes(&features, image, init);
        let values = shapes.last().map_or(0, |shape| shape.iter().product());
        Ok(Self {
            end: FullyConnectedEnd::new([values, hidden, outputs], init)?,
            features,
        })
    }

    /// Images `[N, C, H, W]` to `[N, outputs]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.end.forward(self.features.last_maps(images))
    }
}

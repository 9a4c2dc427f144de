//! From images to feature maps, for models that look at more of a backbone than a vector.

use burn::tensor::Tensor;

use super::LayerView;

/// The convolutional part of an encoder: feature maps of each of its stages, from early to late.
///
/// [`EncoderConfig::build_features`](super::EncoderConfig::build_features) makes one of the same recipe as the encoder, with
/// the same layers but without its fully connected end. Models that compare patches (ProtoPNet) or look into hidden layers
/// (FLINT) are built on it.
///
/// Promises: `maps` takes images `[N, C, H, W]` in `[-1, 1]` for any `N ≥ 1` and gives the maps `[N, C', H', W']` of stages
/// `first..stages()`, never fewer than one, with the channels that [`channels`](Self::channels) says; heights and widths do
/// not grow from stage to stage and depend on those of the images alone; in evaluation (`valid()`) each image's maps do not
/// depend on the others in the batch; every parameter that is meant to be trained receives a gradient from the last maps.
/// [`crate::conformance::features`] checks it.
pub trait FeatureExtractor {
    /// Channels of each stage's maps; at least one stage.
    fn channels(&self) -> Vec<usize>;

    /// The maps after the stages from `first` on; of a `first` beyond the last stage, the last maps.
    fn maps(&self, images: Tensor<4>, first: usize) -> Vec<Tensor<4>>;

    /// The layers between image and last maps as used in evaluation, or `None` if they are not exposed.
    fn layers(&self) -> Option<Vec<LayerView>> {
        None
    }
}

crate::dyn_module!(
    /// Any [`FeatureExtractor`], as a burn module.
    BoxFeatures, FeaturesObject, FeatureExtractor
);

impl BoxFeatures {
    /// The maps after the last stage, `[N, C', H', W']`.
    pub fn last_maps(&self, images: Tensor<4>) -> Tensor<4> {
        let last = self.channels().len().saturating_sub(1);
        let mut maps = self.maps(images.clone(), last);
        maps.pop().unwrap_or(images)
    }
}

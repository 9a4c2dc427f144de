//! What is checked of images before a model sees them.

use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::{Error, ImageShape, Result};

/// Checks that images are such as the model takes.
pub(crate) fn check_images(model: &BoxModel, images: &Tensor<4>) -> Result<()> {
    let [_, channels, height, width] = images.dims();
    let found = ImageShape::new(channels, height, width);
    if found == model.image_shape() {
        return Ok(());
    }
    Err(Error::ImageShape {
        expected: model.image_shape().to_string(),
        found: found.to_string(),
    })
}

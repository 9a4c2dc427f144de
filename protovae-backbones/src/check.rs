//! Checks of recipes before anything is allocated.

use protovae_core::loss::SMALLEST_SIMILARITY_EPSILON;
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape, Result};

/// Most channels that a recipe may ask of a layer.
pub(crate) const LARGEST_WIDTH: usize = 4096;

/// Most values that one weight, or one sample's activation, may hold (4 GiB): beyond it a typing slip would exhaust memory.
const LARGEST_TENSOR: usize = 1 << 30;

/// `value` lies in `1..=LARGEST_WIDTH`.
pub(crate) fn width(key: &str, value: usize) -> Result<()> {
    if (1..=LARGEST_WIDTH).contains(&value) {
        Ok(())
    } else {
        Err(Error::config(
            key,
            format!("each width must lie between 1 and {LARGEST_WIDTH}, not {value}"),
        ))
    }
}

/// A tensor of `shape` holds at most [`LARGEST_TENSOR`] values.
pub(crate) fn tensor(key: &str, shape: &[usize]) -> Result<()> {
    let values = shape
        .iter()
        .try_fold(1usize, |product, side| product.checked_mul(*side));
    match values {
        Some(values) if values <= LARGEST_TENSOR => Ok(()),
        _ => {
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            Err(Error::config(
                key,
                format!(
                    "asks for a tensor of {} values; the most is {LARGEST_TENSOR}",
                    shape.join("×")
                ),
            ))
        }
    }
}

/// Weights of these shapes may be drawn: each is a [`tensor`], and the model may have so many in all.
pub(crate) fn weights(key: &str, init: &mut Initializer, shapes: &[&[usize]]) -> Result<()> {
    for shape in shapes {
        tensor(key, shape)?;
        init.reserve(key, shape.iter().product())?;
    }
    Ok(())
}

/// There are latents, and images have pixels.
pub(crate) fn spec(image: ImageShape, latent_dimensions: usize) -> Result<()> {
    if latent_dimensions == 0 {
        return Err(Error::config(
            "model.latent_dimensions",
            "must be at least 1",
        ));
    }
    self::image(image)
}

/// Images have pixels.
pub(crate) fn image(image: ImageShape) -> Result<()> {
    if image.channels == 0 || image.height == 0 || image.width == 0 {
        return Err(Error::config("data", format!("{image} images are empty")));
    }
    Ok(())
}

/// `value` is an epsilon that similarities can be computed with.
pub(crate) fn similarity_epsilon(key: &str, value: f64) -> Result<()> {
    if (SMALLEST_SIMILARITY_EPSILON..1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::config(
            key,
            format!("must lie between {SMALLEST_SIMILARITY_EPSILON:e} and 1, not {value}"),
        ))
    }
}

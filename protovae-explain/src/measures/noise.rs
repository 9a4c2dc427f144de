//! The image that stands for "nothing there".

use protovae_core::ImageShape;
use protovae_core::random::{Purpose, stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::HostImages;

/// Sets the stream of the noise image apart from all others that a seed has.
const NOISE_IMAGE: u64 = u64::MAX;

/// What replaces the pixels that a measure takes away: one image for all images and methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Noise {
    /// Every value uniform in `[-1, 1]`: unlike any image that a model has seen, so that half of it may drown what is kept.
    Uniform,
    /// Every pixel (with all its channels) that of some image among the measured ones: noise of the data's own brightness at
    /// each place. Depends on which images are measured.
    #[default]
    Shuffled,
}

impl Noise {
    pub(super) fn image(self, seed: u64, images: &HostImages) -> Vec<f32> {
        match self {
            Self::Uniform => noise_image(seed, images.shape),
            Self::Shuffled => {
                let mut generator = stream(seed, NOISE_IMAGE, 1, Purpose::Plugin);
                let mut noise = vec![0f32; images.shape.values()];
                for pixel in 0..images.plane() {
                    let from = generator.random_range(0..images.count);
                    images.paste(&mut noise, images.image(from), &[pixel]);
                }
                noise
            }
        }
    }
}

/// The image of [`Noise::Uniform`]: `C·H·W` values uniform in `[-1, 1]`.
pub fn noise_image(seed: u64, shape: ImageShape) -> Vec<f32> {
    let mut generator = stream(seed, NOISE_IMAGE, 0, Purpose::Plugin);
    (0..shape.values())
        .map(|_| generator.random_range(-1.0f32..=1.0))
        .collect()
}

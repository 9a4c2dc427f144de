//! Random changes of training images: moved, recoloured and mirrored, each a pure function of the seed, the epoch and the
//! image's index.

mod color;
mod draw;
mod geometry;

use serde::{Deserialize, Serialize};

pub use draw::{Adjustment, AugmentationDraw};

use crate::{DataError, ImageShape};

/// The largest padding; moving an image further than that is a mistake, not an augmentation.
const MAX_PADDING: usize = 63;

/// The largest strength of a jitter: far beyond use, and far below where `f32` ends.
const MAX_STRENGTH: f64 = 100.0;

/// How training images are changed at random; by default not at all.
///
/// The changes come in this order: padding and cropping, colour jitter, mirroring. They mean what torchvision's `RandomCrop`,
/// `ColorJitter` and `RandomHorizontalFlip` mean for tensors in [0, 1]; the images here are in [-1, 1] before and after.
///
/// ```
/// use protovae_data::{AugmentationConfig, ImageShape};
///
/// let config: AugmentationConfig = serde_json::from_str(
///     r#"{"crop_padding": 2, "flip": 0.5, "jitter": {"brightness": 0.2, "hue": 0.05}}"#,
/// )?;
/// let shape = ImageShape::new(3, 32, 32);
/// config.check(shape)?;
/// let draw = config.draw(7, 0, 12);
/// let mut image = vec![0.25; shape.pixels()];
/// draw.apply(&mut image, shape)?;
/// assert!(image.iter().all(|value| (-1.0..=1.0).contains(value)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Rows and columns of padding on each side, after which a part of the original size is cut out at random: 2 moves the
    /// image by up to 2 pixels. Padding is black, -1 here: zeros are added to a picture in [0, 1], before it is scaled to
    /// [-1, 1]. 0 to 63 and less than the image's sides; 0, the default, moves nothing.
    pub crop_padding: usize,
    /// The probability that an image is mirrored left to right, 0 to 1. Default 0.
    pub flip: f64,
    /// Random changes of colour; by default none.
    pub jitter: Option<ColorJitterConfig>,
}

/// The strengths of colour jitter; 0, the default, leaves a change out.
///
/// The changes are made one after the other in random order. Saturation and hue leave grey images as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitterConfig {
    /// Brightness is multiplied by a factor between max(0, 1 − strength) and 1 + strength. 0 to 100, default 0.
    pub brightness: f64,
    /// The distance of every value from the image's mean grey is multiplied by such a factor. 0 to 100, default 0.
    pub contrast: f64,
    /// The distance of every colour from its grey is multiplied by such a factor. 0 to 100, default 0.
    pub saturation: f64,
    /// Hue is turned by an angle between -strength and strength, in whole turns. 0 to 0.5, default 0.
    pub hue: f64,
}

impl AugmentationConfig {
    /// Whether every image stays as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let jitter = self.jitter.unwrap_or_default();
        self.crop_padding == 0 && self.flip == 0.0 && jitter == ColorJitterConfig::default()
    }

    /// Checks the values, and that they fit images of `shape`.
    ///
    /// # Errors
    /// [`DataError::Setting`] that names the key of a value out of its range, or `jitter` for images of other than 1 or 3
    /// channels.
    pub fn check(&self, shape: ImageShape) -> Result<(), DataError> {
        let side = shape.height.min(shape.width);
        if self.crop_padding > MAX_PADDING || (self.crop_padding > 0 && self.crop_padding >= side) {
            return Err(DataError::Setting {
                key: "crop_padding",
                reason: format!(
                    "{} is too much for images of {shape}; it is at most {MAX_PADDING} and less than their height and width",
                    self.crop_padding
                ),
            });
        }
        check_range("flip", self.flip, 1.0)?;
        let Some(jitter) = &self.jitter else {
            return Ok(());
        };
        check_range("brightness", jitter.brightness, MAX_STRENGTH)?;
        check_range("contrast", jitter.contrast, MAX_STRENGTH)?;
        check_range("saturation", jitter.saturation, MAX_STRENGTH)?;
        check_range("hue", jitter.hue, 0.5)?;
        if *jitter != ColorJitterConfig::default() {
            color::check_channels(shape)?;
        }
        Ok(())
    }
}

fn check_range(key: &'static str, value: f64, largest: f64) -> Result<(), DataError> {
    // NaN is in no range.
    if (0.0..=largest).contains(&value) {
        return Ok(());
    }
    Err(DataError::Setting {
        key,
        reason: format!("{value} is not between 0 and {largest}"),
    })
}

//! What chance decides about one image, and its application.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{AugmentationConfig, MAX_STRENGTH, color, geometry};
use crate::{DataError, ImageShape};

/// Keeps this stream of random numbers apart from others made of the same seed and epoch.
const STREAM: &[u8; 16] = b"protovae:augment";

/// A change of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adjustment {
    /// All values times a factor.
    Brightness,
    /// Towards the image's mean grey, or away from it.
    Contrast,
    /// Towards every pixel's grey, or away from it.
    Saturation,
    /// Round the circle of colours.
    Hue,
}

/// What is done to one image; the default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationDraw {
    /// The row of the image that becomes its first; negative: this many black rows come before it.
    pub top: isize,
    /// The column of the image that becomes its first; negative: this many black columns come before it.
    pub left: isize,
    /// The factor of brightness, 0 to 101.
    pub brightness: Option<f64>,
    /// The factor of contrast, 0 to 101.
    pub contrast: Option<f64>,
    /// The factor of saturation, 0 to 101.
    pub saturation: Option<f64>,
    /// The turn of hue, -0.5 to 0.5.
    pub hue: Option<f64>,
    /// In which order the colours are changed.
    pub order: [Adjustment; 4],
    /// Whether the image is mirrored left to right.
    pub flip: bool,
}

impl Default for AugmentationDraw {
    fn default() -> Self {
        Self {
            top: 0,
            left: 0,
            brightness: None,
            contrast: None,
            saturation: None,
            hue: None,
            order: [
                Adjustment::Brightness,
                Adjustment::Contrast,
                Adjustment::Saturation,
                Adjustment::Hue,
            ],
            flip: false,
        }
    }
}

impl AugmentationConfig {
    /// What is done to image `index` of an epoch: a pure function of the config and the arguments, on every machine and in
    /// every version of this crate. The config is taken to have passed [`AugmentationConfig::check`].
    ///
    /// The key of ChaCha8 is the 32 bytes seed (little-endian), epoch (little-endian), `protovae:augment`; its nonce (the
    /// stream) is the index and its counter 0. The first block, read as eight little-endian u64, gives in this order `top`,
    /// `left`, `order`, `brightness`, `contrast`, `saturation`, `hue` and `flip`, whether or not a change is switched on: one
    /// setting never alters what another draws. A number x becomes
    /// - `top`, `left`: ⌊x · (2 · padding + 1) / 2⁶⁴⌋ − padding,
    /// - `order`: the permutation of number ⌊x · 24 / 2⁶⁴⌋ among those of (brightness, contrast, saturation, hue) in
    ///   lexicographic order,
    /// - a factor or turn: low + ⌊x / 2¹¹⌋ / 2⁵³ · (high − low) in double precision, left out where the strength is 0,
    /// - `flip`: whether ⌊x / 2¹¹⌋ / 2⁵³ is less than the probability.
    ///
    /// ```
    /// use protovae_data::AugmentationConfig;
    ///
    /// let config = AugmentationConfig { crop_padding: 2, flip: 0.5, jitter: None };
    /// let draw = config.draw(7, 0, 12);
    /// assert_eq!(draw, config.draw(7, 0, 12));
    /// assert!((-2..=2).contains(&draw.top) && (-2..=2).contains(&draw.left));
    /// ```
    #[must_use]
    pub fn draw(&self, seed: u64, epoch: u64, index: u64) -> AugmentationDraw {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&epoch.to_le_bytes());
        key[16..].copy_from_slice(STREAM);
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(index);
        let mut number = || random.next_u64();
        let [
            top,
            left,
            order,
            brightness,
            contrast,
            saturation,
            hue,
            flip,
        ] = std::array::from_fn(|_| number());

        let jitter = self.jitter.unwrap_or_default();
        let factor = |strength: f64, x| {
            (strength > 0.0).then(|| between((1.0 - strength).max(0.0), 1.0 + strength, x))
        };
        AugmentationDraw {
            top: self.offset(top),
            left: self.offset(left),
            brightness: factor(jitter.brightness, brightness),
            contrast: factor(jitter.contrast, contrast),
            saturation: factor(jitter.saturation, saturation),
            hue: (jitter.hue > 0.0).then(|| between(-jitter.hue, jitter.hue, hue)),
            order: arrangement(below(24, order)),
            flip: fraction(flip) < self.flip,
        }
    }

    fn offset(&self, x: u64) -> isize {
        // `check` allows little; the bound only keeps unchecked configs from overflowing.
        let padding = self.crop_padding.min(isize::MAX as usize / 2);
        below(2 * padding as u64 + 1, x) as isize - padding as isize
    }
}

impl AugmentationDraw {
    /// Changes an image of `shape`, values in [-1, 1], channel by channel.
    ///
    /// # Errors
    /// [`DataError::BufferLength`] unless `image` holds `shape.pixels()` values; [`DataError::Setting`] for a factor out of
    /// its range, or a change of colour of an image of other than 1 or 3 channels.
    pub fn apply(&self, image: &mut [f32], shape: ImageShape) -> Result<(), DataError> {
        if image.len() != shape.pixels() {
            return Err(DataError::BufferLength {
                what: "image to augment",
                expected: shape.pixels(),
                found: image.len(),
            });
        }
        self.check_factors()?;
        if image.is_empty() {
            return Ok(());
        }
        geometry::crop(image, shape, self.top, self.left);
        color::adjust(image, shape, self)?;
        if self.flip {
            geometry::flip(image, shape);
        }
        Ok(())
    }

    fn check_factors(&self) -> Result<(), DataError> {
        let factors = 0.0..=1.0 + MAX_STRENGTH;
        for (key, value, range) in [
            ("brightness", self.brightness, &factors),
            ("contrast", self.contrast, &factors),
            ("saturation", self.saturation, &factors),
            ("hue", self.hue, &(-0.5..=0.5)),
        ] {
            if value.is_some_and(|value| !range.contains(&value)) {
                return Err(DataError::Setting {
                    key,
                    reason: format!(
                        "{} is not between {} and {}",
                        value.unwrap_or_default(),
                        range.start(),
                        range.end()
                    ),
                });
            }
        }
        Ok(())
    }
}

/// A number in 0..n. What the multiplication favours is one in 2⁶⁴ / n.
fn below(n: u64, x: u64) -> u64 {
    ((u128::from(x) * u128::from(n)) >> 64) as u64
}

/// A number in [0, 1), a multiple of 2⁻⁵³.
fn fraction(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

fn between(low: f64, high: f64, x: u64) -> f64 {
    low + fraction(x) * (high - low)
}

/// The permutation of this number, 0 to 23, in lexicographic order.
fn arrangement(number: u64) -> [Adjustment; 4] {
    let mut left = AugmentationDraw::default().order;
    let mut number = number as usize;
    for (place, following) in [6, 2, 1].into_iter().enumerate() {
        let chosen = place + number / following;
        number %= following;
        // The chosen one moves to its place, those before it move up and stay in order.
        left[place..=chosen].rotate_right(1);
    }
    left
}

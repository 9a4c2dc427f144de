//! Relevance as colours: alone, and over the image that it belongs to.

use burn::tensor::Tensor;
use image::{Rgb, RgbImage};

use super::colour::{diverging_colour, luminance};
use super::grid::{check, enlarged, to_byte};
use crate::error::{Error, Result};

/// Which relevance takes the full colour.
///
/// The limit of a map is the `quantile` of the absolute values of its pixels, so that one pixel that stands out does not make
/// the rest pale; what lies beyond is cut off. Zero always stays neutral. With `shared`, one limit over all maps makes their
/// colours comparable with one another; without, each map uses all colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelevanceScale {
    /// Between 0 (excluded) and 1; default 0.995. Values out of range, and NaN, mean 1: the largest.
    pub quantile: f64,
    /// One limit over all maps; default one for each.
    pub shared: bool,
}

impl Default for RelevanceScale {
    fn default() -> Self {
        Self {
            quantile: 0.995,
            shared: false,
        }
    }
}

impl RelevanceScale {
    /// The relevance that takes the full colour, for each map: finite, and 0 only if no pixel has a finite value other than 0.
    pub fn limits(&self, maps: &RelevanceMaps) -> Vec<f32> {
        if self.shared {
            return vec![self.limit(&maps.values); maps.count()];
        }
        maps.iter().map(|map| self.limit(map)).collect()
    }

    fn limit(&self, values: &[f32]) -> f32 {
        let mut strengths: Vec<f32> = values
            .iter()
            .map(|value| value.abs())
            .filter(|value| value.is_finite())
            .collect();
        strengths.sort_unstable_by(f32::total_cmp);
        let largest = strengths.last().copied().unwrap_or(0.0);
        let quantile = if self.quantile > 0.0 && self.quantile <= 1.0 {
            self.quantile
        } else {
            1.0
        };
        // The smallest value that a share `quantile` of all does not exceed.
        let rank = (quantile * strengths.len() as f64).ceil() as usize;
        match strengths.get(rank.saturating_sub(1)) {
            Some(limit) if *limit > 0.0 => *limit,
            // Nearly all pixels are exactly zero, but some are not.
            _ => largest,
        }
    }
}

/// Relevance with its channels summed: one signed value a pixel, `[N, H, W]`.
///
/// ```
/// use protovae_explain::pictures::{RelevanceMaps, RelevanceScale};
/// // One map of two pixels and two channels.
/// let maps = RelevanceMaps::from_slice(&[1.0, -2.0, 0.5, -2.0], [1, 2, 1, 2])?;
/// assert_eq!(maps.iter().next(), Some([1.5, -4.0].as_slice()));
/// let picture = &maps.pictures(&RelevanceScale::default(), 3)?[0];
/// assert_eq!(picture.dimensions(), (6, 3));
/// # Ok::<(), protovae_explain::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RelevanceMaps {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl RelevanceMaps {
    /// From relevance `[N, C, H, W]` of any C ≥ 1.
    ///
    /// # Errors
    /// [`Error::Shape`] for no pixels.
    pub fn new(relevance: Tensor<4>) -> Result<Self> {
        let shape = relevance.dims();
        let values: Vec<f32> = relevance.into_data().iter::<f32>().collect();
        Self::from_slice(&values, shape)
    }

    /// From the values of relevance of shape `[N, C, H, W]`, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] for no pixels, or a number of values that is not that of the shape.
    pub fn from_slice(values: &[f32], shape: [usize; 4]) -> Result<Self> {
        check(shape, 1)?;
        check_length(values.len(), shape)?;
        let [_, channels, height, width] = shape;
        let plane = height * width;
        let values = values
            .chunks_exact(channels * plane)
            .flat_map(|map| {
                (0..plane).map(move |pixel| map.iter().skip(pixel).step_by(plane).sum::<f32>())
            })
            .collect();
        Ok(Self {
            height,
            width,
            values,
        })
    }

    /// N.
    pub fn count(&self) -> usize {
        self.values.len() / (self.height * self.width)
    }

    /// The maps one by one, `H·W` values each.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.height * self.width)
    }

    /// Each map in colours, a pixel `enlargement` times as large; see [`diverging_colour`].
    ///
    /// # Errors
    /// [`Error::Shape`] beyond 32,768 pixels a side.
    pub fn pictures(&self, scale: &RelevanceScale, enlargement: usize) -> Result<Vec<RgbImage>> {
        check([self.count(), 1, self.height, self.width], enlargement)?;
        let size = [self.height, self.width];
        Ok(self
            .iter()
            .zip(scale.limits(self))
            .map(|(map, limit)| {
                enlarged(size, enlargement, |pixel| {
                    diverging_colour(normalised(map[pixel], limit))
                })
            })
            .collect())
    }

    /// Each map over its image, which is shown in grey and covered the more the stronger the relevance is.
    ///
    /// `images` are the values in `[-1, 1]` of images `[N, C, H, W]` with C = 1 or 3. There may be T maps to an image, one
    /// image's maps after another's, as explainers give them for T targets.
    ///
    /// # Errors
    /// [`Error::Shape`] if the images do not fit the maps, or beyond 32,768 pixels a side.
    pub fn overlays(
        &self,
        images: &[f32],
        shape: [usize; 4],
        scale: &RelevanceScale,
        enlargement: usize,
    ) -> Result<Vec<RgbImage>> {
        let fail = |reason| Err(Error::Shape { shape, reason });
        check(shape, enlargement)?;
        check_length(images.len(), shape)?;
        let [count, channels, height, width] = shape;
        if channels != 1 && channels != 3 {
            return fail("pictures have one or three channels");
        }
        if [height, width] != [self.height, self.width] {
            return fail("images and relevance differ in height or width");
        }
        if !self.count().is_multiple_of(count) {
            return fail("the number of relevance maps is no multiple of that of images");
        }
        let targets = self.count() / count;
        let plane = height * width;
        let size = [height, width];
        Ok(self
            .iter()
            .zip(scale.limits(self))
            .enumerate()
            .map(|(index, (map, limit))| {
                let image = &images[index / targets * channels * plane..][..channels * plane];
                enlarged(size, enlargement, |pixel| {
                    let byte =
                        |channel: usize| to_byte(image[channel.min(channels - 1) * plane + pixel]);
                    let grey = luminance([byte(0), byte(1), byte(2)]);
                    cover(grey, normalised(map[pixel], limit))
                })
            })
            .collect())
    }
}

fn check_length(values: usize, shape: [usize; 4]) -> Result<()> {
    let expected = shape
        .iter()
        .try_fold(1_usize, |all, side| all.checked_mul(*side));
    if expected == Some(values) {
        return Ok(());
    }
    Err(Error::Shape {
        shape,
        reason: "there are not as many values as the shape says",
    })
}

/// Relevance as a share of its limit, between −1 and 1; NaN and what has no limit is 0.
fn normalised(value: f32, limit: f32) -> f32 {
    if limit > 0.0 && !value.is_nan() {
        (value / limit).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// The colour of `relevance` over grey, opaque in proportion to `|relevance|`.
fn cover(grey: f32, relevance: f32) -> Rgb<u8> {
    let opacity = relevance.abs();
    Rgb(diverging_colour(relevance)
        .0
        .map(|channel| ((1.0 - opacity) * grey + opacity * f32::from(channel)).round() as u8))
}

/// Relevance `[N, C, H, W]` as one picture each, channels summed, a pixel `enlargement` times as large.
///
/// # Errors
/// [`Error::Shape`] for no pixels, or beyond 32,768 pixels a side.
pub fn relevance_picture(
    relevance: Tensor<4>,
    scale: &RelevanceScale,
    enlargement: usize,
) -> Result<Vec<RgbImage>> {
    RelevanceMaps::new(relevance)?.pictures(scale, enlargement)
}

/// Relevance `[N·T, C', H, W]` over images `[N, C, H, W]` with values in `[-1, 1]`; see [`RelevanceMaps::overlays`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_explain::pictures::{RelevanceScale, overlay};
/// let device = Device::flex();
/// let image = Tensor::<4>::zeros([1, 3, 8, 8], &device);
/// // Two targets for the one image.
/// let relevance = Tensor::<4>::ones([2, 3, 8, 8], &device);
/// let pictures = overlay(image, relevance, &RelevanceScale::default(), 4)?;
/// assert_eq!(pictures.len(), 2);
/// assert_eq!(pictures[0].dimensions(), (32, 32));
/// # Ok::<(), protovae_explain::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the relevance, or beyond 32,768 pixels a side.
pub fn overlay(
    images: Tensor<4>,
    relevance: Tensor<4>,
    scale: &RelevanceScale,
    enlargement: usize,
) -> Result<Vec<RgbImage>> {
    let shape = images.dims();
    let images: Vec<f32> = images.into_data().iter::<f32>().collect();
    RelevanceMaps::new(relevance)?.overlays(&images, shape, scale, enlargement)
}

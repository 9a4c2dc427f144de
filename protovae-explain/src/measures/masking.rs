//! Average Drop and Average Increase.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::Result;
use protovae_core::model::BoxModel;
use serde::{Deserialize, Serialize};

use super::{HostImages, Noise, Question, check_maps, check_share, ranking};

/// Which part of an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The most relevant pixels: a good map loses little.
    #[default]
    Most,
    /// The least relevant pixels: a good map loses much, and what is better is turned round.
    Least,
}

/// Average Drop and Average Increase (Chattopadhyay et al. 2018): a part of the image is kept, the rest replaced by a fixed
/// noise image, and the score `s'` of what is left compared with the score `s` of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masking {
    /// Which part is kept; default the most relevant.
    pub keep: Keep,
    /// How much of the image is kept, between 0 and 1; default 0.5. Rounded to whole pixels.
    pub share: f64,
    /// What replaces the rest; default that of the data's brightness.
    pub noise: Noise,
    /// The seed of the noise image; default 0.
    pub seed: u64,
}

impl Default for Masking {
    fn default() -> Self {
        Self {
            keep: Keep::Most,
            share: 0.5,
            noise: Noise::default(),
            seed: 0,
        }
    }
}

/// What masking does to each image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Masked {
    /// `max(0, s − s′) / s`, in `[0, 1]`; the mean is the Average Drop.
    pub drops: Vec<f64>,
    /// 1 where `s′ > s`, 0 elsewhere; the mean is the Average Increase.
    pub increases: Vec<f64>,
}

impl Masking {
    /// The pixels that are kept of an image with this map.
    ///
    /// ```
    /// use protovae_explain::measures::{Keep, Masking};
    /// let map = [0.1, -2.0, 3.0, 0.1];
    /// assert_eq!(Masking::default().kept(&map), [2, 0]);
    /// let least = Masking { keep: Keep::Least, ..Masking::default() };
    /// assert_eq!(least.kept(&map), [3, 1]);
    /// ```
    pub fn kept(&self, map: &[f32]) -> Vec<usize> {
        let mut pixels = ranking(map);
        let count = (self.share * map.len() as f64).round() as usize;
        let count = count.min(map.len());
        match self.keep {
            Keep::Most => pixels.truncate(count),
            Keep::Least => {
                pixels.drain(..map.len() - count);
            }
        }
        pixels
    }

    /// Masks each image `[N, C, H, W]` by its map of `H·W`.
    ///
    /// # Errors
    /// If the share is none, or images, question and maps do not fit each other and the model.
    pub fn measure(
        &self,
        model: &BoxModel,
        images: &Tensor<4>,
        question: &Question,
        maps: &[Vec<f32>],
    ) -> Result<Masked> {
        check_share("masking.share", self.share)?;
        let model = model.valid();
        let images = HostImages::new(&model, images)?;
        check_maps(&images, question, maps)?;
        let noise = self.noise.image(self.seed, &images);
        let masked = |row: usize| {
            let mut pixels = noise.clone();
            images.paste(&mut pixels, images.image(row), &self.kept(&maps[row]));
            (row, pixels)
        };
        let after = question.score(&model, &images, images.count, masked)?;
        let pairs = || question.scores.iter().zip(&after);
        Ok(Masked {
            drops: pairs()
                .map(|(before, after)| share_lost(*before, *after))
                .collect(),
            increases: pairs()
                .map(|(before, after)| if after > before { 1.0 } else { 0.0 })
                .collect(),
        })
    }
}

/// The share of a score that is lost; a score of 0 has nothing to lose.
fn share_lost(before: f64, after: f64) -> f64 {
    if before > 0.0 {
        ((before - after) / before).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

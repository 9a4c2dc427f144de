//! The relevance ordering test.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{HostImages, Noise, Question, check_maps, ranking};

/// The relevance ordering test: from the noise image, the pixels of the original come back in descending relevance, and the
/// score is watched. The faster it rises, the better the map's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelevanceOrdering {
    /// Steps from the noise to the image, 1 to 1000; default 20.
    pub steps: usize,
    /// What the test starts from; default that of the data's brightness.
    pub noise: Noise,
    /// The seed of the noise image; default 0.
    pub seed: u64,
}

impl Default for RelevanceOrdering {
    fn default() -> Self {
        Self {
            steps: 20,
            noise: Noise::default(),
            seed: 0,
        }
    }
}

/// How scores rise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ordered {
    /// For each image the area under its curve of scores, each divided by the score of the whole image, over the share of
    /// pixels from 0 to 1 (trapezoids). 1 where nothing changes; above 1 where parts score more than the whole.
    pub areas: Vec<f64>,
    /// The mean curve over all images, in the same unit: `steps + 1` values, from the noise (share 0) to the image (share 1).
    pub curve: Vec<f64>,
}

impl RelevanceOrdering {
    /// Runs the test on each image `[N, C, H, W]` with its map of `H·W`.
    ///
    /// # Errors
    /// If there are no steps, or images, question and maps do not fit each other and the model.
    pub fn measure(
        &self,
        model: &BoxModel,
        images: &Tensor<4>,
        question: &Question,
        maps: &[Vec<f32>],
    ) -> Result<Ordered> {
        if !(1..=1000).contains(&self.steps) {
            return Err(Error::config(
                "ordering.steps",
                format!("must lie between 1 and 1000, not {}", self.steps),
            ));
        }
        let model = model.valid();
        let images = HostImages::new(&model, images)?;
        check_maps(&images, question, maps)?;
        let noise = self.noise.image(self.seed, &images);
        let rankings: Vec<Vec<usize>> = maps.iter().map(|map| ranking(map)).collect();
        let pasted = |row: usize| {
            let (image, step) = (row / self.steps, row % self.steps);
            let ranking = &rankings[image];
            let count = (step * ranking.len() + self.steps / 2) / self.steps;
            let mut pixels = noise.clone();
            images.paste(&mut pixels, images.image(image), &ranking[..count]);
            (image, pixels)
        };
        let scores = question.score(&model, &images, images.count * self.steps, pasted)?;
        let mut areas = Vec::with_capacity(images.count);
        let mut curve = vec![0f64; self.steps + 1];
        for (scores, whole) in scores.chunks_exact(self.steps).zip(&question.scores) {
            let relative = |score: f64| if *whole > 0.0 { score / whole } else { 1.0 };
            let own: Vec<f64> = scores
                .iter()
                .chain([whole])
                .map(|score| relative(*score))
                .collect();
            areas.push(area(&own));
            for (sum, value) in curve.iter_mut().zip(&own) {
                *sum += value / images.count as f64;
            }
        }
        Ok(Ordered { areas, curve })
    }
}

/// The area under a curve of equally spaced values over an interval of length 1, by trapezoids.
fn area(curve: &[f64]) -> f64 {
    let steps = curve.len().saturating_sub(1).max(1) as f64;
    curve
        .windows(2)
        .map(|pair| (pair[0] + pair[1]) / 2.0)
        .sum::<f64>()
        / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_lines() {
        assert_eq!(area(&[1.0, 1.0, 1.0]), 1.0);
        assert_eq!(area(&[0.0, 1.0]), 0.5);
        assert_eq!(area(&[0.0, 1.0, 1.0]), 0.75);
    }
}

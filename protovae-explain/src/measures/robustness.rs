//! How far maps and similarities move when the image hardly does.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::Explainer;
use protovae_core::random::{Purpose, stream};
use protovae_core::{Error, ImageShape, Result};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::question::similarities;
use super::{HostImages, Question, check_maps, pixel_maps};

/// The largest relative change (L2) under small uniform noise in the image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Robustness {
    /// The noise lies in `[-epsilon, epsilon]`, pixels in `[-1, 1]`; above 0, at most 2; default 0.05. Noisy pixels are cut
    /// off at the ends of their range.
    pub epsilon: f64,
    /// Noisy copies of each image, of which the worst counts, 1 to 1000; default 5.
    pub draws: usize,
    /// How many images are looked at, the first ones, since each takes `draws` further explanations; default 100.
    pub images: usize,
    /// The seed of the noise; default 0.
    pub seed: u64,
}

impl Default for Robustness {
    fn default() -> Self {
        Self {
            epsilon: 0.05,
            draws: 5,
            images: 100,
            seed: 0,
        }
    }
}

/// Sets the streams of this noise apart from those of the noise image and of random maps.
const NOISE: u64 = u64::MAX - (1 << 32);

impl Robustness {
    fn check(&self) -> Result<()> {
        if !(self.epsilon > 0.0 && self.epsilon <= 2.0) {
            return Err(Error::config(
                "robustness.epsilon",
                format!("must lie between 0 and 2, not {}", self.epsilon),
            ));
        }
        if !(1..=1000).contains(&self.draws) || self.images == 0 {
            return Err(Error::config(
                "robustness",
                "takes 1 to 1000 draws and at least one image",
            ));
        }
        Ok(())
    }

    /// A noisy copy of image number `index`: a function of the seed and both numbers.
    fn noisy(&self, image: &[f32], index: usize, draw: usize) -> Vec<f32> {
        let epsilon = self.epsilon as f32;
        let mut generator = stream(
            self.seed,
            NOISE + draw as u64,
            index as u64,
            Purpose::Plugin,
        );
        let moved =
            |value: &f32| (value + generator.random_range(-epsilon..=epsilon)).clamp(-1.0, 1.0);
        image.iter().map(moved).collect()
    }

    /// For each of the first images the largest `‖map′ − map‖ / ‖map‖`, where `map′` explains the same target of a noisy copy.
    ///
    /// A map of zeros that does not stay one counts as changed by 1.
    ///
    /// # Errors
    /// If a setting cannot be used, images, question and maps do not fit each other, or the explainer fails.
    pub fn maps(
        &self,
        model: &BoxModel,
        explainer: &dyn Explainer,
        images: &Tensor<4>,
        question: &Question,
        maps: &[Vec<f32>],
    ) -> Result<Vec<f64>> {
        self.check()?;
        let images = HostImages::new(model, images)?;
        check_maps(&images, question, maps)?;
        let count = self.images.min(images.count);
        let ImageShape {
            channels,
            height,
            width,
        } = images.shape;
        // All copies in one go, so that those of all images with the same target are explained together.
        let copies = count * self.draws;
        let mut noisy = Vec::with_capacity(copies * images.shape.values());
        let mut targets = Vec::with_capacity(copies);
        for draw in 0..self.draws {
            for (index, target) in question.targets.iter().take(count).enumerate() {
                noisy.extend(self.noisy(images.image(index), index, draw));
                targets.push(*target);
            }
        }
        let data = TensorData::new(noisy, [copies, channels, height, width]);
        let noisy = Tensor::from_data(data, &images.device);
        let moved = pixel_maps(model, explainer, &noisy, &targets)?;
        let mut worst = vec![0f64; count];
        for (copy, after) in moved.iter().enumerate() {
            let change = relative_change(&maps[copy % count], after);
            worst[copy % count] = worst[copy % count].max(change);
        }
        Ok(worst)
    }

    /// For each of the first images the largest `‖s′ − s‖ / ‖s‖`, with `s` its similarities to all prototypes.
    ///
    /// # Errors
    /// If a setting cannot be used, or the model has no prototypes or takes other images.
    pub fn similarities(&self, model: &BoxModel, images: &Tensor<4>) -> Result<Vec<f64>> {
        self.check()?;
        let model = model.valid();
        let images = HostImages::new(&model, images)?;
        let count = self.images.min(images.count);
        // Each image, then its noisy copies.
        let copies = self.draws + 1;
        let make = |row: usize| {
            let (index, draw) = (row / copies, row % copies);
            match draw.checked_sub(1) {
                None => images.image(index).to_vec(),
                Some(draw) => self.noisy(images.image(index), index, draw),
            }
        };
        let mut all = Vec::new();
        let mut width = 1;
        images.show(&model, count * copies, make, |_, prediction| {
            let (values, found) = similarities(&model, &prediction)?;
            all.extend(values);
            width = found;
            Ok(())
        })?;
        Ok(all
            .chunks_exact(copies * width)
            .map(|image| {
                let (before, after) = image.split_at(width);
                let changes = after
                    .chunks_exact(width)
                    .map(|row| relative_change(before, row));
                changes.fold(0.0, f64::max)
            })
            .collect())
    }
}

/// `‖after − before‖ / ‖before‖`.
fn relative_change(before: &[f32], after: &[f32]) -> f64 {
    let squares =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let size = squares(&mut before.iter().map(|value| f64::from(*value))).sqrt();
    let pairs = before.iter().zip(after);
    let change = squares(&mut pairs.map(|(a, b)| f64::from(*b) - f64::from(*a))).sqrt();
    match (size > 0.0, change > 0.0) {
        (true, _) => change / size,
        (false, true) => 1.0,
        (false, false) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_changes_by_hand() {
        assert_eq!(relative_change(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(relative_change(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(relative_change(&[0.0, 0.0], &[0.0, 5.0]), 1.0);
        assert_eq!(relative_change(&[0.0], &[0.0]), 0.0);
    }
}

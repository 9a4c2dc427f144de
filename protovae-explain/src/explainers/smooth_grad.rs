//! SmoothGrad (Smilkov et al. 2017).

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::random::{Purpose, normal_rows};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::gradients::{repeated, target_gradients};
use super::scores::Columns;

/// The width of the range `[-1, 1]` of pixels.
const RANGE: f64 = 2.0;

/// The gradient, averaged over noisy copies of the image. Tag `smooth-grad`.
///
/// The noise of a copy depends on the seed, the copy's number and the pixel's place alone: it is the same for every image, so
/// that an image's relevance depends neither on its batch nor, by leaps, on the last bit of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothGrad {
    /// Noisy copies of each image, 1 to 4096; default 16.
    pub samples: usize,
    /// Standard deviation of the normal noise as a share of the range of pixels, which is 2; default 0.15, at most 1.
    pub noise: f64,
    /// Whether the averaged gradient is multiplied with the image; default no, as published.
    pub times_input: bool,
    /// The seed of the noise; default 0.
    pub seed: u64,
}

impl Default for SmoothGrad {
    fn default() -> Self {
        Self {
            samples: 16,
            noise: 0.15,
            times_input: false,
            seed: 0,
        }
    }
}

#[typetag::serde(name = "smooth-grad")]
impl ExplainerConfig for SmoothGrad {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        if !(1..=4096).contains(&self.samples) {
            return Err(Error::config(
                "samples",
                format!("must lie between 1 and 4096, not {}", self.samples),
            ));
        }
        if !(0.0..=1.0).contains(&self.noise) {
            return Err(Error::config(
                "noise",
                format!("must lie between 0 and 1, not {}", self.noise),
            ));
        }
        Ok(Box::new(*self))
    }
}

impl Explainer for SmoothGrad {
    fn name(&self) -> &str {
        if self.times_input {
            "smooth grad × input"
        } else {
            "smooth grad"
        }
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let model = model.valid();
        let images = images.without_autodiff();
        let columns = Columns::new(&model, &images, targets)?;
        let [_, channels, height, width] = images.dims();
        let mut sum: Option<Tensor<4>> = None;
        for sample in 0..self.samples {
            let pixels = channels * height * width;
            let (number, device) = (sample as u64, images.device());
            let noise = normal_rows(self.seed, number, &[0], pixels, Purpose::Plugin, &device)
                .reshape([1, channels, height, width]);
            let noisy = images.clone() + noise * (self.noise * RANGE);
            let gradients = target_gradients(&model, &noisy, &columns)?;
            sum = Some(match sum {
                Some(sum) => sum + gradients,
                None => gradients,
            });
        }
        let sum = sum.ok_or_else(|| Error::config("samples", "must be at least 1"))?;
        let mut relevance = sum / self.samples as f64;
        if self.times_input {
            relevance = relevance * repeated(images, targets.len());
        }
        Ok(Explanation {
            relevance,
            targets: targets.to_vec(),
        })
    }
}

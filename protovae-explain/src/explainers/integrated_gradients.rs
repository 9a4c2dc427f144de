//! Integrated gradients (Sundararajan, Taly and Yan 2017).

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::gradients::{repeated, target_gradients};
use super::scores::Columns;

/// `(x − b) · ∫ ∂target/∂x (b + a·(x − b)) da` over `a` from 0 to 1, by the midpoint rule. Tag `integrated-gradients`.
///
/// The relevance of an image sums to the target's score at the image minus that at the baseline `b` (completeness), up to the
/// error of the sum over steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntegratedGradients {
    /// Points on the way, 1 to 4096; default 32.
    pub steps: usize,
    /// The value of every pixel of the baseline image, in `[-1, 1]`; default −1, black.
    pub baseline: f64,
}

impl Default for IntegratedGradients {
    fn default() -> Self {
        Self {
            steps: 32,
            baseline: -1.0,
        }
    }
}

#[typetag::serde(name = "integrated-gradients")]
impl ExplainerConfig for IntegratedGradients {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        if !(1..=4096).contains(&self.steps) {
            return Err(Error::config(
                "steps",
                format!("must lie between 1 and 4096, not {}", self.steps),
            ));
        }
        if !(-1.0..=1.0).contains(&self.baseline) {
            return Err(Error::config(
                "baseline",
                format!("must lie between -1 and 1, not {}", self.baseline),
            ));
        }
        Ok(Box::new(*self))
    }
}

impl Explainer for IntegratedGradients {
    fn name(&self) -> &str {
        "integrated gradients"
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
        let way = images - self.baseline;
        let mut sum: Option<Tensor<4>> = None;
        for step in 0..self.steps {
            let share = (step as f64 + 0.5) / self.steps as f64;
            let point = way.clone() * share + self.baseline;
            let gradients = target_gradients(&model, &point, &columns)?;
            sum = Some(match sum {
                Some(sum) => sum + gradients,
                None => gradients,
            });
        }
        let sum = sum.ok_or_else(|| Error::config("steps", "must be at least 1"))?;
        Ok(Explanation {
            relevance: sum / self.steps as f64 * repeated(way, targets.len()),
            targets: targets.to_vec(),
        })
    }
}

//! Gradient × input.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::Result;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use serde::{Deserialize, Serialize};

use super::gradients::{repeated, target_gradients};
use super::scores::Columns;

/// `x · ∂target/∂x`, the gradient taken through the model in evaluation mode. Tag `gradient-times-input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientTimesInput {}

#[typetag::serde(name = "gradient-times-input")]
impl ExplainerConfig for GradientTimesInput {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(*self))
    }
}

impl Explainer for GradientTimesInput {
    fn name(&self) -> &str {
        "gradient × input"
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
        let gradients = target_gradients(&model, &images, &columns)?;
        Ok(Explanation {
            relevance: gradients * repeated(images, targets.len()),
            targets: targets.to_vec(),
        })
    }
}

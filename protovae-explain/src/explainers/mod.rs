//! Explainers: gradient × input, and the random map that every explainer has to beat.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::random::{Purpose, stream};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// `x · ∂target/∂x`, the gradient taken through the model in evaluation mode. Tag `gradient-times-input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientTimesInput {}

/// Uniform noise in `[-1, 1]`, drawn from `seed` and the place in the batch. Tag `random`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomMap {
    /// The seed; default 0.
    #[serde(default)]
    pub seed: u64,
}

#[typetag::serde(name = "gradient-times-input")]
impl ExplainerConfig for GradientTimesInput {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(*self))
    }
}

#[typetag::serde(name = "random")]
impl ExplainerConfig for RandomMap {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(*self))
    }
}

/// The scores `[N]` of a target, from a prediction.
fn scores(model: &BoxModel, images: Tensor<4>, target: Target) -> Result<Tensor<1>> {
    let prediction = model.predict(images);
    let (all, index, what) = match target {
        Target::Class(class) => (Some(prediction.logits), class, "such class"),
        Target::Prototype(row) => (prediction.similarities, row, "such prototype"),
        _ => (None, 0, "such target"),
    };
    let unsupported = || Error::Unsupported {
        model: model.kind().to_string(),
        what,
    };
    let all = all.ok_or_else(unsupported)?;
    let [samples, width] = all.dims();
    if index >= width {
        return Err(unsupported());
    }
    Ok(all.slice([0..samples, index..index + 1]).flatten::<1>(0, 1))
}

/// `[N, C, H, W]` a target to `[N·T, C, H, W]`, image by image.
fn interleave(maps: Vec<Tensor<4>>) -> Tensor<4> {
    let targets = maps.len();
    let dims = maps.first().map_or([0; 4], Tensor::dims);
    let [samples, channels, height, width] = dims;
    Tensor::<4>::stack::<5>(maps, 1).reshape([samples * targets, channels, height, width])
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
        let mut maps = Vec::with_capacity(targets.len());
        for target in targets {
            let input = Tensor::from_inner(images.clone()).require_grad();
            let gradients = scores(&model, input.clone(), *target)?.sum().backward();
            let gradient = input.grad(&gradients).ok_or_else(|| Error::Unsupported {
                model: model.kind().to_string(),
                what: "gradient with respect to its input",
            })?;
            maps.push(gradient * images.clone());
        }
        finish(maps, targets)
    }
}

impl Explainer for RandomMap {
    fn name(&self) -> &str {
        "random"
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        use rand::RngExt;
        let [samples, channels, height, width] = images.dims();
        let mut maps = Vec::with_capacity(targets.len());
        for (number, target) in targets.iter().enumerate() {
            // The score is not used, but a target that does not exist must fail here as it does elsewhere.
            scores(model, images.clone(), *target)?;
            let mut generator = stream(self.seed, number as u64, 0, Purpose::Plugin);
            let values: Vec<f32> = (0..samples * channels * height * width)
                .map(|_| generator.random_range(-1.0..=1.0))
                .collect();
            maps.push(Tensor::from_data(
                TensorData::new(values, images.dims()),
                &images.device(),
            ));
        }
        finish(maps, targets)
    }
}

fn finish(maps: Vec<Tensor<4>>, targets: &[Target]) -> Result<Explanation> {
    if targets.is_empty() {
        return Err(Error::config(
            "targets",
            "at least one target must be named",
        ));
    }
    Ok(Explanation {
        relevance: interleave(maps),
        targets: targets.to_vec(),
    })
}

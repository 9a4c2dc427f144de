//! The explainers on a small real network.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{Explainer, ExplainerConfig, Target};
use protovae_core::random::Initializer;
use protovae_explain::pictures::{prototype_grid, reconstruction_grid};

fn model(recipe: &str) -> BoxModel {
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: ImageShape::new(1, 8, 8),
        classes: 3,
    };
    let mut init = Initializer::new(1, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap().valid()
}

fn protovae() -> BoxModel {
    model(
        r#"{"type": "protovae", "latent_dimensions": 4, "prototypes_per_class": 2,
            "encoder": {"type": "conv-pool", "widths": [4]},
            "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]},
            "head": {"type": "prototype"}}"#,
    )
}

fn images(count: usize) -> Tensor<4> {
    let device = Device::flex();
    device.seed(3);
    Tensor::random([count, 1, 8, 8], Distribution::Uniform(-1.0, 1.0), &device)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn gradient_times_input_agrees_with_finite_differences() {
    let model = protovae();
    let x = images(2);
    let targets = [Target::Prototype(4), Target::Class(1)];
    let explainer: Box<dyn ExplainerConfig> =
        serde_json::from_str(r#"{"type": "gradient-times-input"}"#).unwrap();
    let explainer: Box<dyn Explainer> = explainer.build().unwrap();
    let found = explainer.explain(&model, x.clone(), &targets).unwrap();
    assert_eq!(found.relevance.dims(), [4, 1, 8, 8]);
    let relevance = values(found.relevance);
    let score = |x: Tensor<4>, image: usize, target: usize| -> f64 {
        let prediction = model.predict(x);
        let (all, column) = match target {
            0 => (prediction.similarities.unwrap(), 4),
            _ => (prediction.logits, 1),
        };
        let [_, width] = all.dims();
        let all: Vec<f32> = all.into_data().iter::<f32>().collect();
        f64::from(all[image * width + column])
    };
    let base = values(x.clone());
    for (image, target, pixel) in [(0, 0, 27), (0, 1, 36), (1, 0, 20), (1, 1, 43)] {
        let moved = |step: f32| {
            let mut changed = base.clone();
            changed[image * 64 + pixel] += step;
            let data = burn::tensor::TensorData::new(changed, [2, 1, 8, 8]);
            Tensor::<4>::from_data(data, &Device::flex())
        };
        let step = 0.02;
        let slope = (score(moved(step), image, target) - score(moved(-step), image, target))
            / (2.0 * f64::from(step));
        let expected = slope * f64::from(base[image * 64 + pixel]);
        let got = f64::from(relevance[(image * 2 + target) * 64 + pixel]);
        assert!(
            (got - expected).abs() < 0.03 * expected.abs().max(0.01),
            "image {image}, target {target}: {got} against {expected}"
        );
    }
}

#[test]
fn the_random_map_repeats_for_a_seed_and_differs_between_targets() {
    let model = protovae();
    let explain = |seed: u64| {
        let recipe = format!(r#"{{"type": "random", "seed": {seed}}}"#);
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(&recipe).unwrap();
        let targets = [Target::Class(0), Target::Class(1)];
        let explainer = config.build().unwrap();
        values(
            explainer
                .explain(&model, images(1), &targets)
                .unwrap()
                .relevance,
        )
    };
    let first = explain(1);
    assert_eq!(first, explain(1));
    assert_ne!(first, explain(2));
    assert_ne!(first[..64], first[64..]);
}

#[test]
fn targets_that_do_not_exist_are_errors() {
    let model = protovae();
    for recipe in [
        r#"{"type": "random"}"#,
        r#"{"type": "gradient-times-input"}"#,
    ] {
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(recipe).unwrap();
        let explainer = config.build().unwrap();
        for targets in [vec![Target::Class(3)], vec![Target::Prototype(6)], vec![]] {
            assert!(explainer.explain(&model, images(1), &targets).is_err());
        }
    }
}

#[test]
fn pictures_of_a_model_and_what_a_black_box_cannot_show() {
    let model = protovae();
    let grid = prototype_grid(&model).unwrap();
    assert_eq!((grid.width(), grid.height()), (2 * 36 + 4, 3 * 36 + 4));
    let pairs = reconstruction_grid(&model, images(3), 2).unwrap();
    assert_eq!((pairs.width(), pairs.height()), (4 * 36 + 4, 2 * 36 + 4));
    let black_box = self::model(
        r#"{"type": "black-box", "latent_dimensions": 4,
            "encoder": {"type": "conv-pool", "widths": [4]}, "head": {"type": "linear"}}"#,
    );
    let message = prototype_grid(&black_box).unwrap_err().to_string();
    assert!(
        message.contains("black-box models have no prototypes"),
        "{message}"
    );
    assert!(reconstruction_grid(&black_box, images(1), 1).is_err());
}

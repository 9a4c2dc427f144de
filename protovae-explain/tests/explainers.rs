//! The explainers on a small real network.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{Explainer, ExplainerConfig, Target};
use protovae_core::random::Initializer;
use protovae_explain::explainers::{NAMES, known_names, named};
use protovae_explain::pictures::{prototype_grid, reconstruction_grid};
use protovae_explain::relevance::Composite;

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
    for name in NAMES {
        let explainer = named(name).unwrap();
        for targets in [vec![Target::Class(3)], vec![Target::Prototype(6)], vec![]] {
            assert!(explainer.explain(&model, images(1), &targets).is_err());
        }
    }
}

#[test]
fn every_explainer_keeps_the_promises_of_explainers() {
    let model = protovae();
    for name in NAMES {
        let explainer = named(name).unwrap();
        protovae_core::conformance::explainer(&*explainer, &model).unwrap();
    }
}

#[test]
fn names_are_those_of_the_composites_and_others_are_errors() {
    for composite in &Composite::NAMES[1..] {
        assert!(
            NAMES.contains(&format!("prp:{composite}").as_str()),
            "{composite}"
        );
    }
    for name in ["", "prp:", "prp:prp", "prp:magic", "magic", "Random"] {
        let message = named(name).unwrap_err().to_string();
        assert!(
            message.contains("`prp:z-plus`, `gradient-times-input`"),
            "{message}"
        );
    }
}

/// A third party's explainer, of which one needs a setting.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaled {
    by: f64,
}

#[typetag::serde(name = "a-plugin")]
impl ExplainerConfig for Scaled {
    fn build(&self) -> protovae_core::Result<Box<dyn Explainer>> {
        if self.by == 0.0 {
            return Err(protovae_core::Error::config("by", "must not be 0"));
        }
        named("occlusion")
    }
}

/// Another, which needs none.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Plain {}

#[typetag::serde(name = "b-plugin")]
impl ExplainerConfig for Plain {
    fn build(&self) -> protovae_core::Result<Box<dyn Explainer>> {
        named("random")
    }
}

#[test]
fn plugins_are_named_by_their_tags_and_every_explainer_by_its_recipe() {
    assert_eq!(named("b-plugin").unwrap().name(), "random");
    let names = known_names();
    let own = NAMES.len() - 1;
    assert_eq!(names[..own], NAMES[..own]);
    assert_eq!(
        names[own..],
        ["a-plugin", "b-plugin", "similarity-map", "random"]
    );
    for recipe in [
        r#"{"type": "a-plugin", "by": 2}"#,
        r#" {"by": 2, "type": "a-plugin"}"#,
    ] {
        assert_eq!(named(recipe).unwrap().name(), "occlusion");
    }
    let prp = named(r#"{"type": "prp", "composite": "z-plus"}"#).unwrap();
    assert_eq!(prp.name(), named("prp:z-plus").unwrap().name());
    for (wrong, words) in [
        (
            "a-plugin",
            vec!["`a-plugin` needs a recipe", "missing field `by`"],
        ),
        (
            r#"{"type": "a-plugin", "by": 0}"#,
            vec!["by: must not be 0"],
        ),
        (
            r#"{"type": "a-plugin", "of": 0}"#,
            vec!["unknown field `of`", "`by`"],
        ),
        (
            r#"{"type": "c-plugin"}"#,
            vec!["`c-plugin`", "`b-plugin`", "`prp`"],
        ),
        (r#"{"by": 2}"#, vec!["type"]),
        (r#"{"type": "#, vec!["EOF"]),
        ("c-plugin", vec!["`c-plugin`", "`b-plugin`", "`prp`"]),
    ] {
        let message = named(wrong).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{wrong}: {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_batch_is_explained_as_its_images_one_by_one() {
    let model = protovae();
    let targets = [Target::Prototype(1), Target::Class(2), Target::Prototype(5)];
    for name in NAMES {
        let explainer = named(name).unwrap();
        let explain = |images| {
            values(
                explainer
                    .explain(&model, images, &targets)
                    .unwrap()
                    .relevance,
            )
        };
        let batch = explain(images(3));
        let size = batch.iter().fold(0f32, |size, value| size.max(value.abs()));
        for image in 0..3 {
            let alone = explain(images(3).narrow(0, image, 1));
            for (a, b) in alone.iter().zip(&batch[image * 3 * 64..]) {
                assert!(
                    (a - b).abs() <= 1e-5 * size,
                    "{name}, image {image}: {a} and {b}"
                );
            }
        }
        // Each target's map is the same whatever else is asked for.
        let last = explainer.explain(&model, images(1), &targets[2..]).unwrap();
        for (a, b) in values(last.relevance).iter().zip(&batch[2 * 64..]) {
            assert!((a - b).abs() <= 1e-5 * size, "{name}: {a} and {b}");
        }
    }
}

/// Fresh weights are so small that scores hardly depend on the image; convolutions with larger ones change that.
struct Strong;

impl ModuleMapper for Strong {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let factor = if D == 4 { 40.0 } else { 1.0 };
        param.map(|value| value * factor)
    }
}

#[test]
fn integrated_gradients_sum_to_the_difference_to_the_baseline() {
    let model = protovae().map(&mut Strong);
    let targets = [Target::Prototype(0), Target::Prototype(3), Target::Class(1)];
    let scores = |images: Tensor<4>| -> Vec<f64> {
        let prediction = model.predict(images);
        let similarities: Vec<f64> = prediction
            .similarities
            .unwrap()
            .into_data()
            .iter::<f64>()
            .collect();
        let logits: Vec<f64> = prediction.logits.into_data().iter::<f64>().collect();
        let rows = similarities.chunks_exact(6).zip(logits.chunks_exact(3));
        rows.flat_map(|(s, l)| [s[0], s[3], l[1]]).collect()
    };
    // What is left is the error of the sum over steps at the kinks of ReLU and pooling; it goes away with their number.
    for (recipe, baseline, tolerance) in [
        (r#"{"type": "integrated-gradients"}"#, -1.0, 0.05),
        (
            r#"{"type": "integrated-gradients", "steps": 512}"#,
            -1.0,
            0.01,
        ),
        (
            r#"{"type": "integrated-gradients", "steps": 512, "baseline": 0.25}"#,
            0.25,
            0.01,
        ),
    ] {
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(recipe).unwrap();
        let found = config
            .build()
            .unwrap()
            .explain(&model, images(4), &targets)
            .unwrap();
        let sums = values(found.relevance);
        let sums: Vec<f64> = sums
            .chunks_exact(64)
            .map(|map| map.iter().map(|v| f64::from(*v)).sum())
            .collect();
        let empty = scores(images(4) * 0.0 + baseline);
        let whole = scores(images(4));
        let largest = whole
            .iter()
            .zip(&empty)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(largest > 0.01, "{largest}");
        for ((sum, whole), empty) in sums.iter().zip(&whole).zip(&empty) {
            assert!(
                (sum - (whole - empty)).abs() < tolerance * largest,
                "{sum} against {}",
                whole - empty
            );
        }
    }
}

#[test]
fn smooth_grad_without_noise_is_the_gradient_and_times_input_what_that_says() {
    let model = protovae();
    let explain = |recipe: &str| {
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(recipe).unwrap();
        let explainer = config.build().unwrap();
        values(
            explainer
                .explain(&model, images(2), &[Target::Prototype(2)])
                .unwrap()
                .relevance,
        )
    };
    let gradient = explain(r#"{"type": "smooth-grad", "samples": 2, "noise": 0.0}"#);
    let times =
        explain(r#"{"type": "smooth-grad", "samples": 1, "noise": 0.0, "times_input": true}"#);
    let known = explain(r#"{"type": "gradient-times-input"}"#);
    let pixels = values(images(2));
    for (((gradient, times), known), pixel) in gradient.iter().zip(&times).zip(&known).zip(&pixels)
    {
        assert!((times - known).abs() < 1e-6 && (gradient * pixel - known).abs() < 1e-6);
    }
    let noisy = explain(r#"{"type": "smooth-grad"}"#);
    assert_ne!(noisy, gradient);
    assert_ne!(noisy, explain(r#"{"type": "smooth-grad", "seed": 1}"#));
}

#[test]
fn occlusion_is_the_mean_drop_over_the_windows_that_cover_a_pixel() {
    let model = protovae();
    let x = images(1);
    let config: Box<dyn ExplainerConfig> =
        serde_json::from_str(r#"{"type": "occlusion", "window": 5, "stride": 3, "fill": -0.5}"#)
            .unwrap();
    let found = config
        .build()
        .unwrap()
        .explain(&model, x.clone(), &[Target::Class(0)])
        .unwrap();
    let found = values(found.relevance);
    let score = |x: Tensor<4>| -> f32 {
        model
            .predict(x)
            .logits
            .into_data()
            .iter::<f32>()
            .next()
            .unwrap()
    };
    // Windows begin at 0 and 3 on either side; pixel (1, 6) is in the two of columns 3 to 7 that begin in row 0, hence in one.
    let drop = |top: usize, left: usize| {
        let covered = x
            .clone()
            .slice_fill([0..1, 0..1, top..top + 5, left..left + 5], -0.5);
        score(x.clone()) - score(covered)
    };
    let close = |a: f32, b: f32| (a - b).abs() < 1e-5;
    assert!(close(found[8 + 6], drop(0, 3)));
    assert!(close(found[0], drop(0, 0)));
    assert!(close(
        found[4 * 8 + 3],
        (drop(0, 0) + drop(0, 3) + drop(3, 0) + drop(3, 3)) / 4.0
    ));
}

#[test]
fn settings_that_cannot_be_used_are_errors() {
    for recipe in [
        r#"{"type": "integrated-gradients", "steps": 0}"#,
        r#"{"type": "integrated-gradients", "baseline": 3}"#,
        r#"{"type": "smooth-grad", "samples": 0}"#,
        r#"{"type": "smooth-grad", "noise": -1}"#,
        r#"{"type": "occlusion", "window": 0}"#,
        r#"{"type": "occlusion", "stride": 5}"#,
        r#"{"type": "occlusion", "fill": 2}"#,
    ] {
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(recipe).unwrap();
        assert!(config.build().is_err(), "{recipe}");
    }
    let unknown =
        serde_json::from_str::<Box<dyn ExplainerConfig>>(r#"{"type": "occlusion", "size": 1}"#);
    assert!(unknown.is_err());
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

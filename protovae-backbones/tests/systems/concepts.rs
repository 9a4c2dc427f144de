//! SENN and FLINT: their promises, and every loss term and gradient against PyTorch (`../golden/concept_systems.py`).

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::systems::flint::Flint;
use protovae_backbones::systems::senn::Senn;
use protovae_core::model::{BoxModel, Mode, ModelConfig, ModelSpec};
use protovae_core::random::{Initializer, Purpose, normal_rows};
use protovae_core::train::{Batch, HostBatch};
use protovae_core::{ImageShape, conformance};
use serde::Deserialize;
use serde_json::{Value, json};

use common::{flat, gradients, is_statistic, noise, values, with_values};

const SPEC: ModelSpec = ModelSpec {
    image: ImageShape::new(1, 8, 8),
    classes: 3,
};
const LABELS: [usize; 3] = [0, 2, 1];

#[derive(Deserialize)]
struct Golden {
    parameters: BTreeMap<String, Vec<f32>>,
    images: Vec<f32>,
    #[serde(default)]
    directions: Vec<f32>,
    training: Terms,
    along: Option<Figure>,
    exact: Option<Figure>,
    evaluation: Value,
}

#[derive(Deserialize)]
struct Terms {
    terms: BTreeMap<String, Vec<f32>>,
    gradients: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
}

#[derive(Deserialize)]
struct Figure {
    values: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
}

impl Golden {
    fn load(name: &str) -> Self {
        let mut cases: BTreeMap<String, Self> =
            serde_json::from_str(include_str!("../golden/concept_systems.json")).unwrap();
        cases.remove(name).unwrap()
    }

    fn images(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.images.clone(), [3, 1, 8, 8]), device)
    }

    fn batch(&self, epoch: u64, device: &Device) -> Batch {
        let host = HostBatch {
            images: self.images.clone(),
            labels: LABELS.to_vec(),
            indices: vec![5, 6, 7],
            shape: SPEC.image,
        };
        Batch::new(host, SPEC.image, SPEC.classes, 1, epoch, device).unwrap()
    }
}

fn senn_recipe() -> Value {
    json!({
        "type": "senn", "concepts": 4, "latent_dimensions": 3,
        "encoder": {"type": "conv-pool", "widths": [2, 3]},
        "decoder": {"type": "conv-transpose", "start": [2, 4, 4], "stages": [{"transpose": 2}]},
    })
}

fn flint_recipe() -> Value {
    json!({
        "type": "flint", "attributes": 5, "latent_dimensions": 3, "stage_channels": 2,
        "encoder": {"type": "conv-pool", "widths": [2, 3]},
        "decoder": {"type": "conv-transpose", "start": [2, 4, 4], "stages": [{"transpose": 2}]},
    })
}

fn with(mut recipe: Value, key: &str, value: Value) -> Value {
    recipe[key] = value;
    recipe
}

fn built(recipe: &Value, device: &Device) -> BoxModel {
    let config: Box<dyn ModelConfig> = serde_json::from_value(recipe.clone()).unwrap();
    config
        .build(&SPEC, &mut Initializer::new(3, device))
        .unwrap()
}

/// A model with the golden parameters, for training.
fn golden_model(recipe: &Value, golden: &Golden) -> BoxModel {
    with_values(
        built(recipe, &Device::flex().autodiff()),
        &golden.parameters,
    )
}

/// Switches batch normalisation to its running statistics, with gradients all the same.
struct Evaluating;

impl ModuleMapper for Evaluating {
    fn map_flag(&mut self, _: Param<Flag>) -> Param<Flag> {
        Param::from_bool(false)
    }
}

#[track_caller]
fn assert_near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(
            (ours - theirs).abs() <= tolerance * largest.max(1e-6),
            "{what}: {ours} instead of {theirs}"
        );
    }
}

/// Gradients agree; where PyTorch has none, ours vanish or are none. `tolerance` is relative to the largest of all gradients.
#[track_caller]
fn assert_gradients(
    what: &str,
    ours: &BTreeMap<String, Vec<f32>>,
    theirs: &BTreeMap<String, Vec<f32>>,
    tolerance: f32,
) {
    let largest = theirs
        .values()
        .flatten()
        .fold(0f32, |most, value| most.max(value.abs()));
    assert!(largest > 0.0, "{what}");
    for path in theirs.keys() {
        assert!(ours.contains_key(path), "{what}: no gradient at {path}");
    }
    for (path, ours) in ours {
        let none = vec![0.0; ours.len()];
        for (ours, theirs) in ours.iter().zip(theirs.get(path).unwrap_or(&none)) {
            assert!(
                (ours - theirs).abs() <= tolerance * largest,
                "{what}, {path}: {ours} instead of {theirs}"
            );
        }
    }
}

/// Each term, ours and theirs by name, and its gradient; a graph gives one gradient, so there is a forward pass for each.
fn assert_terms(model: &BoxModel, golden: &Golden, names: &[(&str, &str)]) {
    for (ours, theirs) in names {
        let batch = golden.batch(0, &Device::flex().autodiff());
        let output = model.losses(&batch, Mode::Training);
        let golden = &golden.training;
        let term = output
            .terms
            .iter()
            .find(|term| term.name == *ours)
            .unwrap_or_else(|| panic!("no term {ours}"));
        assert_near(ours, &flat(&term.value), &golden.terms[*theirs], 2e-5);
        if let Some(expected) = golden.gradients.get(*theirs) {
            let found = gradients(model, &term.value.clone().backward());
            assert_gradients(ours, &found, expected, 2e-5);
        }
    }
}

#[test]
fn the_promises_hold() {
    for recipe in [
        senn_recipe(),
        with(
            senn_recipe(),
            "encoder",
            json!({"type": "conv-stride", "widths": [3]}),
        ),
        with(senn_recipe(), "robustness", json!({"directions": 3})),
        with(senn_recipe(), "weights", json!({"robustness": 0.0})),
        flint_recipe(),
        with(flint_recipe(), "answer", json!("predictor")),
        with(flint_recipe(), "output_fidelity", json!("log-interpreter")),
        with(flint_recipe(), "stages", json!(1)),
    ] {
        let config: Box<dyn ModelConfig> = serde_json::from_value(recipe.clone()).unwrap();
        if let Err(error) = conformance::model(&*config, &SPEC) {
            panic!("{recipe}: {error}");
        }
    }
}

#[test]
fn they_stand_on_resnet18_and_take_colour() {
    let spec = ModelSpec {
        image: ImageShape::new(3, 16, 16),
        classes: 2,
    };
    for recipe in [senn_recipe(), flint_recipe()] {
        let mut recipe = with(recipe, "encoder", json!({"type": "resnet18"}));
        recipe["decoder"]["start"] = json!([2, 8, 8]);
        let config: Box<dyn ModelConfig> = serde_json::from_value(recipe).unwrap();
        let device = Device::flex();
        let model = config
            .build(&spec, &mut Initializer::new(3, &device))
            .unwrap();
        let images = noise([2, 3, 16, 16], 4, &device);
        assert_eq!(model.predict(images.clone()).logits.dims(), [2, 2]);
        let latents = model.predict(images).latents.unwrap();
        assert_eq!(model.decode(latents).unwrap().dims(), [2, 3, 16, 16]);
    }
}

#[test]
fn every_trained_parameter_is_used() {
    for recipe in [senn_recipe(), flint_recipe()] {
        let device = Device::flex().autodiff();
        let model = built(&recipe, &device);
        let golden = Golden::load(recipe["type"].as_str().unwrap());
        // After the last term is switched on.
        let output = model.losses(&golden.batch(9, &device), Mode::Training);
        let found = gradients(&model, &output.total().backward());
        for path in values(&model).keys().filter(|path| !is_statistic(path)) {
            let gradient = found.get(path).unwrap_or_else(|| panic!("none at {path}"));
            assert!(gradient.iter().any(|value| *value != 0.0), "{path}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (recipe, key, value, word) in [
        (senn_recipe(), "concepts", json!(0), "model.concepts"),
        (
            senn_recipe(),
            "weights",
            json!({"sparsity": -1.0}),
            "model.weights.sparsity",
        ),
        (
            senn_recipe(),
            "weights",
            json!({"prediction": 0.0}),
            "model.weights.prediction",
        ),
        (
            senn_recipe(),
            "robustness",
            json!({"directions": 0}),
            "directions",
        ),
        (senn_recipe(), "robustness", json!({"step": 0.0}), "step"),
        (flint_recipe(), "stages", json!(3), "the encoder has 2"),
        (flint_recipe(), "stages", json!(0), "model.stages"),
        (
            flint_recipe(),
            "latent_dimensions",
            json!(100_000),
            "model.latent_dimensions",
        ),
        (
            flint_recipe(),
            "weights",
            json!({"conciseness": -0.1}),
            "model.weights.conciseness",
        ),
    ] {
        let config: Box<dyn ModelConfig> =
            serde_json::from_value(with(recipe, key, value)).unwrap();
        let error = config
            .build(&SPEC, &mut Initializer::new(3, &Device::flex()))
            .unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let unknown: Result<Box<dyn ModelConfig>, _> =
        serde_json::from_value(with(senn_recipe(), "concept", json!(3)));
    assert!(unknown.unwrap_err().to_string().contains("`concept`"));
}

/// The logits are the sums of the contributions and, for FLINT, the interpreter's bias.
#[test]
fn contributions_add_up_to_the_logits() {
    for name in ["senn", "flint"] {
        let golden = Golden::load(name);
        let recipe = match name {
            "senn" => senn_recipe(),
            _ => flint_recipe(),
        };
        let model = golden_model(&recipe, &golden).valid();
        let images = golden.images(&Device::flex());
        let concepts = model.concepts(images.clone()).unwrap();
        let sums = flat(&concepts.contributions().sum_dim(2));
        let bias = golden
            .parameters
            .get("interpreter.bias")
            .cloned()
            .unwrap_or(vec![0.0; 3]);
        let logits = flat(&model.predict(images).logits);
        for (row, logit) in logits.iter().enumerate() {
            let sum = sums[row] + bias[row % 3];
            assert!((logit - sum).abs() < 1e-5, "{name}: {sum}, not {logit}");
        }
    }
    let silent = with(flint_recipe(), "answer", json!("predictor"));
    let golden = Golden::load("flint");
    let model = golden_model(&silent, &golden).valid();
    assert!(model.concepts(golden.images(&Device::flex())).is_none());
}

#[test]
fn senn_computes_what_pytorch_does() {
    let golden = Golden::load("senn");
    let recipe = with(senn_recipe(), "weights", json!({"robustness": 0.0}));
    let device = Device::flex().autodiff();
    let model = golden_model(&recipe, &golden);
    let output = model.losses(&golden.batch(0, &device), Mode::Training);
    let names = ["prediction", "reconstruction", "sparsity"];
    assert_eq!(
        output
            .terms
            .iter()
            .map(|term| term.name)
            .collect::<Vec<_>>(),
        names
    );
    assert_terms(&model, &golden, &names.map(|n| (n, n)));

    let model = golden_model(&recipe, &golden).valid();
    let logits = model.predict(golden.images(&Device::flex())).logits;
    let expected: Vec<f32> = serde_json::from_value(golden.evaluation).unwrap();
    assert_near("evaluation", &flat(&logits), &expected, 1e-5);
}

/// With the directions of the axes the sum of the squared changes is the squared norm of the publication's penalty, by its
/// definition; the gradient is that of PyTorch's double backward.
#[test]
fn the_robustness_penalty_is_the_exact_norm_along_all_axes() {
    let golden = Golden::load("senn");
    let exact = golden.exact.as_ref().unwrap();
    let device = Device::flex().autodiff();
    // Small enough that no ReLU switches between the two displaced images.
    let recipe = with(senn_recipe(), "robustness", json!({"step": 0.001}));
    let model = golden_model(&recipe, &golden).map(&mut Evaluating);
    let senn: &Senn = model.downcast_ref().unwrap();
    let axes: Vec<Tensor<4>> = (0..64)
        .map(|pixel| {
            let axis = |index: usize| f32::from(u8::from(index % 64 == pixel));
            let values: Vec<f32> = (0..3 * 64).map(axis).collect();
            Tensor::from_data(TensorData::new(values, [3, 1, 8, 8]), &device)
        })
        .collect();
    let found = senn.squared_changes(golden.images(&device), &axes);
    assert_near("squared norms", &flat(&found), &exact.values, 1e-3);
    let found = gradients(&model, &found.sum().backward());
    assert_gradients("squared norms", &found, &exact.gradients, 2e-3);
}

#[test]
fn the_penalty_in_training_is_pytorchs_difference() {
    let golden = Golden::load("senn");
    let along = golden.along.as_ref().unwrap();
    let device = Device::flex().autodiff();
    let model = golden_model(&senn_recipe(), &golden);
    let senn: &Senn = model.downcast_ref().unwrap();
    let directions: Vec<Tensor<4>> = golden
        .directions
        .chunks_exact(3 * 64)
        .map(|values| Tensor::from_data(TensorData::new(values.to_vec(), [3, 1, 8, 8]), &device))
        .collect();
    let found = senn.squared_changes(golden.images(&device), &directions);
    assert_near("squared changes", &flat(&found), &along.values, 1e-3);
    let found = gradients(&model, &found.sum().backward());
    assert_gradients("squared changes", &found, &along.gradients, 2e-3);
}

/// The estimate is unbiased: over many directions its mean comes near the exact norm.
#[test]
fn random_directions_estimate_the_norm() {
    let golden = Golden::load("senn");
    let exact = golden.exact.as_ref().unwrap();
    let device = Device::flex();
    let model = golden_model(&senn_recipe(), &golden).valid();
    let senn: &Senn = model.downcast_ref().unwrap();
    let count = 2000;
    let directions: Vec<Tensor<4>> = (0..count)
        .map(|number| {
            let rows = normal_rows(number, 0, &[1, 2, 3], 64, Purpose::Plugin, &device);
            rows.reshape([3, 1, 8, 8])
        })
        .collect();
    let mut sums = [0f64; 3];
    for some in directions.chunks(100) {
        let found = flat(&senn.squared_changes(golden.images(&device), some));
        for (sum, value) in sums.iter_mut().zip(found) {
            *sum += f64::from(value);
        }
    }
    // The square of a normal deviate has a standard deviation of √2 times its mean: 3 % after 2,000, at most.
    for (sum, exact) in sums.iter().zip(&exact.values) {
        let mean = sum / count as f64;
        assert!(
            (mean / f64::from(*exact) - 1.0).abs() < 0.13,
            "{mean} for {exact}"
        );
    }
}

#[test]
fn the_running_statistics_move_once_a_step() {
    let golden = Golden::load("senn");
    let device = Device::flex().autodiff();
    let after = |directions: usize| {
        let recipe = with(
            senn_recipe(),
            "robustness",
            json!({"directions": directions}),
        );
        let model = golden_model(&recipe, &golden);
        let _ = model.losses(&golden.batch(0, &device), Mode::Training);
        values(&model)
    };
    let before = &golden.parameters;
    let (one, many) = (after(1), after(8));
    for (path, before) in before
        .iter()
        .filter(|(path, _)| path.contains("running_mean"))
    {
        for ((before, one), many) in before.iter().zip(&one[path]).zip(&many[path]) {
            // A tenth of the way to almost the same statistics.
            let (moved, more) = (one - before, many - before);
            assert!(
                (moved - more).abs() < 0.02 * moved.abs() + 1e-4,
                "{path}: {moved} and {more}"
            );
        }
    }
}

#[test]
fn flint_computes_what_pytorch_does() {
    let golden = Golden::load("flint");
    let names = [
        "prediction",
        "output_fidelity",
        "input_fidelity",
        "conciseness",
        "diversity",
        "sparsity",
        "predictor_error",
    ];
    for (setting, golden_name) in [
        ("log-predictor", "log-predictor"),
        ("log-interpreter", "log-interpreter"),
    ] {
        let recipe = with(flint_recipe(), "output_fidelity", json!(setting));
        let model = golden_model(&recipe, &golden);
        let pairs = names.map(|name| match name {
            "output_fidelity" => (name, golden_name),
            _ => (name, name),
        });
        assert_terms(&model, &golden, &pairs);
    }
    let recipe = with(flint_recipe(), "answer", json!("predictor"));
    let model = golden_model(&recipe, &golden);
    let name = "interpreter_error";
    assert_terms(&model, &golden, &[(name, name)]);

    let model = golden_model(&flint_recipe(), &golden).valid();
    let flint: &Flint = model.downcast_ref().unwrap();
    let output = flint.forward(golden.images(&Device::flex()));
    let expected =
        |key: &str| -> Vec<f32> { serde_json::from_value(golden.evaluation[key].clone()).unwrap() };
    assert_near("f", &flat(&output.predictor), &expected("predictor"), 1e-5);
    assert_near(
        "g",
        &flat(&output.interpreter),
        &expected("interpreter"),
        1e-5,
    );
    assert_near(
        "phi",
        &flat(&output.attributes),
        &expected("attributes"),
        1e-5,
    );
}

#[test]
fn flints_terms_are_switched_on_by_epoch() {
    let recipe = with(
        flint_recipe(),
        "schedule",
        json!({"fidelity_after": 2, "conciseness_after": 5}),
    );
    let recipe = with(
        recipe,
        "weights",
        json!({"prediction": 3.0, "output_fidelity": 0.5, "input_fidelity": 0.25, "conciseness": 0.75, "sparsity": 2.0}),
    );
    let golden = Golden::load("flint");
    let device = Device::flex().autodiff();
    let model = built(&recipe, &device);
    let weights = |epoch, mode| -> Vec<f64> {
        let output = model.losses(&golden.batch(epoch, &device), mode);
        output.terms.iter().map(|term| term.weight).collect()
    };
    let all = [3.0, 0.5, 0.25, 0.75, 0.75, 1.5, 0.0];
    for (epoch, on) in [(0, 1), (1, 1), (2, 3), (4, 3), (5, 6), (99, 6)] {
        let mut expected = all.to_vec();
        expected[on..].fill(0.0);
        assert_eq!(weights(epoch, Mode::Training), expected, "epoch {epoch}");
    }
    assert_eq!(weights(0, Mode::Evaluation), all);
}

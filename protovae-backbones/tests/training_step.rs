//! A whole training step of every network, by the kernels and by burn's own operations.
//!
//! On a device with gradient checkpointing tensors are of another type than the kernels know, so that every layer takes the
//! stock operations: the same model there and on a plain autodiff device must agree in the losses, the logits, the gradient
//! of every parameter and the running statistics.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::{Autodiff, Flex};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use protovae_backbones::kernels::{self, stock};
use protovae_backbones::networks::Network;
use protovae_core::model::{BoxModel, Mode, ModelConfig, ModelSpec, StepOutput};
use protovae_core::random::Initializer;
use protovae_core::train::{Batch, HostBatch};
use serde_json::json;

use common::{flat, gradients, is_statistic, noise, values, with_values};

const CLASSES: usize = 10;

fn by_kernels() -> Device {
    Device::flex().autodiff()
}

fn by_stock() -> Device {
    Device::flex().autodiff().gradient_checkpointing()
}

/// The network's ProtoVAE, its losses those of the released code, in which nothing is random.
fn model(network: Network, device: &Device) -> BoxModel {
    let recipe = json!({
        "type": "protovae",
        "latent_dimensions": network.latent_dimensions(),
        "prototypes_per_class": network.prototypes_per_class(),
        "encoder": network.encoder(),
        "decoder": network.decoder(),
        "head": {"type": "prototype"},
        "loss": {"convention": "reference2022"},
    });
    let recipe: Box<dyn ModelConfig> = serde_json::from_value(recipe).unwrap();
    let spec = ModelSpec {
        image: network.image(),
        classes: CLASSES,
    };
    recipe
        .build(&spec, &mut Initializer::new(7, device))
        .unwrap()
}

/// Five images, the same on every device: waves of a direction and length of their own under noise. Noise alone looks alike
/// to an encoder, and a normalisation over samples that are alike is mostly rounding.
fn batch(network: Network, device: &Device) -> Batch {
    let image = network.image();
    let labels = vec![3, 0, 9, 3, 5];
    let shape = [labels.len(), image.channels, image.height, image.width];
    let mut images = flat(&noise(shape, 17, &Device::flex()));
    for (place, value) in images.iter_mut().enumerate() {
        let sample = (place / image.values()) as f32;
        let column = (place % image.width) as f32;
        let row = (place / image.width % image.height) as f32;
        let wave = (row * (0.2 + 0.1 * sample) + column * (0.5 - 0.15 * sample) + sample).sin();
        *value = 0.25 * *value + 0.75 * wave;
    }
    let host = HostBatch {
        images,
        indices: (0..labels.len() as u64).collect(),
        labels,
        shape: image,
    };
    Batch::new(host, image, CLASSES, 7, 0, device).unwrap()
}

/// The same model with biases that keep almost everything that a ReLU gets away from zero: three channels of four far
/// above, the others far below. Near zero, rounding decides whether a gradient passes, and one that does in a channel with
/// hardly any other changes the whole channel: with the fresh weights as they are, `f32` and `f64` differ by several
/// percent in single entries, whoever computes.
fn with_wide_margins(model: BoxModel) -> BoxModel {
    let mut values = values(&model);
    // The units before are large, and latents should not be.
    for value in values.get_mut("encoder.tail.posterior.weight").unwrap() {
        *value *= 0.1;
    }
    let biases: Vec<String> = values
        .keys()
        .filter(|path| path.ends_with(".bias"))
        // No ReLU follows these.
        .filter(|path| !path.ends_with("posterior.bias") && !path.ends_with("output.bias"))
        .cloned()
        .collect();
    assert!(biases.len() >= 7);
    for path in biases {
        let weight = &values[&path.replace(".bias", ".weight")];
        let squares: f32 = weight.iter().map(|value| value * value).sum();
        let bias = values.get_mut(&path).unwrap();
        // Of the sums if the inputs had deviation 1; latents, which no normalisation precedes, may have
        // another.
        let deviation = (squares / bias.len() as f32).sqrt();
        let factor = if path.contains("start.") { 10.0 } else { 5.0 };
        for (channel, bias) in bias.iter_mut().enumerate() {
            let sign = if channel % 4 == 3 { -1.0 } else { 1.0 };
            *bias = sign * factor * deviation;
        }
    }
    with_values(model, &values)
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Each within a thousandth of the largest value.
fn close(found: &[f32], expected: &[f32], what: &str) {
    within(1e-3 * largest(expected), found, expected, what);
}

fn within(tolerance: f32, found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "{what}, value {place}: {found} against {expected}, not within {tolerance}"
        );
    }
}

fn all_close(
    found: &BTreeMap<String, Vec<f32>>,
    expected: &BTreeMap<String, Vec<f32>>,
    what: &str,
) {
    let names = |values: &BTreeMap<String, Vec<f32>>| values.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (path, found) in found {
        close(found, &expected[path], &format!("{what} at {path}"));
    }
}

/// Each within a hundredth of the parameter's largest gradient, because rounding errors grow from layer to layer: every
/// normalisation takes out a mean several times the deviation. Where a ReLU lets all of a channel through, the normalisation
/// after it takes out the bias, too, whose gradient then is nothing but rounding: errors in that of a bias count by the
/// gradient of its weight.
fn gradients_close(
    found: &BTreeMap<String, Vec<f32>>,
    expected: &BTreeMap<String, Vec<f32>>,
    what: &str,
) {
    assert_eq!(found.len(), expected.len());
    for (path, found) in found {
        let expected_here = &expected[path];
        let weight = expected.get(&path.replace(".bias", ".weight"));
        let scale = largest(expected_here).max(weight.map_or(0.0, |weight| largest(weight)));
        assert!(scale > 0.0, "{what} at {path} is zero");
        within(
            1e-2 * scale,
            found,
            expected_here,
            &format!("{what} at {path}"),
        );
    }
}

fn outputs_close(found: &StepOutput, expected: &StepOutput, what: &str) {
    assert_eq!(found.terms.len(), 4, "{what}");
    assert_eq!(expected.terms.len(), 4, "{what}");
    for (found, expected) in found.terms.iter().zip(&expected.terms) {
        assert_eq!(found.name, expected.name);
        assert_eq!(found.weight, expected.weight);
        let value = flat(&expected.value);
        assert!(value[0].is_finite() && value[0] > 0.0, "{value:?}");
        close(
            &flat(&found.value),
            &value,
            &format!("{what}: {}", found.name),
        );
    }
    close(
        &flat(&found.logits),
        &flat(&expected.logits),
        &format!("{what}: logits"),
    );
    let similarities = |output: &StepOutput| flat(output.similarities.as_ref().unwrap());
    close(
        &similarities(found),
        &similarities(expected),
        &format!("{what}: similarities"),
    );
}

fn statistics(model: &BoxModel) -> BTreeMap<String, Vec<f32>> {
    let mut found = values(model);
    found.retain(|path, _| is_statistic(path));
    found
}

#[test]
fn gradient_checkpointing_takes_the_stock_operations() {
    let tensors = |device: &Device| {
        (
            noise::<4>([19, 20, 9, 9], 1, device),
            noise::<4>([24, 20, 3, 3], 2, device),
            noise::<1>([24], 3, device),
        )
    };
    let (input, weight, bias) = tensors(&by_stock());
    assert!(input.device().is_autodiff());
    assert!(
        input
            .clone()
            .try_into_primitive::<Autodiff<Flex, NoCheckpointing>>()
            .is_err()
    );
    let checkpointed = flat(&kernels::conv2d(input, weight, bias, 1, 1));
    let (input, weight, bias) = tensors(&by_kernels());
    assert!(
        input
            .clone()
            .try_into_primitive::<Autodiff<Flex, NoCheckpointing>>()
            .is_ok()
    );
    let (x, w, b) = (input.clone(), weight.clone(), bias.clone());
    assert_eq!(checkpointed, flat(&stock::conv2d(x, w, b, 1, 1)));
    // Some of so many sums come out otherwise if they are added up in another order.
    assert_ne!(
        checkpointed,
        flat(&kernels::conv2d(input, weight, bias, 1, 1))
    );
}

/// A step of the same model by both.
struct Step {
    ours: BoxModel,
    stock: BoxModel,
    /// Gradients of the total loss by the paths of the parameters.
    gradients: [BTreeMap<String, Vec<f32>>; 2],
}

/// Everything but the gradients agrees.
fn step(network: Network, prepare: fn(BoxModel) -> BoxModel) -> Step {
    let ours = prepare(model(network, &by_kernels()));
    let stock = prepare(model(network, &by_stock()));
    assert_eq!(values(&ours), values(&stock));
    let before = statistics(&ours);

    let found = ours.losses(&batch(network, &by_kernels()), Mode::Training);
    let expected = stock.losses(&batch(network, &by_stock()), Mode::Training);
    outputs_close(&found, &expected, &format!("{network}"));
    let gradients = [
        gradients(&ours, &found.total().backward()),
        gradients(&stock, &expected.total().backward()),
    ];
    for path in values(&ours).keys() {
        let is_trained = !is_statistic(path);
        for gradients in &gradients {
            assert_eq!(
                gradients.contains_key(path),
                is_trained,
                "{network}: {path}"
            );
        }
    }

    let (found, expected) = (statistics(&ours), statistics(&stock));
    for (path, values) in &found {
        assert_ne!(values, &before[path], "{network}: {path} did not follow");
    }
    all_close(&found, &expected, &format!("{network}"));
    Step {
        ours,
        stock,
        gradients,
    }
}

fn check(network: Network) {
    let Step {
        ours,
        stock,
        gradients: [found, expected],
    } = step(network, with_wide_margins);
    gradients_close(&found, &expected, &format!("{network}: gradient"));
    check_evaluation(network, &ours, &stock);

    // As it is trained, within what a few activations near zero may change: see `with_wide_margins`.
    let Step {
        gradients: [found, expected],
        ..
    } = step(network, |model| model);
    let squares = |values: &mut dyn Iterator<Item = f32>| -> f32 { values.map(|v| v * v).sum() };
    for (path, found) in &found {
        let expected = &expected[path];
        let mut differences = found.iter().zip(expected).map(|(a, b)| a - b);
        let share = squares(&mut differences) / squares(&mut expected.iter().copied());
        assert!(
            share.sqrt() < 0.3,
            "{network}: gradient at {path} differs by {} of itself",
            share.sqrt()
        );
    }
}

/// With the statistics of the step.
fn check_evaluation(network: Network, ours: &BoxModel, stock: &BoxModel) {
    // Without autodiff both are by the kernels.
    let valid = ours.valid();
    let before = values(&valid);
    let plain = batch(network, &Device::flex());
    let found = valid.losses(&plain, Mode::Evaluation);
    assert!(!found.logits.device().is_autodiff());
    let what = format!("{network} in evaluation");
    let other = stock.valid().losses(&plain, Mode::Evaluation);
    outputs_close(&found, &other, &what);
    // Images with gradient checkpointing take the stock operations through the same parameters.
    let other = valid.losses(&batch(network, &by_stock()), Mode::Evaluation);
    outputs_close(&found, &other, &format!("{what}, by stock"));
    let predicted = valid.predict(plain.images).logits;
    assert_eq!(flat(&predicted), flat(&found.logits), "{what}");
    let latents: Tensor<2> = noise([3, network.latent_dimensions()], 5, &Device::flex());
    let decoded = valid.decode(latents.clone()).unwrap();
    let latents = Tensor::from_data(latents.into_data(), &by_stock());
    let other = valid.decode(latents).unwrap();
    close(&flat(&decoded), &flat(&other), &format!("{what}: decoded"));
    assert_eq!(values(&valid), before, "{what}: something changed");

    // Frozen, the parameters stay where gradients flow: to the images, through running statistics.
    let gradient = |model: &BoxModel, device: &Device| {
        let mut batch = batch(network, device);
        let images = batch.images.clone().require_grad();
        batch.images = images.clone();
        let output = model.clone().freeze().losses(&batch, Mode::Evaluation);
        let gradients = output.total().backward();
        (output, flat(&images.grad(&gradients).unwrap()))
    };
    let (tracked, of_kernels) = gradient(ours, &by_kernels());
    let (other, of_stock) = gradient(stock, &by_stock());
    outputs_close(&tracked, &other, &format!("{what}, frozen"));
    outputs_close(&tracked, &found, &format!("{what}, frozen or not"));
    let what = format!("{what}: gradient of the images");
    close(&of_kernels, &of_stock, &what);
    assert_eq!(values(&ours.valid()), before, "{what}: something changed");
}

#[test]
fn mnist() {
    check(Network::Mnist);
}

#[test]
fn fashion_mnist() {
    check(Network::FashionMnist);
}

#[test]
fn quickdraw() {
    check(Network::QuickDraw);
}

#[test]
fn cifar10() {
    check(Network::Cifar10);
}

#[test]
fn svhn() {
    check(Network::Svhn);
}

/// None is forgotten above.
#[test]
fn these_are_all_networks() {
    use Network::{Cifar10, FashionMnist, Mnist, QuickDraw, Svhn};
    assert_eq!(
        Network::SMALL,
        [Mnist, FashionMnist, QuickDraw, Cifar10, Svhn]
    );
}

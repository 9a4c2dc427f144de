//! The ResNet-18 encoder: what it promises, and that it is PyTorch's (`golden/resnet.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::encoders::{NormalizationMode, ResNet18Config};
use protovae_core::plugin::{BoxEncoder, EncoderConfig, EncoderSpec, LayerView, Posterior};
use protovae_core::random::Initializer;
use protovae_core::{ImageShape, conformance};
use serde::Deserialize;

use common::{
    assert_every_gradient, distance, flat, gradients, is_statistic, loss, noise, trainable, values,
    with_values,
};

const TRAINED: ResNet18Config = ResNet18Config {
    normalization: NormalizationMode::Trained,
};
const FROZEN: ResNet18Config = ResNet18Config {
    normalization: NormalizationMode::Frozen,
};

fn encoder(config: ResNet18Config, image: ImageShape, latent_dimensions: usize) -> BoxEncoder {
    let spec = EncoderSpec {
        image,
        latent_dimensions,
    };
    let mut init = Initializer::new(3, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap()
}

fn images(samples: usize, image: ImageShape, device: &Device) -> Tensor<4> {
    let ImageShape {
        channels,
        height,
        width,
    } = image;
    noise([samples, channels, height, width], 3, device)
}

fn encode(encoder: &BoxEncoder, images: Tensor<4>) -> Tensor<2> {
    let Posterior { mean, log_variance } = encoder.encode(images);
    Tensor::cat(vec![mean, log_variance], 1)
}

/// An encoder whose running statistics are not what they were at the start.
fn used(image: ImageShape) -> BoxEncoder {
    let encoder = encoder(TRAINED, image, 5);
    for _ in 0..3 {
        encoder.encode(images(4, image, &Device::flex().autodiff()));
    }
    encoder
}

#[test]
fn it_keeps_the_promises_of_encoders() {
    for (config, channels, height, width) in [
        (TRAINED, 1, 28, 28),
        (TRAINED, 3, 32, 32),
        (TRAINED, 3, 64, 64),
        (TRAINED, 1, 1, 1),
        (FROZEN, 3, 33, 47),
    ] {
        let spec = EncoderSpec {
            image: ImageShape::new(channels, height, width),
            latent_dimensions: 3,
        };
        conformance::encoder(&config, &spec).unwrap();
        conformance::features(&config, spec.image).unwrap();
    }
}

#[test]
fn replayed_layers_give_what_encode_gives() {
    for (channels, height, width) in [(1, 28, 28), (3, 32, 32), (3, 64, 50)] {
        let image = ImageShape::new(channels, height, width);
        let encoder = used(image);
        for encoder in [encoder.valid(), encoder] {
            let layers = encoder.layers().unwrap();
            let batch = images(3, image, &Device::flex());
            let replayed = LayerView::replay(&layers, batch.clone()).unwrap();
            assert!(!replayed.is_autodiff());
            let expected = encode(&encoder.valid(), batch);
            let largest = flat(&expected)
                .into_iter()
                .fold(0.0, |a: f32, b| a.max(b.abs()));
            let apart = distance(&replayed, &expected);
            assert!(apart < 1e-5 * largest, "{image}: {apart} of {largest}");
        }
    }
}

#[test]
fn the_layers_start_at_a_grey_image_as_it_is() {
    let encoder = encoder(TRAINED, ImageShape::new(1, 28, 28), 5).valid();
    let layers = encoder.layers().unwrap();
    let LayerView::Conv2d { weight, bias, .. } = &layers[0] else {
        panic!("{:?} is no convolution", layers[0]);
    };
    assert_eq!(weight.dims(), [64, 1, 7, 7]);
    assert!(bias.is_none());
    let residual = |view: &&LayerView| matches!(view, LayerView::Residual { .. });
    assert_eq!(layers.iter().filter(residual).count(), 8);
}

#[test]
fn a_grey_image_counts_as_three_equal_channels() {
    let grey = ImageShape::new(1, 30, 37);
    let of_grey = encoder(TRAINED, grey, 5);
    let of_colour = encoder(TRAINED, ImageShape::new(3, 30, 37), 5);
    assert_eq!(values(&of_grey), values(&of_colour));
    let device = Device::flex().autodiff();
    let batch = images(4, grey, &device);
    let one = encode(&of_grey, batch.clone());
    let other = encode(&of_colour, batch.repeat_dim(1, 3));
    assert!(distance(&one, &other) < 1e-4);
    let (one, other) = (loss(one).backward(), loss(other).backward());
    let (one, other) = (gradients(&of_grey, &one), gradients(&of_colour, &other));
    near("conv1", &one["conv1.weight"], &other["conv1.weight"], 1e-3);
}

#[test]
fn a_batch_gives_what_its_images_give_alone() {
    let image = ImageShape::new(3, 40, 33);
    let encoder = used(image).valid();
    let batch = images(19, image, &Device::flex());
    let together = encode(&encoder, batch.clone());
    for sample in [0, 7, 18] {
        let alone = encode(&encoder, batch.clone().narrow(0, sample, 1));
        let together = flat(&together.clone().narrow(0, sample, 1));
        near("alone", &flat(&alone), &together, 1e-5);
    }
}

#[test]
fn parameters_are_torchvisions() {
    let encoder = encoder(TRAINED, ImageShape::new(3, 32, 32), 256);
    // torchvision's resnet18 has 11,689,512, of which 513,000 are its classifier's.
    let tail = 512 * 512 + 512 + 512 * 512 + 512;
    assert_eq!(trainable(&encoder), 11_176_512 + tail);
    let values = values(&encoder);
    for name in [
        "conv1.weight",
        "bn1.gamma",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer1.1.bn2.beta",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_mean",
        "layer4.1.conv2.weight",
        "tail.hidden.weight",
    ] {
        assert!(values.contains_key(name), "{name}");
    }
    assert_eq!(values.len(), 20 + 5 * 20 - 20 + 4);
    assert!(
        !values
            .keys()
            .any(|name| name.starts_with("layer1.0.downsample"))
    );
    for (path, values) in &values {
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
        match path.rsplit('.').next().unwrap() {
            "gamma" | "running_var" => assert!(values.iter().all(|v| *v == 1.0), "{path}"),
            "beta" | "running_mean" | "bias" => assert!(values.iter().all(|v| *v == 0.0)),
            _ if path.starts_with("tail") => assert!(values.iter().all(|v| v.abs() <= 0.08)),
            _ => assert!(deviation > 0.01 && deviation < 0.2, "{path}: {deviation}"),
        }
    }
    for (path, fan_out) in [
        ("conv1.weight", 64.0 * 49.0),
        ("layer3.0.conv1.weight", 256.0 * 9.0),
        ("layer4.0.downsample.0.weight", 512.0),
    ] {
        let values = &values[path];
        let deviation = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
        let expected = (2.0f32 / fan_out).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.05, "{path}");
    }
}

#[test]
fn in_training_every_parameter_gets_a_gradient_and_statistics_follow() {
    let image = ImageShape::new(3, 32, 32);
    let encoder = encoder(TRAINED, image, 5);
    let before = values(&encoder);
    let output = encode(&encoder, images(4, image, &Device::flex().autodiff()));
    assert_every_gradient(&encoder, &loss(output));
    for (path, after) in values(&encoder) {
        assert_eq!(is_statistic(&path), after != before[&path], "{path}");
    }
}

#[test]
fn frozen_normalisation_does_not_change() {
    let device = Device::flex().autodiff();
    let image = ImageShape::new(3, 32, 32);
    let record = used(image).into_record();
    let encoder = encoder(FROZEN, image, 5).load_record(record);
    let before = values(&encoder);
    let batch = images(4, image, &device);
    // It is not trained after a change of mode or a copy either.
    for encoder in [encoder.clone(), encoder.clone().valid().train()] {
        let output = encode(&encoder, batch.clone());
        let evaluation = encode(&encoder.valid(), batch.clone().without_autodiff());
        near("frozen", &flat(&output), &flat(&evaluation), 1e-5);
        let found = gradients(&encoder, &loss(output).backward());
        let normalises = |path: &str| path.ends_with(".gamma") || path.ends_with(".beta");
        for path in before.keys().filter(|path| !is_statistic(path)) {
            assert_eq!(found.contains_key(path), !normalises(path), "{path}");
        }
        assert_eq!(values(&encoder), before);
    }
}

#[test]
fn recipes_are_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Box<dyn EncoderConfig>>(text);
    let recipe = read(r#"{"type":"resnet18"}"#).unwrap();
    let full = r#"{"type":"resnet18","normalization":"trained"}"#;
    assert_eq!(serde_json::to_string(&recipe).unwrap(), full);
    let frozen = r#"{"type":"resnet18","normalization":"frozen"}"#;
    let recipe = read(frozen).unwrap();
    assert_eq!(serde_json::to_string(&recipe).unwrap(), frozen);
    let said = read(r#"{"type":"resnet18","norm":"frozen"}"#).unwrap_err();
    assert!(said.to_string().contains("`normalization`"), "{said}");
    let said = read(r#"{"type":"resnet18","normalization":"none"}"#).unwrap_err();
    assert!(said.to_string().contains("`frozen`"), "{said}");
    for (image, latent_dimensions, key) in [
        (ImageShape::new(2, 32, 32), 4, "model.encoder"),
        (ImageShape::new(3, 1 << 20, 1 << 20), 4, "model.encoder"),
        (ImageShape::new(3, 32, 32), 0, "model.latent_dimensions"),
        (
            ImageShape::new(3, 32, 32),
            usize::MAX,
            "model.latent_dimensions",
        ),
        (ImageShape::new(3, 0, 32), 4, "data"),
    ] {
        let spec = EncoderSpec {
            image,
            latent_dimensions,
        };
        let mut init = Initializer::new(0, &Device::flex());
        let said = TRAINED.build(&spec, &mut init).unwrap_err().to_string();
        assert!(said.contains(key), "{said}");
    }
}

#[derive(Deserialize)]
struct Case {
    training: Vec<f64>,
    norms: BTreeMap<String, f64>,
    gradients: BTreeMap<String, Vec<f32>>,
    statistics: BTreeMap<String, Vec<f32>>,
    evaluation: Vec<f64>,
}

/// Values in [-1, 1): splitmix64 of the tensor's number and the value's place.
fn draw(number: usize, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |place| {
        let mixed = (place + ((number as u64) << 32) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.val().dims().to_vec();
        self.found.insert(self.path.join("."), shape);
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

/// The parameters that the golden values belong to, by their names.
fn parameters(encoder: &BoxEncoder) -> BTreeMap<String, Vec<f32>> {
    let mut shapes = Shapes::default();
    encoder.visit(&mut shapes);
    let value = |(number, (name, shape)): (usize, (String, Vec<usize>))| {
        let fan_in: usize = match shape[..] {
            [inputs, _] => inputs,
            _ => shape[1..].iter().product(),
        };
        let scaled = |drawn: f64| match name.rsplit('.').next().unwrap() {
            "weight" => drawn * (6.0 / fan_in as f64).sqrt(),
            "running_var" => 1.0 + drawn / 2.0,
            "gamma" => 1.0 + drawn / 4.0,
            _ => drawn / 4.0,
        };
        let drawn = draw(number, shape.iter().product());
        let values = drawn.map(|drawn| scaled(drawn) as f32).collect();
        (name, values)
    };
    shapes.found.into_iter().enumerate().map(value).collect()
}

/// Equal to `tolerance` times the largest value.
#[track_caller]
fn near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        let apart = (ours - theirs).abs();
        assert!(apart <= tolerance * largest, "{what}: {ours} not {theirs}");
    }
}

fn shown(values: &[f32]) -> Vec<f32> {
    let step = (values.len() / 60) | 1;
    values.iter().copied().step_by(step).collect()
}

fn is_pytorchs(name: &str, samples: usize, image: ImageShape) {
    let text = include_str!("golden/resnet.json");
    let mut cases: BTreeMap<String, Case> = serde_json::from_str(text).unwrap();
    let case = cases.remove(name).unwrap();
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();

    let encoder = encoder(TRAINED, image, 4);
    let parameters = parameters(&encoder);
    let encoder = with_values(encoder, &parameters);
    let device = Device::flex();
    let drawn = |number: usize, count: usize| -> Vec<f32> {
        draw(number, count).map(|value| value as f32).collect()
    };
    let shape = [samples, image.channels, image.height, image.width];
    let pixels = drawn(parameters.len(), shape.iter().product());
    let batch = Tensor::<4>::from_data(TensorData::new(pixels, shape), &device);
    let tracked = Tensor::from_inner(batch.clone()).require_grad();
    let output = encode(&encoder, tracked.clone());
    near("training", &flat(&output), &single(&case.training), 1e-4);

    let cotangent = drawn(parameters.len() + 1, case.training.len());
    let cotangent = TensorData::new(cotangent, output.dims());
    let objective = (output * Tensor::from_data(cotangent, &device.clone().autodiff())).sum();
    let found = objective.backward();
    let mut gradients = gradients(&encoder, &found);
    gradients.insert("images".into(), flat(&tracked.grad(&found).unwrap()));
    assert_eq!(
        gradients.keys().collect::<Vec<_>>(),
        case.norms.keys().collect::<Vec<_>>()
    );
    for (path, theirs) in &case.norms {
        let squares = gradients[path].iter().map(|v| f64::from(*v).powi(2));
        let ours = squares.sum::<f64>().sqrt();
        let apart = (ours - theirs).abs() / theirs;
        assert!(apart < 1e-4, "norm of {path}: {ours} not {theirs}");
    }
    for (path, theirs) in &case.gradients {
        near(path, &shown(&gradients[path]), theirs, 1e-4);
    }
    let statistics = values(&encoder);
    for (path, theirs) in &case.statistics {
        near(path, &shown(&statistics[path]), theirs, 1e-4);
    }
    let evaluation = encode(&encoder.valid(), batch);
    let expected = single(&case.evaluation);
    near("evaluation", &flat(&evaluation), &expected, 1e-4);
}

#[test]
fn colour_images_give_pytorchs_values_and_gradients() {
    is_pytorchs("colour", 5, ImageShape::new(3, 40, 49));
}

#[test]
fn grey_images_give_pytorchs_values_and_gradients() {
    is_pytorchs("grey", 7, ImageShape::new(1, 28, 28));
}

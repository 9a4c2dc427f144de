//! Training, gradients, running statistics and evaluation against PyTorch's own layers (`golden/networks.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::decoders::UpsamplingDecoderConfig;
use protovae_backbones::encoders::{PooledEncoderConfig, StridedEncoderConfig};
use protovae_core::ImageShape;
use protovae_core::plugin::{
    BoxEncoder, DecoderConfig, DecoderSpec, EncoderConfig, EncoderSpec, Posterior,
};
use protovae_core::random::Initializer;
use serde::Deserialize;

use common::{flat, gradients, is_statistic, values, with_values};

#[derive(Deserialize)]
struct Case {
    inputs: Vec<f32>,
    parameters: BTreeMap<String, Vec<f32>>,
    training: Vec<f32>,
    cotangent: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    statistics: BTreeMap<String, Vec<f32>>,
    evaluation: Vec<f32>,
}

impl Case {
    fn load(name: &str) -> Self {
        let mut cases: BTreeMap<String, Self> =
            serde_json::from_str(include_str!("golden/networks.json")).unwrap();
        cases.remove(name).unwrap()
    }
}

/// Equal to five digits or so of the largest value: gradients are sums of many terms.
#[track_caller]
fn assert_near(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs
        .iter()
        .fold(1f32, |most, value| most.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(
            (ours - theirs).abs() <= 2e-5 * largest,
            "{what}: {ours} instead of {theirs}"
        );
    }
}

#[track_caller]
fn assert_all_near(ours: &BTreeMap<String, Vec<f32>>, theirs: &BTreeMap<String, Vec<f32>>) {
    let paths = |map: &BTreeMap<String, Vec<f32>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(ours), paths(theirs));
    for (path, theirs) in theirs {
        assert_near(path, &ours[path], theirs);
    }
}

/// Runs a case: `forward` applies the module to an input of the given shape and gives a flat output a sample.
fn check<M: Module, const D: usize>(
    case: &Case,
    module: M,
    shape: [usize; D],
    forward: impl Fn(&M, Tensor<D>) -> Tensor<2>,
) {
    let device = Device::flex();
    let training = device.clone().autodiff();
    let input = |device: &Device| {
        Tensor::<D>::from_data(TensorData::new(case.inputs.clone(), shape), device)
    };
    let module = with_values(module, &case.parameters);
    assert_all_near(&values(&module), &case.parameters);

    let output = forward(&module, input(&training));
    assert_near("training", &flat(&output), &case.training);
    let cotangent = TensorData::new(case.cotangent.clone(), output.dims());
    let loss = (output * Tensor::from_data(cotangent, &training)).sum();
    assert_all_near(&gradients(&module, &loss.backward()), &case.gradients);

    let mut statistics = values(&module);
    statistics.retain(|path, _| is_statistic(path));
    assert_all_near(&statistics, &case.statistics);
    let output = forward(&module.valid(), input(&device));
    assert_near("evaluation", &flat(&output), &case.evaluation);
}

fn encode(encoder: &BoxEncoder, images: Tensor<4>) -> Tensor<2> {
    let Posterior { mean, log_variance } = encoder.encode(images);
    Tensor::cat(vec![mean, log_variance], 1)
}

fn init() -> Initializer {
    Initializer::new(0, &Device::flex().autodiff())
}

#[test]
fn the_pooled_encoder_is_pytorchs() {
    let spec = EncoderSpec {
        image: ImageShape::new(2, 9, 7),
        latent_dimensions: 2,
    };
    let recipe = PooledEncoderConfig { widths: vec![3, 4] };
    let encoder = recipe.build(&spec, &mut init()).unwrap();
    check(&Case::load("pooled"), encoder, [3, 2, 9, 7], encode);
}

#[test]
fn the_strided_encoder_is_pytorchs() {
    let spec = EncoderSpec {
        image: ImageShape::new(1, 7, 8),
        latent_dimensions: 2,
    };
    let recipe = StridedEncoderConfig { widths: vec![2] };
    let encoder = recipe.build(&spec, &mut init()).unwrap();
    check(&Case::load("strided"), encoder, [3, 1, 7, 8], encode);
}

#[test]
fn the_decoder_is_pytorchs() {
    let recipe: UpsamplingDecoderConfig = serde_json::from_str(
        r#"{"start": [3, 2, 2], "stages": [{"conv": 2}, {"transpose": 3}, {"conv": 2, "padding": 2}, {"transpose": 2}]}"#,
    )
    .unwrap();
    let spec = DecoderSpec {
        image: ImageShape::new(2, 12, 12),
        latent_dimensions: 3,
    };
    let decoder = recipe.build(&spec, &mut init()).unwrap();
    check(&Case::load("decoder"), decoder, [4, 3], |decoder, z| {
        decoder.decode(z).flatten(1, 3)
    });
}

//! Every plugin keeps the promises of its trait.

#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::Device;
use protovae_core::ImageShape;
use protovae_core::conformance;
use protovae_core::loss::Distance;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{
    DecoderConfig, DecoderSpec, EncoderConfig, EncoderSpec, ExplainerConfig, HeadSpec,
};
use protovae_core::random::Initializer;
use protovae_example_plugin::decoder::PatchDecoderConfig;
use protovae_example_plugin::encoder::PatchEncoderConfig;
use protovae_example_plugin::explainer::Rise;
use protovae_example_plugin::gated::GatedEncoderConfig;
use protovae_example_plugin::head::OwnClassHeadConfig;

/// Small, in colour and no square: what only works for digits fails here.
const IMAGE: ImageShape = ImageShape::new(3, 8, 12);

#[test]
fn encoders() {
    let spec = EncoderSpec {
        image: IMAGE,
        latent_dimensions: 5,
    };
    conformance::encoder(&PatchEncoderConfig::default(), &spec).unwrap();
    conformance::encoder(&GatedEncoderConfig::default(), &spec).unwrap();
}

#[test]
fn decoder() {
    let spec = DecoderSpec {
        image: IMAGE,
        latent_dimensions: 5,
    };
    conformance::decoder(&PatchDecoderConfig::default(), &spec).unwrap();
}

#[test]
fn head() {
    let spec = HeadSpec {
        latent_dimensions: 5,
        classes: 3,
        prototypes_per_class: 2,
        distance: Distance::Euclidean,
        similarity_epsilon: 1e-4,
    };
    conformance::head(&OwnClassHeadConfig::default(), &spec).unwrap();
}

/// A model of nothing but plugins, by its recipe.
fn model() -> BoxModel {
    let recipe = r#"{
        "type": "protovae", "latent_dimensions": 5, "prototypes_per_class": 2,
        "encoder": {"type": "patches"}, "decoder": {"type": "patches"}, "head": {"type": "own-class"}
    }"#;
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: IMAGE,
        classes: 3,
    };
    conformance::model(&*config, &spec).unwrap();
    let mut init = Initializer::new(1, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap().valid()
}

#[test]
fn explainer() {
    let explainer = Rise::default().build().unwrap();
    conformance::explainer(&*explainer, &model()).unwrap();
}

#[test]
fn settings_that_cannot_be_used_are_told_by_their_key() {
    let spec = EncoderSpec {
        image: IMAGE,
        latent_dimensions: 5,
    };
    let mut init = Initializer::new(1, &Device::flex());
    let mut told = |config: &dyn EncoderConfig| {
        let error = config.build(&spec, &mut init).unwrap_err();
        error.to_string()
    };
    let message = told(&PatchEncoderConfig { patch: 5, width: 8 });
    assert_eq!(
        message,
        "model.encoder.patch: must divide both sides of 3×8×12 images, 5 does not"
    );
    let message = told(&PatchEncoderConfig { patch: 4, width: 0 });
    assert!(message.starts_with("model.encoder.width: "), "{message}");
    let message = told(&GatedEncoderConfig { neurons: 0 });
    assert!(message.starts_with("model.encoder.neurons: "), "{message}");
    let decoder = PatchDecoderConfig { patch: 5, width: 8 };
    let spec = DecoderSpec {
        image: IMAGE,
        latent_dimensions: 5,
    };
    let error = decoder.build(&spec, &mut init).unwrap_err().to_string();
    assert!(error.starts_with("model.decoder.patch: "), "{error}");
    let rise = Rise {
        masks: 0,
        ..Rise::default()
    };
    assert!(rise.build().is_err());
}

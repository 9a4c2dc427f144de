//! The explainer `prp` on whole models.

use burn::tensor::Tensor;
use protovae_core::conformance;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{ExplainerConfig, Target};
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape};
use protovae_explain::relevance::{Composite, CompositeChoice, PrototypicalRelevance};

use super::support::{difference, digits, protovae, random, values};

fn relevance(config: &PrototypicalRelevance, images: Tensor<4>, targets: &[Target]) -> Tensor<4> {
    let explainer = config.build().unwrap();
    explainer
        .explain(&protovae(), images, targets)
        .unwrap()
        .relevance
}

#[test]
fn it_keeps_what_explainers_promise() {
    for name in Composite::NAMES {
        let config = PrototypicalRelevance::with_composite(name);
        conformance::explainer(config.build().unwrap().as_ref(), &protovae()).unwrap();
    }
}

#[test]
fn a_batch_equals_one_by_one() {
    let image = ImageShape::new(1, 8, 8);
    let targets = [Target::Prototype(0), Target::Prototype(5), Target::Class(1)];
    let images = digits(7, image) + random([7, 1, 8, 8], 0.0, 0.5);
    for name in Composite::NAMES {
        let config = PrototypicalRelevance::with_composite(name);
        let together = relevance(&config, images.clone(), &targets);
        assert_eq!(together.dims(), [21, 1, 8, 8]);
        for index in 0..7 {
            for (number, target) in targets.iter().enumerate() {
                let one = images.clone().narrow(0, index, 1);
                let alone = values(relevance(&config, one, &[*target]));
                let row = together.clone().narrow(0, index * 3 + number, 1);
                let apart = difference(&values(row), &alone);
                assert!(apart < 1e-5, "{name}, image {index}, {target:?}: {apart}");
            }
        }
    }
}

#[test]
fn prototypes_have_maps_of_their_own_and_a_class_the_weighted_sum() {
    let model = protovae();
    let images = digits(2, ImageShape::new(1, 8, 8)) + random([2, 1, 8, 8], 0.0, 0.5);
    let config = PrototypicalRelevance::default();
    let prototypes: Vec<Target> = (0..6).map(Target::Prototype).collect();
    let maps = relevance(&config, images.clone(), &prototypes).reshape([2, 6, 64]);
    let first = values(maps.clone().narrow(1, 0, 1));
    let second = values(maps.clone().narrow(1, 1, 1));
    assert!(difference(&first, &second) > 1e-2);
    let weights = model.class_weights().unwrap();
    let classes: Vec<Target> = (0..3).map(Target::Class).collect();
    let found = values(relevance(&config, images, &classes));
    let expected = weights.unsqueeze_dim::<3>(0).expand([2, 3, 6]).matmul(maps);
    assert!(difference(&found, &values(expected)) < 1e-4);
}

#[test]
fn what_is_missing_is_named() {
    let explainer = PrototypicalRelevance::default().build().unwrap();
    let image = digits(1, ImageShape::new(1, 8, 8));
    let explain = |model: &BoxModel, targets: &[Target]| {
        explainer
            .explain(model, image.clone(), targets)
            .unwrap_err()
            .to_string()
    };
    let model = protovae();
    assert!(explain(&model, &[]).contains("target"));
    assert!(explain(&model, &[Target::Prototype(6)]).contains("such prototype"));
    assert!(explain(&model, &[Target::Class(3)]).contains("such class"));
    let recipe = r#"{"type": "black-box", "latent_dimensions": 4,
        "encoder": {"type": "conv-pool", "widths": [4, 6]}, "head": {"type": "linear"}}"#;
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: ImageShape::new(1, 8, 8),
        classes: 3,
    };
    let mut init = Initializer::new(1, &burn::tensor::Device::flex().autodiff());
    let black_box = config.build(&spec, &mut init).unwrap();
    assert!(explain(&black_box, &[Target::Class(0)]).contains("prototypes"));
}

#[test]
fn its_configuration_is_checked() {
    for (text, part) in [
        (
            r#"{"type": "prp", "composite": "lrp"}"#,
            "epsilon-plus-flat",
        ),
        (
            r#"{"type": "prp", "sharing": {"type": "inverse-distance", "eta": 0.0}}"#,
            "sharing.eta",
        ),
        (
            r#"{"type": "prp", "composite": {"input": {"type": "z-box", "low": 1.0, "high": 2.0}}}"#,
            "composite.input",
        ),
    ] {
        let config: Box<dyn ExplainerConfig> = serde_json::from_str(text).unwrap();
        let error = config.build().unwrap_err();
        assert!(matches!(error, Error::Config { .. }));
        assert!(error.to_string().contains(part), "{error}");
    }
    let own = r#"{"type": "prp", "composite": {"convolution": {"type": "gamma", "gamma": 0.5}}}"#;
    let config: Box<dyn ExplainerConfig> = serde_json::from_str(own).unwrap();
    assert_eq!(config.build().unwrap().name(), "prp (own rules)");
    assert!(serde_json::from_str::<PrototypicalRelevance>(r#"{"epsilon": 1}"#).is_err());
    let named = PrototypicalRelevance::with_composite("z-plus");
    assert_eq!(named.composite, CompositeChoice::Named("z-plus".into()));
}

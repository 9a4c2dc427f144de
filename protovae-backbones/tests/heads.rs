//! What the heads promise.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;
use protovae_backbones as _;
use protovae_core::Result;
use protovae_core::loss::Distance;
use protovae_core::plugin::{BoxHead, HeadConfig, HeadSpec};
use protovae_core::random::Initializer;

use common::{assert_every_gradient, flat, loss, noise, values};

fn head(text: &str, spec: &HeadSpec) -> Result<BoxHead> {
    let recipe: Box<dyn HeadConfig> = serde_json::from_str(text).unwrap();
    let mut init = Initializer::new(3, &Device::flex().autodiff());
    recipe.build(spec, &mut init)
}

const HEAD: HeadSpec = HeadSpec {
    latent_dimensions: 64,
    classes: 3,
    prototypes_per_class: 20,
    distance: Distance::Euclidean,
    similarity_epsilon: 1e-4,
};

#[test]
fn the_prototype_head_starts_as_it_should() {
    let head = head(r#"{"type":"prototype","deviation":2}"#, &HEAD).unwrap();
    let bank = head.prototypes().unwrap();
    assert_eq!((bank.classes, bank.per_class), (3, 20));
    let drawn = flat(&bank.vectors);
    let deviation = (drawn.iter().map(|v| v * v).sum::<f32>() / drawn.len() as f32).sqrt();
    assert!((deviation - 2.0).abs() < 0.1, "{deviation}");

    let weights = head.class_weights().unwrap();
    assert_eq!(weights.dims(), [3, 60]);
    for (index, weight) in flat(&weights).into_iter().enumerate() {
        let own = index / 60 == index % 60 / 20;
        assert_eq!(weight, if own { 1.0 } else { -0.5 });
    }
    assert_eq!(
        values(&head).into_keys().collect::<Vec<_>>(),
        ["class_weights", "prototypes"]
    );
}

#[test]
fn prototypes_start_around_centres_of_their_classes_if_asked() {
    let recipe = r#"{"type":"prototype","deviation":0.1,"class_deviation":3}"#;
    let bank = head(recipe, &HEAD).unwrap().prototypes().unwrap();
    let by_class = bank.by_class();
    let centres = by_class.clone().mean_dim(1);
    let spread =
        |values: Vec<f32>| (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
    let inner = spread(flat(&(by_class - centres.clone()).reshape([60, 64])));
    let outer = spread(flat(&centres.reshape([3, 64])));
    assert!((inner - 0.1).abs() < 0.01, "{inner}");
    assert!((outer - 3.0).abs() < 0.5, "{outer}");

    let recipe = r#"{"type":"prototype","class_deviation":-1}"#;
    let said = head(recipe, &HEAD).unwrap_err().to_string();
    assert!(said.starts_with("model.head.class_deviation: "), "{said}");
}

#[test]
fn the_prototype_head_classifies_by_similarity() {
    let device = Device::flex();
    for distance in [Distance::Euclidean, Distance::Squared] {
        let head = head(r#"{"type":"prototype"}"#, &HeadSpec { distance, ..HEAD }).unwrap();
        let latents = head.prototypes().unwrap().vectors;
        let output = head.valid().classify(latents.without_autodiff());
        let similarities = flat(&output.similarities.unwrap());
        let logits = flat(&output.logits);
        for (prototype, (row, logits)) in similarities.chunks(60).zip(logits.chunks(3)).enumerate()
        {
            let largest = row.iter().fold(0f32, |most, value| most.max(*value));
            assert_eq!(row[prototype], largest);
            assert!((largest - 1e4f32.ln()).abs() < 1e-3 && row.iter().all(|s| *s > 0.0));
            let total: f32 = row.iter().sum();
            for (class, logit) in logits.iter().enumerate() {
                let own: f32 = row[class * 20..][..20].iter().sum();
                assert!((logit - (1.5 * own - 0.5 * total)).abs() < 1e-4);
            }
        }
        let output = head.classify(noise([5, 64], 2, &device.clone().autodiff()));
        assert_every_gradient(&head, &loss(output.logits));
    }
}

#[test]
fn removed_prototypes_add_nothing() {
    let head = head(r#"{"type":"prototype"}"#, &HEAD).unwrap().valid();
    let left = head.without_prototypes(&[0, 21]).unwrap();
    let latents = noise([4, 64], 5, &Device::flex());
    let [before, after] = [head, left].map(|head| head.classify(latents.clone()));
    let similarities = flat(&before.similarities.unwrap());
    assert_eq!(similarities, flat(&after.similarities.unwrap()));
    let (before, after) = (flat(&before.logits), flat(&after.logits));
    for sample in 0..4 {
        let [first, other] = [0, 21].map(|row| similarities[sample * 60 + row]);
        // Prototype 0 spoke for class 0 and against the others, prototype 21 for class 1.
        let taken = [
            first - 0.5 * other,
            other - 0.5 * first,
            -0.5 * (first + other),
        ];
        for (class, taken) in taken.into_iter().enumerate() {
            let at = sample * 3 + class;
            assert!((before[at] - taken - after[at]).abs() < 1e-3, "{at}");
        }
    }
}

#[test]
fn the_linear_head_has_no_prototypes() {
    let head = head(r#"{"type":"linear"}"#, &HEAD).unwrap();
    assert!(head.prototypes().is_none() && head.class_weights().is_none());
    let shapes: BTreeMap<_, _> = values(&head)
        .into_iter()
        .map(|(path, values)| (path, values.len()))
        .collect();
    assert_eq!(
        shapes,
        BTreeMap::from([("linear.bias".into(), 3), ("linear.weight".into(), 192)])
    );
    let output = head.classify(noise([5, 64], 2, &Device::flex().autodiff()));
    assert!(output.similarities.is_none());
    assert_eq!(output.logits.dims(), [5, 3]);
    assert_every_gradient(&head, &loss(output.logits));
}

#[test]
fn heads_that_cannot_be_are_refused() {
    for deviation in ["0", "-1", "1e9"] {
        let text = format!(r#"{{"type":"prototype","deviation":{deviation}}}"#);
        let said = head(&text, &HEAD).unwrap_err().to_string();
        assert!(said.starts_with("model.head.deviation: "), "{said}");
    }
    let none = HeadSpec {
        prototypes_per_class: 0,
        ..HEAD
    };
    let said = head(r#"{"type":"prototype"}"#, &none)
        .unwrap_err()
        .to_string();
    assert!(said.starts_with("model.prototypes_per_class: "), "{said}");
}

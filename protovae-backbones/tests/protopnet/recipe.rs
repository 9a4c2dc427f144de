//! The recipe: what it promises, what it refuses, what its phases train.

use burn::tensor::Device;
use protovae_core::conformance;
use protovae_core::model::trainable_values;
use protovae_core::random::Initializer;
use serde_json::{Value, json};

use crate::support::{SPEC, config, model, recipe};

#[test]
fn every_promise_of_a_model_is_kept() {
    let mut strided = recipe();
    strided["encoder"] = json!({"type": "conv-stride", "widths": [3]});
    strided["pruning"] = json!({});
    strided["prototypes_per_class"] = json!(1);
    for recipe in [recipe(), strided] {
        conformance::model(&*config(&recipe), &SPEC).unwrap();
    }
}

#[test]
fn what_is_trained_is_counted() {
    // Convolution 40, normalisation 8, add-on (4 + 1 + 5 + 1)·5, prototypes 30, last layer 18; neither places nor pruning.
    assert_eq!(trainable_values(&model(&recipe())), 40 + 8 + 55 + 30 + 18);
}

#[test]
fn defaults_are_written_out() {
    let resolved = config(&recipe()).resolved(&SPEC).unwrap();
    let written = serde_json::to_value(&resolved).unwrap();
    let expected = json!({
        "weights": {"cross_entropy": 1.0, "cluster": 0.8, "separation": 0.08, "l1": 1e-4},
        "rates": {"warm_up_features": 0.0, "features": 1e-4, "add_on": 3e-3, "prototypes": 3e-3, "last_layer": 1e-4},
        "epsilon": 1e-4, "warm_up_epochs": 5, "push_start": 10, "push_every": 10, "last_layer_iterations": 20,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&written[key], value, "{key}");
    }
}

#[test]
fn phases_train_what_they_should() {
    let mut recipe = recipe();
    recipe["warm_up_epochs"] = json!(2);
    let model = model(&recipe);
    let rate = |epoch: usize, name: &str| model.phase(epoch).learning_rates[name];
    for (epoch, features) in [(0, 0.0), (1, 0.0), (2, 1e-4), (30, 1e-4)] {
        assert_eq!(rate(epoch, "features"), features);
        assert_eq!(rate(epoch, "add_on"), 3e-3);
        assert_eq!(rate(epoch, "prototypes"), 3e-3);
        assert_eq!(rate(epoch, "last_layer"), 0.0);
    }
}

#[test]
fn values_that_cannot_be_used_are_refused_by_name() {
    let cases: [(&str, Value, &str); 10] = [
        (
            "prototypes_per_class",
            json!(0),
            "model.prototypes_per_class",
        ),
        (
            "prototypes_per_class",
            json!(1usize << 40),
            "model.prototypes_per_class",
        ),
        ("channels", json!(0), "model.channels"),
        ("channels", json!(1 << 20), "model.channels"),
        ("epsilon", json!(0.0), "model.epsilon"),
        ("push_every", json!(0), "model.push_every"),
        (
            "weights",
            json!({"cross_entropy": 0.0}),
            "model.weights.cross_entropy",
        ),
        (
            "weights",
            json!({"separation": -0.08}),
            "model.weights.separation",
        ),
        ("rates", json!({"add_on": -1.0}), "model.rates.add_on"),
        (
            "pruning",
            json!({"neighbours": 2}),
            "model.pruning.threshold",
        ),
    ];
    for (key, value, said) in cases {
        let mut recipe = recipe();
        recipe[key] = value;
        let mut init = Initializer::new(0, &Device::flex());
        let error = config(&recipe)
            .build(&SPEC, &mut init)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(said), "{error}");
        assert!(config(&recipe).resolved(&SPEC).is_err());
    }
}

//! Against `golden/protopnet.py` (PyTorch, float64).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::{BoxModel, Mode, Region};
use protovae_core::train::{Batch, HostBatch};
use serde_json::{Value, json};

use crate::common::{flat, gradients, values, with_values};
use crate::support::{SPEC, batches, model, pushed, recipe};

const RELATIVE: f64 = 1e-4;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/protopnet.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_f64().unwrap() as f32).collect()
}

fn near(name: &str, found: &[f32], golden: &[f32]) {
    assert_eq!(found.len(), golden.len(), "{name}");
    let largest = golden
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    let allowed = RELATIVE * f64::from(largest) + 1e-6;
    for (index, (found, golden)) in found.iter().zip(golden).enumerate() {
        let error = f64::from((found - golden).abs());
        assert!(
            error <= allowed,
            "{name}[{index}] is {found}, golden {golden}"
        );
    }
}

/// The golden network; `more` is laid over its recipe.
fn network(golden: &Value, more: &[(&str, Value)]) -> BoxModel {
    let mut recipe = recipe();
    recipe["weights"] = json!({"l1": golden["l1_weight"]});
    recipe["rates"] = json!({"last_layer": golden["rate"]});
    recipe["last_layer_iterations"] = golden["iterations"].clone();
    for (key, value) in more {
        recipe[key] = value.clone();
    }
    let model = model(&recipe);
    let mut all = values(&model);
    for (path, found) in golden["parameters"].as_object().unwrap() {
        let place = all.get_mut(path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(place.len(), found.as_array().unwrap().len(), "{path}");
        *place = numbers(found);
    }
    with_values(model, &all)
}

fn host(golden: &Value) -> HostBatch {
    let labels = numbers(&golden["labels"]);
    HostBatch {
        images: numbers(&golden["images"]),
        indices: (0..labels.len() as u64).collect(),
        labels: labels.into_iter().map(|label| label as usize).collect(),
        shape: SPEC.image,
    }
}

#[test]
fn terms_logits_and_gradients() {
    let golden = golden();
    for (name, mode) in [
        ("training", Mode::Training),
        ("evaluation", Mode::Evaluation),
    ] {
        let expected = &golden[name];
        let trained = network(&golden, &[]);
        let device = Device::flex();
        let (model, device) = match mode {
            Mode::Training => (trained, device.autodiff()),
            Mode::Evaluation => (trained.valid(), device),
        };
        let batch = Batch::new(host(&golden), SPEC.image, SPEC.classes, 0, 0, &device).unwrap();
        let output = model.losses(&batch, mode);
        let found: BTreeMap<_, _> = output
            .terms
            .iter()
            .map(|term| (term.name, &term.value))
            .collect();
        let terms = expected["terms"].as_object().unwrap();
        assert_eq!(found.len(), terms.len());
        for (term, value) in terms {
            let value = value.as_f64().unwrap() as f32;
            near(
                &format!("{name}: {term}"),
                &flat(found[term.as_str()]),
                &[value],
            );
        }
        let total = output.total();
        let expected_total = expected["total"].as_f64().unwrap() as f32;
        near(&format!("{name}: total"), &flat(&total), &[expected_total]);
        near(
            &format!("{name}: logits"),
            &flat(&output.logits),
            &numbers(&expected["logits"]),
        );
        if mode == Mode::Evaluation {
            continue;
        }
        let found = gradients(&model, &total.backward());
        let expected = expected["gradients"].as_object().unwrap();
        let paths: Vec<&String> = expected.keys().collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), paths);
        for (path, expected) in expected {
            near(path, &found[path], &numbers(expected));
        }
    }
}

#[test]
fn a_push_the_last_layer_and_pruning() {
    let golden = golden();
    let source = batches(&host(&golden), 100);
    let pruning = json!({"neighbours": golden["neighbours"], "threshold": golden["threshold"]});
    for (name, more) in [("all", vec![]), ("pruned", vec![("pruning", pruning)])] {
        let model = pushed(&network(&golden, &more), &source);
        let after = values(&model);
        near(
            "prototypes",
            &after["prototypes"],
            &numbers(&golden["push"]["prototypes"]),
        );
        near("kept", &after["kept"], &numbers(&golden[name]["kept"]));
        near(
            "weights",
            &after["last_layer"],
            &numbers(&golden[name]["weights"]),
        );
        for (path, value) in values(&network(&golden, &more)) {
            let changes = ["prototypes", "kept", "last_layer", "sources"].contains(&path.as_str());
            assert!(changes || after[&path] == value, "{path} has changed");
        }
        let places = golden["push"]["places"].as_array().unwrap();
        for (found, expected) in model.provenance().unwrap().into_iter().zip(places) {
            let found = found.unwrap();
            let Region {
                top,
                left,
                height,
                width,
            } = found.region;
            let [row, column] = found.patch.unwrap();
            let sample = found.sample as usize;
            let found = [sample, row, column, top, left, height, width];
            let expected: Vec<usize> = numbers(expected)
                .into_iter()
                .map(|value| value as usize)
                .collect();
            assert_eq!(found.as_slice(), expected);
        }
    }
}

/// The objective that the last layer is trained for, of the similarities that the model itself gives.
fn objective(model: &BoxModel, host: &HostBatch) -> f32 {
    let device = Device::flex();
    let batch = Batch::new(host.clone(), SPEC.image, SPEC.classes, 0, 0, &device).unwrap();
    let terms = model.valid().losses(&batch, Mode::Evaluation).terms;
    let of = |name: &str| {
        let term = terms.iter().find(|term| term.name == name).unwrap();
        flat(&term.value)[0] * term.weight as f32
    };
    of("prediction") + of("l1")
}

#[test]
fn the_last_layer_reaches_the_objective_of_the_other_program() {
    let golden = golden();
    let host = host(&golden);
    let source = batches(&host, 100);
    let untrained = pushed(
        &network(&golden, &[("last_layer_iterations", json!(0))]),
        &source,
    );
    let trained = pushed(&network(&golden, &[]), &source);
    let found = [objective(&untrained, &host), objective(&trained, &host)];
    near("objective", &found, &numbers(&golden["all"]["objectives"]));
    assert!(found[1] < found[0]);
}

#[test]
fn removed_prototypes_are_as_pruned_ones() {
    let golden = golden();
    let pruning = json!({"neighbours": golden["neighbours"], "threshold": golden["threshold"]});
    let host = host(&golden);
    let network = network(&golden, &[("pruning", pruning)]);
    let model = pushed(&network, &batches(&host, 4)).valid();
    let kept = numbers(&golden["pruned"]["kept"]);
    let row = kept.iter().position(|kept| *kept != 0.0).unwrap();
    let left = model.without_prototypes(&[row]).unwrap();
    let [before, after] = [&model, &left].map(|model| flat(&model.class_weights().unwrap()));
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        let gone = index % kept.len() == row;
        assert_eq!(*after, if gone { 0.0 } else { *before }, "{index}");
    }
    let data = TensorData::new(host.images, [host.labels.len(), 1, 8, 8]);
    let images: burn::tensor::Tensor<4> = Tensor::from_data(data, &Device::flex());
    let [before, after] = [model, left].map(|model| model.predict(images.clone()));
    assert_eq!(
        flat(&before.similarities.unwrap()),
        flat(&after.similarities.unwrap())
    );
    assert_ne!(flat(&before.logits), flat(&after.logits));
}

#[test]
fn pruned_prototypes_add_nothing() {
    let golden = golden();
    let pruning = json!({"neighbours": golden["neighbours"], "threshold": golden["threshold"]});
    let host = host(&golden);
    let model = pushed(
        &network(&golden, &[("pruning", pruning)]),
        &batches(&host, 4),
    )
    .valid();
    let kept = numbers(&golden["pruned"]["kept"]);
    let weights = flat(&model.class_weights().unwrap());
    for (index, weight) in weights.iter().enumerate() {
        assert_eq!(*weight == 0.0, kept[index % kept.len()] == 0.0, "{index}");
    }
    let data = TensorData::new(host.images, [host.labels.len(), 1, 8, 8]);
    let predicted = model.predict(Tensor::from_data(data, &Device::flex()));
    let expected = predicted
        .similarities
        .unwrap()
        .matmul(model.class_weights().unwrap().transpose());
    near("logits", &flat(&predicted.logits), &flat(&expected));
}

//! Files that PyTorch wrote, and what it computes with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::networks::Network;
use protovae_backbones::weights::{self, Layout, Part, StateDict};
use protovae_core::model::{BoxModel, Mode};
use protovae_core::train::{Batch, HostBatch};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::common::flat;
use crate::support::{TINY, bytes_of, golden, model, open, resnet, tiny_model};

/// Compares a model with the golden outputs, each value to `tolerance`.
#[track_caller]
fn computes_the_golden_values(model: &BoxModel, tolerance: f32) {
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(golden("expected.json")).unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<f32> {
        let values = expected[key].as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap() as f32).collect()
    };
    let near = |what: &str, ours: &[f32], theirs: &[f32]| {
        assert_eq!(ours.len(), theirs.len(), "{what}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!(
                (ours - theirs).abs() <= tolerance * theirs.abs().max(1.0),
                "{what}: {ours} instead of {theirs}"
            );
        }
    };
    let device = Device::flex();
    let pixels = numbers("images");
    let images = Tensor::<4>::from_data(TensorData::new(pixels.clone(), [3, 1, 4, 4]), &device);
    let posterior = model.encoder().unwrap().encode(images.clone());
    near("mean", &flat(&posterior.mean), &numbers("mean"));
    let log_variance = flat(&posterior.log_variance);
    near("log variance", &log_variance, &numbers("log_variance"));
    let prediction = model.predict(images);
    near("logits", &flat(&prediction.logits), &numbers("logits"));
    let similarities = flat(&prediction.similarities.unwrap());
    near("similarities", &similarities, &numbers("similarities"));
    let decoded = model.decode(posterior.mean).unwrap();
    near(
        "reconstruction",
        &flat(&decoded),
        &numbers("reconstruction"),
    );
    let host = HostBatch {
        images: pixels,
        labels: vec![0, 3, 9],
        indices: vec![0, 1, 2],
        shape: TINY,
    };
    let batch = Batch::new(host, TINY, 10, 0, 0, &device).unwrap();
    for term in model.losses(&batch, Mode::Evaluation).terms {
        let theirs = expected["terms"][term.name].as_f64().unwrap() as f32;
        near(term.name, &flat(&term.value), &[theirs]);
    }
}

#[test]
fn checkpoints_of_pytorch_compute_what_they_compute_there() {
    for (name, tolerance) in [
        ("reference.pth", 1e-5),
        ("legacy.pth", 1e-5),
        ("module.pth", 1e-5),
        // Half precision, inside a checkpoint, behind `module.`.
        ("nested.pth", 2e-2),
    ] {
        let stored = StateDict::open(&golden(name)).unwrap();
        assert_eq!(stored.layout().unwrap(), Layout::Reference2022, "{name}");
        let loaded = weights::load(tiny_model(5), &stored, Layout::Reference2022, Part::All);
        let (model, report) = loaded.unwrap();
        computes_the_golden_values(&model, tolerance);
        assert!(report.kept.is_empty());
        let counters = |name: &&String| name.ends_with(".num_batches_tracked");
        let counted = report.left_out.iter().filter(counters).count();
        assert_eq!((counted, report.left_out.len()), (3, 4), "{name}");
        assert!(report.left_out.contains(&"ones".to_string()));
    }
}

#[test]
fn the_digest_is_of_the_file() {
    let hexadecimal = |bytes: &[u8]| -> String {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let bytes = fs::read(golden("reference.pth")).unwrap();
    let stored = StateDict::open(&golden("reference.pth")).unwrap();
    assert_eq!(stored.sha256(), hexadecimal(&bytes));
    let bytes = bytes_of(&weights::export(&tiny_model(1), Layout::Pytorch).unwrap());
    assert_eq!(open(&bytes).unwrap().sha256(), hexadecimal(&bytes));
}

#[test]
fn code_in_a_file_is_not_run() {
    let message = StateDict::open(&golden("hostile.pth"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("weights_only=True") && message.contains("safetensors.torch.save_file"),
        "{message}"
    );
    assert!(!Path::new("hostile-code-was-run").exists());
}

#[test]
fn names_and_shapes_are_those_of_the_originals() {
    let text = fs::read_to_string(golden("names.json")).unwrap();
    let originals: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(&text).unwrap();
    assert_eq!(originals.len(), Network::SMALL.len() + 1);
    for (name, mut expected) in originals {
        let (model, layout) = match name.parse::<Network>() {
            Ok(network) => {
                let recipe = json!({
                    "type": "protovae", "latent_dimensions": network.latent_dimensions(),
                    "prototypes_per_class": network.prototypes_per_class(), "head": {"type": "prototype"},
                    "encoder": serde_json::to_value(network.encoder()).unwrap(),
                    "decoder": serde_json::to_value(network.decoder()).unwrap(),
                });
                let model = model(&recipe, network.image(), 0, &Device::flex());
                (model, Layout::Reference2022)
            }
            Err(_) => (resnet(0), Layout::Torchvision),
        };
        // What is counted, and another task's classifier.
        expected.retain(|name, _| !name.ends_with("num_batches_tracked"));
        if layout == Layout::Torchvision {
            expected.retain(|name, _| !name.starts_with("fc."));
        }
        let exported = weights::export(&model, layout).unwrap();
        let found: BTreeMap<_, _> = exported
            .into_iter()
            .map(|tensor| {
                assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
                (tensor.name, tensor.shape)
            })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

//! Weights in and out: files as PyTorch writes them (`golden/weights.py`), every fault, and what goes out comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use protovae_backbones::networks::Network;
use protovae_backbones::weights::{
    self, Layout, NamedTensor, Part, Problem, StateDict, WeightsError,
};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, Mode, ModelConfig, ModelSpec, trainable_values};
use protovae_core::random::Initializer;
use protovae_core::train::{Batch, HostBatch};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use common::flat;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/weights")
        .join(name)
}

/// The recipe of the golden files' model.
fn tiny() -> Value {
    json!({
        "type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 2,
        "encoder": {"type": "conv-pool", "widths": [2]},
        "decoder": {"type": "conv-transpose", "start": [2, 2, 2], "stages": [{"transpose": 2}]},
        "head": {"type": "prototype"},
        "loss": {"convention": "reference2022"},
    })
}

const TINY: ImageShape = ImageShape::new(1, 4, 4);

fn model(recipe: &Value, image: ImageShape, seed: u64, device: &Device) -> BoxModel {
    let recipe: Box<dyn ModelConfig> = serde_json::from_value(recipe.clone()).unwrap();
    let spec = ModelSpec { image, classes: 10 };
    let mut init = Initializer::new(seed, device);
    recipe.build(&spec, &mut init).unwrap()
}

fn tiny_model(seed: u64) -> BoxModel {
    model(&tiny(), TINY, seed, &Device::flex())
}

fn resnet(seed: u64) -> BoxModel {
    let recipe = json!({
        "type": "black-box", "latent_dimensions": 3, "encoder": {"type": "resnet18"}, "head": {"type": "linear"},
    });
    let image = ImageShape::new(3, 32, 32);
    model(&recipe, image, seed, &Device::flex())
}

/// A file in a folder of its own, which must be kept.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let (_folder, path) = file(bytes);
    StateDict::open(&path)
}

fn bytes_of(tensors: &[NamedTensor]) -> Vec<u8> {
    weights::to_safetensors(tensors, None).unwrap()
}

fn stored(tensors: &[NamedTensor]) -> StateDict {
    open(&bytes_of(tensors)).unwrap()
}

fn load(stored: &StateDict, layout: Layout) -> Result<BoxModel, WeightsError> {
    let loaded = weights::load(tiny_model(5), stored, layout, Part::All);
    loaded.map(|(model, _)| model)
}

fn problems<T: std::fmt::Debug>(result: Result<T, WeightsError>) -> Vec<Problem> {
    match result {
        Err(WeightsError::Mismatch { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

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
    let posterior = model.encoder().encode(images.clone());
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
    assert_eq!(originals.len(), Network::ALL.len() + 1);
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

#[test]
fn everything_that_is_wrong_is_listed() {
    let mut tensors = weights::export(&tiny_model(1), Layout::Reference2022).unwrap();
    tensors.retain(|tensor| tensor.name != "features.0.bias" && tensor.name != "last_layer.weight");
    for tensor in &mut tensors {
        match tensor.name.as_str() {
            "features.2.weight" => {
                tensor.shape = vec![3];
                tensor.values.push(0.0);
            }
            // As many values, but the other way round.
            "features.5.weight" => tensor.shape.reverse(),
            "features.7.bias" => tensor.values[1] = f32::NAN,
            "decoder_layers.2.running_var" => tensor.values[0] = -0.5,
            _ => {}
        }
    }
    for name in ["features.7.scale", "mystery"] {
        tensors.push(NamedTensor {
            name: name.into(),
            shape: vec![1],
            values: vec![0.0],
        });
    }
    let stored = stored(&tensors);
    let result = load(&stored, Layout::Reference2022);
    let message = result.as_ref().unwrap_err().to_string();
    let found = problems(result.map(|_| ()));
    assert_eq!(found.len(), 8, "{message}");
    for words in [
        "nothing was loaded",
        "missing   features.0.bias [2]",
        "missing   last_layer.weight [10, 20]",
        "misshapen features.2.weight [3], the model has [2]",
        "misshapen features.5.weight [8, 4], the model has [4, 8]",
        "values    features.7.bias has 1 values that are not finite",
        "values    decoder_layers.2.running_var has variances below 0",
        "unknown   features.7.scale [1]",
        "unknown   mystery [1]",
    ] {
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
}

#[test]
fn floating_point_of_other_widths_becomes_32_bits_and_other_types_are_refused() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    // Powers of two are exact in every width.
    let exact: Vec<NamedTensor> = tensors
        .iter()
        .map(|tensor| NamedTensor {
            values: (0..tensor.values.len())
                .map(|place| 2f32.powi(place as i32 % 9 - 4))
                .collect(),
            ..tensor.clone()
        })
        .collect();
    let written = |dtype: Dtype, encode: &dyn Fn(f32) -> Vec<u8>| {
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = exact
            .iter()
            .map(|tensor| {
                let bytes = tensor.values.iter().flat_map(|v| encode(*v)).collect();
                (tensor.name.clone(), tensor.shape.clone(), bytes)
            })
            .collect();
        let views = data.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).unwrap();
            (name.as_str(), view)
        });
        open(&serialize(views, None).unwrap()).unwrap()
    };
    // Of a power of two: sign 0, mantissa 0, the exponent with the other bias.
    let exponent = |value: f32| (value.to_bits() >> 23) as u16;
    let half = |value: f32| ((exponent(value) + 15 - 127) << 10).to_le_bytes().to_vec();
    let brain = |value: f32| (exponent(value) << 7).to_le_bytes().to_vec();
    let double = |value: f32| f64::from(value).to_le_bytes().to_vec();
    for stored in [
        written(Dtype::F64, &double),
        written(Dtype::F16, &half),
        written(Dtype::BF16, &brain),
    ] {
        let loaded = load(&stored, Layout::Pytorch).unwrap();
        let again = weights::export(&loaded, Layout::Pytorch).unwrap();
        assert_eq!(again, exact);
    }
    let whole = |value: f32| (value as i32).to_le_bytes().to_vec();
    let eight = |value: f32| vec![value as u8];
    for (stored, kind) in [
        (written(Dtype::I32, &whole), "I32"),
        (written(Dtype::F8_E4M3, &eight), "F8_E4M3"),
    ] {
        let found = problems(load(&stored, Layout::Pytorch));
        assert_eq!(found.len(), exact.len());
        let wrong =
            |problem: &Problem| matches!(problem, Problem::Type { found, .. } if found == kind);
        assert!(found.iter().all(wrong), "{found:?}");
    }
    // A double that is too large for 32 bits.
    let huge = written(Dtype::F64, &|_| 1e300f64.to_le_bytes().to_vec());
    assert_eq!(problems(load(&huge, Layout::Pytorch)).len(), exact.len());
}

#[test]
fn layers_of_a_sequential_may_stand_at_other_places() {
    let tensors = weights::export(&tiny_model(1), Layout::Reference2022).unwrap();
    // Without the layer that flattens, and with pooling before the normalisation.
    let moved: Vec<NamedTensor> = tensors
        .iter()
        .map(|tensor| NamedTensor {
            name: match tensor.name.as_str() {
                "features.2.weight" => "features.3.weight".into(),
                "features.2.bias" => "features.3.bias".into(),
                "features.2.running_mean" => "features.3.running_mean".into(),
                "features.2.running_var" => "features.3.running_var".into(),
                "features.5.weight" => "features.4.weight".into(),
                "features.5.bias" => "features.4.bias".into(),
                "features.7.weight" => "features.16.weight".into(),
                "features.7.bias" => "features.16.bias".into(),
                name => name.into(),
            },
            ..tensor.clone()
        })
        .collect();
    let loaded = load(&stored(&moved), Layout::Reference2022).unwrap();
    let again = weights::export(&loaded, Layout::Reference2022).unwrap();
    assert_eq!(again, tensors);
    // What is missing then is called by its name in the file.
    let mut fewer = moved;
    fewer.retain(|tensor| tensor.name != "features.16.bias");
    let found = problems(load(&stored(&fewer), Layout::Reference2022));
    let missing = |problem: &Problem| matches!(problem, Problem::Missing { name, .. } if name == "features.16.bias");
    assert!(found.len() == 1 && missing(&found[0]), "{found:?}");
}

#[test]
fn wrappers_of_names_are_taken_off() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    for wrapper in ["module.", "_orig_mod.", "state_dict.", "model.module."] {
        let wrapped: Vec<NamedTensor> = tensors
            .iter()
            .map(|tensor| NamedTensor {
                name: format!("{wrapper}{}", tensor.name),
                ..tensor.clone()
            })
            .collect();
        let stored = stored(&wrapped);
        assert_eq!(stored.layout().unwrap(), Layout::Pytorch, "{wrapper}");
        load(&stored, Layout::Pytorch).unwrap();
    }
}

#[test]
fn the_layout_is_told_by_the_names() {
    for layout in Layout::ALL {
        let model = match layout {
            Layout::Torchvision => resnet(0),
            _ => tiny_model(0),
        };
        let tensors = weights::export(&model, layout).unwrap();
        assert_eq!(stored(&tensors).layout().unwrap(), layout);
        assert_eq!(Layout::named(layout.name()), Some(layout));
    }
    let foreign = stored(&[NamedTensor {
        name: "blocks.0.attn.qkv.weight".into(),
        shape: vec![1],
        values: vec![0.0],
    }]);
    let message = foreign.layout().unwrap_err().to_string();
    assert!(
        message.contains("qkv") && message.contains("reference2022"),
        "{message}"
    );
}

#[test]
fn a_model_that_cannot_have_a_layout_says_so() {
    let stored = stored(&weights::export(&tiny_model(0), Layout::Pytorch).unwrap());
    for (model, layout, words) in [
        (resnet(0), Layout::Reference2022, "layout pytorch"),
        (tiny_model(0), Layout::Torchvision, "no ResNet-18"),
    ] {
        let exported = weights::export(&model, layout).unwrap_err();
        let loaded = weights::load(model, &stored, layout, Part::All).unwrap_err();
        for error in [exported, loaded] {
            assert!(matches!(error, WeightsError::Unsuited { .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn a_part_takes_its_share_and_leaves_the_rest() {
    let other = json!({
        "type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 3,
        "encoder": {"type": "conv-pool", "widths": [2]},
        "decoder": {"type": "conv-transpose", "start": [1, 4, 4], "stages": []},
        "head": {"type": "prototype"},
    });
    let source = model(&other, TINY, 1, &Device::flex());
    for layout in [Layout::Protovae, Layout::Pytorch, Layout::Reference2022] {
        let file = stored(&weights::export(&source, layout).unwrap());
        for part in [Part::Encoder, Part::Backbone] {
            let before = weights::export(&tiny_model(5), Layout::Protovae).unwrap();
            let (loaded, report) = weights::load(tiny_model(5), &file, layout, part).unwrap();
            let after = weights::export(&loaded, Layout::Protovae).unwrap();
            let theirs = weights::export(&source, Layout::Protovae).unwrap();
            for (before, after) in before.iter().zip(&after) {
                let inside = part.contains(&after.name);
                assert_eq!(report.loaded.contains(&after.name), inside);
                assert_eq!(report.kept.contains(&after.name), !inside);
                match inside {
                    true => assert!(theirs.contains(after), "{}", after.name),
                    false => assert_eq!(before, after),
                }
            }
            assert!(after.iter().any(|tensor| part.contains(&tensor.name)));
        }
        // As a whole it does not fit.
        assert!(!weights::fits(&tiny_model(5), &file, layout, Part::All));
        assert!(weights::fits(&tiny_model(5), &file, layout, Part::Encoder));
        problems(load(&file, layout));
    }
}

#[test]
fn torchvisions_classifier_and_counters_are_left_out_and_the_tail_is_kept() {
    let mut tensors = weights::export(&resnet(1), Layout::Torchvision).unwrap();
    for (name, shape) in [("fc.weight", vec![1, 512]), ("fc.bias", vec![1])] {
        let values = vec![0.0; shape.iter().product()];
        tensors.push(NamedTensor {
            name: name.into(),
            shape,
            values,
        });
    }
    let file = stored(&tensors);
    let (loaded, report) =
        weights::load(resnet(2), &file, Layout::Torchvision, Part::Backbone).unwrap();
    assert_eq!(report.left_out, ["fc.bias", "fc.weight"]);
    assert_eq!((report.loaded.len(), report.kept.len()), (100, 6));
    assert!(
        report
            .kept
            .iter()
            .all(|path| !Part::Backbone.contains(path))
    );
    tensors.truncate(100);
    let again = weights::export(&loaded, Layout::Torchvision).unwrap();
    assert!(again == tensors);
    // A file that lacks a tensor is refused although only a part is loaded.
    tensors.retain(|tensor| tensor.name != "layer3.0.downsample.1.running_var");
    let found = problems(weights::load(
        resnet(2),
        &stored(&tensors),
        Layout::Torchvision,
        Part::Backbone,
    ));
    assert_eq!(found.len(), 1);
}

#[test]
fn loaded_models_train_what_they_trained() {
    let device = Device::flex().autodiff();
    for normalization in ["trained", "frozen"] {
        let recipe = json!({
            "type": "black-box", "latent_dimensions": 3, "head": {"type": "linear"},
            "encoder": {"type": "resnet18", "normalization": normalization},
        });
        let fresh = model(&recipe, ImageShape::new(3, 32, 32), 2, &device);
        let before = trainable_values(&fresh);
        let file = stored(&weights::export(&resnet(1), Layout::Torchvision).unwrap());
        let (loaded, _) = weights::load(fresh, &file, Layout::Torchvision, Part::Backbone).unwrap();
        assert_eq!(trainable_values(&loaded), before, "{normalization}");
    }
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let safetensors = bytes_of(&weights::export(&tiny_model(1), Layout::Reference2022).unwrap());
    let files = ["reference.pth", "legacy.pth", "module.pth", "nested.pth"]
        .map(|name| fs::read(golden(name)).unwrap());
    let (_folder, path) = file(&[]);
    let attempt = |bytes: &[u8]| -> bool {
        fs::write(&path, bytes).unwrap();
        StateDict::open(&path).is_ok_and(|stored| load(&stored, Layout::Reference2022).is_ok())
    };
    for good in files.iter().chain([&safetensors]) {
        assert!(attempt(good));
        // Truncated anywhere.
        for length in (0..good.len()).step_by(good.len() / 60 + 1) {
            assert!(!attempt(&good[..length]), "{length} of {}", good.len());
        }
        // Some bytes others: refused, or harmless.
        let mut state = 20_221_128u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..1 + random() % 4 {
                let place = random() % bytes.len();
                bytes[place] = random() as u8;
            }
            attempt(&bytes);
        }
    }
    // Noise, and what a browser saves in place of a file.
    for bytes in [
        &[][..],
        b"{}",
        b"<!DOCTYPE html><html>not found</html>",
        b"PK\x03\x04",
        b"\x80\x02",
        &[0xff; 4096],
    ] {
        let said = open(bytes).unwrap_err();
        assert!(matches!(said, WeightsError::Unreadable { .. }), "{said}");
    }
    // A header that declares more than there is.
    for length in [1u64 << 20, 1 << 40, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        assert!(open(&bytes).is_err());
    }
    let huge = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}    "#;
    let mut bytes = (huge.len() as u64).to_le_bytes().to_vec();
    bytes.extend(huge);
    bytes.extend([0; 4]);
    assert!(open(&bytes).is_err());
    // No file at all, and a folder.
    let missing = StateDict::open(Path::new("no/such/file")).unwrap_err();
    assert!(matches!(missing, WeightsError::Read { .. }));
    assert!(StateDict::open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
}

#[test]
fn a_file_is_the_same_bytes_each_time() {
    let tensors = weights::export(&tiny_model(1), Layout::Pytorch).unwrap();
    let once = weights::to_safetensors(&tensors, Some(("key", "value"))).unwrap();
    let twice = weights::to_safetensors(&tensors, Some(("key", "value"))).unwrap();
    assert_eq!(once, twice);
    let (_, header) = SafeTensors::read_metadata(&once).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["key"], "value");
    assert_eq!(open(&once).unwrap().metadata("key"), Some("value"));
    let wrong = NamedTensor {
        name: "a".into(),
        shape: vec![3],
        values: vec![0.0],
    };
    assert!(weights::to_safetensors(&[wrong], None).is_err());
}

/// A recipe of a ProtoVAE of 8×8 images, of one or two halvings.
fn recipes() -> impl Strategy<Value = Value> {
    let width = 1usize..4;
    let encoder = (
        prop::sample::select(vec!["conv-pool", "conv-stride"]),
        prop::collection::vec(width.clone(), 1..3),
    );
    let stage = prop_oneof![
        width.clone().prop_map(|width| json!({"conv": width})),
        // Two pixels more and two fewer.
        width
            .clone()
            .prop_map(|width| json!({"conv": width, "padding": 2})),
    ];
    let decoder = (prop::collection::vec(stage, 0..3), width, any::<bool>());
    (encoder, decoder, 1usize..4, 1usize..3).prop_map(
        |((kind, widths), (mut stages, start, doubled), latent, per_class)| {
            let wide = stages.iter().filter(|stage| stage["padding"] == 2).count();
            let mut side = 8 - 2 * wide;
            if doubled && side % 2 == 0 {
                side /= 2;
                stages.insert(0, json!({"transpose": 2}));
            }
            json!({
                "type": "protovae", "latent_dimensions": latent, "prototypes_per_class": per_class,
                "encoder": {"type": kind, "widths": widths},
                "decoder": {"type": "conv-transpose", "start": [start, side, side], "stages": stages},
                "head": {"type": "prototype"},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What goes out in any layout comes back as it was, into a model that was another.
    #[test]
    fn what_is_exported_is_imported(recipe in recipes()) {
        let image = ImageShape::new(1, 8, 8);
        let device = Device::flex();
        let source = model(&recipe, image, 1, &device);
        let expected = weights::export(&source, Layout::Protovae).unwrap();
        for layout in [Layout::Protovae, Layout::Pytorch, Layout::Reference2022] {
            let exported = weights::export(&source, layout).unwrap();
            let mut names: Vec<&str> = exported.iter().map(|tensor| tensor.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), exported.len(), "{} names twice", layout);
            let target = model(&recipe, image, 2, &device);
            prop_assert!(weights::export(&target, Layout::Protovae).unwrap() != expected);
            let (loaded, _) = weights::load(target, &stored(&exported), layout, Part::All).unwrap();
            prop_assert_eq!(sorted(weights::export(&loaded, Layout::Protovae).unwrap()), sorted(expected.clone()));
        }
    }
}

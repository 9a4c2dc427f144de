//! Whole models with PyTorch's weights against what PyTorch computes with them: `golden/parity.py networks` writes the files,
//! runs this test and compares what it exports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones::encoders::ResNet18;
use protovae_backbones::weights::{self, Layout, Part, StateDict};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, Mode, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{Batch, HostBatch};
use safetensors::SafeTensors;
use serde::Deserialize;

use common::flat;

/// What may lie between a value of ours and PyTorch's, of the largest one if that is above 1.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Case {
    layout: Layout,
    weights: String,
    model: Box<dyn ModelConfig>,
    image: [usize; 3],
    classes: usize,
    labels: Vec<usize>,
    terms: BTreeMap<String, f64>,
}

fn read(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| -> Vec<f32> {
        let chunks = data.chunks_exact(4);
        chunks
            .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap()))
            .collect()
    };
    tensors
        .iter()
        .map(|(name, view)| {
            (
                name.to_string(),
                (view.shape().to_vec(), values(view.data())),
            )
        })
        .collect()
}

/// The differences of a case by what they are of, each relative to the largest value if that is above 1.
fn differences(folder: &Path) -> BTreeMap<String, f32> {
    let case: Case =
        serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let device = Device::flex();
    let [channels, height, width] = case.image;
    let image = ImageShape::new(channels, height, width);
    let spec = ModelSpec {
        image,
        classes: case.classes,
    };
    let model = case
        .model
        .build(&spec, &mut Initializer::new(99, &device))
        .unwrap();
    let stored = StateDict::open(&folder.join(&case.weights)).unwrap();
    assert_eq!(stored.layout().unwrap(), case.layout);
    let part = Part::of(case.layout);
    let (model, report) = weights::load(model, &stored, case.layout, part).unwrap();
    assert!(part == Part::Backbone || report.kept.is_empty());

    let mut expected = read(&folder.join("expected.safetensors"));
    let (shape, pixels) = expected.remove("images").unwrap();
    let images = TensorData::new(pixels.clone(), shape);
    let images = Tensor::<4>::from_data(images, &device);
    let mut found = BTreeMap::new();
    for (name, (_, theirs)) in &expected {
        found.insert(
            name.clone(),
            difference(&computed(&model, name, &images), theirs),
        );
    }
    if !case.labels.is_empty() {
        let host = HostBatch {
            images: pixels,
            indices: (0..case.labels.len() as u64).collect(),
            labels: case.labels,
            shape: image,
        };
        let batch = Batch::new(host, image, case.classes, 0, 0, &device).unwrap();
        for term in model.losses(&batch, Mode::Evaluation).terms {
            let theirs = case.terms[term.name] as f32;
            let apart = difference(&flat(&term.value), &[theirs]);
            found.insert(format!("loss {}", term.name), apart);
        }
    }
    let exported = weights::export(&model, case.layout).unwrap();
    let bytes = weights::to_safetensors(&exported, None).unwrap();
    fs::write(folder.join("exported.safetensors"), bytes).unwrap();
    found
}

fn computed(model: &BoxModel, what: &str, images: &Tensor<4>) -> Vec<f32> {
    let images = images.clone();
    let prediction = || model.predict(images.clone());
    match what {
        "mean" => flat(&prediction().latents.unwrap()),
        "log_variance" => flat(&model.encoder().unwrap().encode(images).log_variance),
        "similarities" => flat(&prediction().similarities.unwrap()),
        "logits" => flat(&prediction().logits),
        "reconstruction" => flat(&model.decode(prediction().latents.unwrap()).unwrap()),
        "features" => {
            let resnet = model.encoder().unwrap().downcast_ref::<ResNet18>().unwrap();
            flat(&resnet.features(images))
        }
        other => panic!("{other}"),
    }
}

fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(1f32, |most, v| most.max(v.abs()));
    let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    // A NaN must not pass as 0.
    apart.fold(0f32, |most, v| if v <= most { most } else { v }) / largest
}

#[test]
#[ignore = "needs the files that golden/parity.py writes, in the folder PROTOVAE_PARITY"]
fn models_compute_what_pytorch_computes() {
    let folder = PathBuf::from(std::env::var_os("PROTOVAE_PARITY").unwrap());
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut too_far = Vec::new();
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let found = differences(&case);
        let words: Vec<String> = found
            .iter()
            .map(|(what, apart)| format!("{what} {apart:.1e}"))
            .collect();
        println!("{name}: {}", words.join(", "));
        let far = found
            .into_iter()
            .filter(|(_, apart)| apart.is_nan() || *apart > TOLERANCE);
        too_far.extend(far.map(|(what, apart)| format!("{name} {what} {apart}")));
    }
    assert!(too_far.is_empty(), "{too_far:?}");
}

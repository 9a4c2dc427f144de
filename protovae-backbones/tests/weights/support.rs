//! Small models, and files of their weights.

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use protovae_backbones::weights::{
    self, Layout, NamedTensor, Part, Problem, StateDict, WeightsError,
};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use serde_json::{Value, json};

pub(crate) fn golden(name: &str) -> PathBuf {
    // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("tests/golden/weights").join(name)
}

/// The recipe of the golden files' model.
pub(crate) fn tiny() -> Value {
    json!({
        "type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 2,
        "encoder": {"type": "conv-pool", "widths": [2]},
        "decoder": {"type": "conv-transpose", "start": [2, 2, 2], "stages": [{"transpose": 2}]},
        "head": {"type": "prototype"},
        "loss": {"convention": "reference2022"},
    })
}

pub(crate) const TINY: ImageShape = ImageShape::new(1, 4, 4);

pub(crate) fn model(recipe: &Value, image: ImageShape, seed: u64, device: &Device) -> BoxModel {
    let recipe: Box<dyn ModelConfig> = serde_json::from_value(recipe.clone()).unwrap();
    let spec = ModelSpec { image, classes: 10 };
    let mut init = Initializer::new(seed, device);
    recipe.build(&spec, &mut init).unwrap()
}

pub(crate) fn tiny_model(seed: u64) -> BoxModel {
    model(&tiny(), TINY, seed, &Device::flex())
}

pub(crate) fn resnet(seed: u64) -> BoxModel {
    let recipe = json!({
        "type": "black-box", "latent_dimensions": 3, "encoder": {"type": "resnet18"}, "head": {"type": "linear"},
    });
    let image = ImageShape::new(3, 32, 32);
    model(&recipe, image, seed, &Device::flex())
}

/// A file in a folder of its own, which must be kept.
pub(crate) fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

pub(crate) fn open(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let (_folder, path) = file(bytes);
    StateDict::open(&path)
}

pub(crate) fn bytes_of(tensors: &[NamedTensor]) -> Vec<u8> {
    weights::to_safetensors(tensors, None).unwrap()
}

pub(crate) fn stored(tensors: &[NamedTensor]) -> StateDict {
    open(&bytes_of(tensors)).unwrap()
}

pub(crate) fn load(stored: &StateDict, layout: Layout) -> Result<BoxModel, WeightsError> {
    let loaded = weights::load(tiny_model(5), stored, layout, Part::All);
    loaded.map(|(model, _)| model)
}

pub(crate) fn problems<T: std::fmt::Debug>(result: Result<T, WeightsError>) -> Vec<Problem> {
    match result {
        Err(WeightsError::Mismatch { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

//! A small ProtoPNet and images for it.

use burn::tensor::{Device, Tensor};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, EpochDone, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{BatchSource, HostBatch, InMemorySource};
use serde_json::{Value, json};

use crate::common::{flat, noise};

pub(crate) const SPEC: ModelSpec = ModelSpec {
    image: ImageShape::new(1, 8, 8),
    classes: 3,
};

pub(crate) fn recipe() -> Value {
    json!({
        "type": "protopnet",
        "encoder": {"type": "conv-pool", "widths": [4]},
        "prototypes_per_class": 2,
        "channels": 5,
    })
}

pub(crate) fn config(recipe: &Value) -> Box<dyn ModelConfig> {
    serde_json::from_value(recipe.clone()).unwrap()
}

/// Fresh, on an autodiff device.
pub(crate) fn model(recipe: &Value) -> BoxModel {
    let device = Device::flex().autodiff();
    let mut init = Initializer::new(5, &device);
    config(recipe).build(&SPEC, &mut init).unwrap()
}

/// `count` images with labels 0, 1, 2, 0, ... and a bright row each that tells the class.
pub(crate) fn images(count: usize) -> HostBatch {
    let pixels = SPEC.image.values();
    let mut values = flat(&noise([count, pixels], 3, &Device::flex()));
    let labels: Vec<usize> = (0..count).map(|index| index % SPEC.classes).collect();
    for (image, label) in values.chunks_exact_mut(pixels).zip(&labels) {
        image.iter_mut().for_each(|value| *value *= 0.3);
        image[(2 * label + 1) * 8..][..8].fill(0.9);
    }
    HostBatch {
        images: values,
        labels,
        indices: (0..count as u64).collect(),
        shape: SPEC.image,
    }
}

/// The same images in batches.
pub(crate) fn batches(all: &HostBatch, size: usize) -> InMemorySource {
    let pixels = SPEC.image.values();
    let parts = (0..all.labels.len()).step_by(size).map(|start| {
        let end = (start + size).min(all.labels.len());
        HostBatch {
            images: all.images[start * pixels..end * pixels].to_vec(),
            labels: all.labels[start..end].to_vec(),
            indices: all.indices[start..end].to_vec(),
            shape: all.shape,
        }
    });
    InMemorySource::new(parts.collect())
}

pub(crate) fn tensor(all: &HostBatch) -> Tensor<4> {
    let dims = [all.labels.len(), 1, 8, 8];
    let data = burn::tensor::TensorData::new(all.images.clone(), dims);
    Tensor::from_data(data, &Device::flex())
}

/// What is left of `model` after the end of the last epoch.
pub(crate) fn pushed(model: &BoxModel, images: &dyn BatchSource) -> BoxModel {
    let device = Device::flex();
    let done = EpochDone {
        epoch: 0,
        epochs: 1,
        seed: 7,
        images,
        max_batches: None,
        device: &device,
    };
    model.after_epoch(&done).unwrap().unwrap()
}

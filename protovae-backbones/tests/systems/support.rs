//! Models and data that the tests share.

use burn::tensor::Device;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{
    HostBatch, InMemorySource, RunDirectory, Silent, Trained, Trainer, TrainingConfig,
};
// The recipes are found by their tags.
use protovae_backbones as _;

pub const IMAGE: ImageShape = ImageShape::new(1, 8, 8);
pub const SPEC: ModelSpec = ModelSpec {
    image: IMAGE,
    classes: 3,
};
pub const SEED: u64 = 5;

pub fn config(recipe: &str) -> Box<dyn ModelConfig> {
    serde_json::from_str(recipe).unwrap()
}

pub fn model(recipe: &str) -> BoxModel {
    let device = Device::flex().autodiff();
    config(recipe)
        .build(&SPEC, &mut Initializer::new(SEED, &device))
        .unwrap()
}

/// Values in `[-1, 1]` that look random and are the same everywhere.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Images with a bright quarter, which one says the class; the fourth is never bright.
pub fn batch(samples: usize, first: u64) -> HostBatch {
    let labels: Vec<usize> = (0..samples)
        .map(|sample| (sample + first as usize) % 3)
        .collect();
    let mut images = noise(samples * IMAGE.values(), first + 1);
    for (image, label) in images.chunks_mut(IMAGE.values()).zip(&labels) {
        for (pixel, value) in image.iter_mut().enumerate() {
            let quarter = (pixel / 32) * 2 + (pixel % 8) / 4;
            let base = if quarter == *label { 0.6 } else { -0.6 };
            *value = base + 0.4 * *value;
        }
    }
    HostBatch {
        images,
        labels,
        indices: (first..first + samples as u64).collect(),
        shape: IMAGE,
    }
}

pub fn source() -> InMemorySource {
    InMemorySource::new(vec![batch(12, 0), batch(12, 12), batch(7, 24)])
}

pub fn fit(model: BoxModel, epochs: usize, run: Option<&RunDirectory>, resume: bool) -> Trained {
    let config = TrainingConfig {
        epochs,
        batch_size: 12,
        checkpoint_every: 2,
        ..TrainingConfig::default()
    };
    Trainer {
        config: &config,
        seed: SEED,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &source(),
        unchanged: &source(),
        test: &InMemorySource::new(vec![batch(10, 100)]),
        class_names: &[],
        data_digest: "quarters",
        run,
        observer: &mut Silent,
    }
    .fit(model, resume)
    .unwrap()
}

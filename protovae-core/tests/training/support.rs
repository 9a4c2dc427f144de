//! The toy, its data, and its runs.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use protovae_core::loss::{Convention, LossConfig};
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{
    EpochRecord, HostBatch, InMemorySource, MetricsLine, ModelCard, Observer, RunDirectory, Silent,
    Timing, Trained, Trainer, TrainingConfig, save_model,
};
use protovae_core::{ImageShape, Result};
use serde_json::json;

use crate::common::toys::toy_protovae;
use crate::common::values;

pub(super) const IMAGE: ImageShape = ImageShape::new(1, 2, 3);
pub(super) const CLASSES: usize = 2;
pub(super) const SPEC: ModelSpec = ModelSpec {
    image: IMAGE,
    classes: CLASSES,
};
pub(super) const SEED: u64 = 11;

/// Bright images are class 1, dark ones class 0.
pub(super) fn batch(samples: usize, number: u64) -> HostBatch {
    let noise = values(samples * IMAGE.values(), 100 + number, -0.5, 0.5);
    let labels: Vec<usize> = (0..samples)
        .map(|sample| (sample + number as usize) % CLASSES)
        .collect();
    let images = noise
        .iter()
        .enumerate()
        .map(|(index, noise)| {
            let label = labels[index / IMAGE.values()];
            noise + if label == 1 { 0.45 } else { -0.45 }
        })
        .collect();
    HostBatch {
        images,
        labels,
        indices: (0..samples as u64)
            .map(|sample| number * 100 + sample)
            .collect(),
        shape: IMAGE,
    }
}

/// Five batches, the last smaller.
pub(super) fn train_source() -> InMemorySource {
    let sizes = [6, 6, 6, 6, 3];
    InMemorySource::new(
        sizes
            .iter()
            .enumerate()
            .map(|(number, size)| batch(*size, number as u64))
            .collect(),
    )
}

pub(super) fn test_source() -> InMemorySource {
    InMemorySource::new(vec![batch(8, 50), batch(5, 51)])
}

pub(super) fn recipe() -> Box<dyn ModelConfig> {
    let mut recipe = toy_protovae(3, 2, LossConfig::new(Convention::SampledMean));
    recipe.latent_dimensions = 3;
    Box::new(recipe)
}

pub(super) fn fresh(recipe: &dyn ModelConfig) -> BoxModel {
    let device = Device::flex().autodiff();
    recipe
        .build(&SPEC, &mut Initializer::new(SEED, &device))
        .unwrap()
}

pub(super) fn settings(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        epochs,
        batch_size: 6,
        learning_rate: 0.02,
        log_every: 2,
        ..TrainingConfig::default()
    }
}

pub(super) fn fit_model(
    config: &TrainingConfig,
    model: BoxModel,
    run: Option<&RunDirectory>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    Trainer {
        config,
        seed: SEED,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &train_source(),
        unchanged: &train_source(),
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run,
        observer,
    }
    .fit(model, resume)
}

pub(super) fn fit(config: &TrainingConfig, run: &RunDirectory, resume: bool) -> Result<Trained> {
    fit_model(config, fresh(&*recipe()), Some(run), resume, &mut Silent)
}

pub(super) fn card() -> ModelCard {
    let recipe = recipe();
    let model = serde_json::to_value(recipe.resolved(&SPEC).unwrap()).unwrap();
    ModelCard {
        class_names: vec!["dark".to_string(), "bright".to_string()],
        seed: SEED,
        ..ModelCard::new(model, recipe.reported_as(), IMAGE)
    }
}

pub(super) fn model_bytes(folder: &Path, model: &BoxModel) -> Vec<u8> {
    let path = folder.join("model.safetensors");
    save_model(&path, model, &card()).unwrap();
    fs::read(path).unwrap()
}

pub(super) fn new_run(place: PathBuf) -> RunDirectory {
    let run = RunDirectory::create(place, false).unwrap();
    run.write_config(&json!({"model": {"type": "toy"}, "data": {"type": "toy"}}))
        .unwrap();
    run
}

/// Metrics without the one part that two equal runs do not share.
pub(super) fn metrics(run: &RunDirectory) -> Vec<MetricsLine> {
    let mut lines = run.read_metrics().unwrap();
    for line in &mut lines {
        if let MetricsLine::Epoch(record) = line {
            record.timing = Timing::default();
        }
    }
    lines
}

pub(super) fn epochs(run: &RunDirectory) -> Vec<EpochRecord> {
    let lines = metrics(run).into_iter();
    lines
        .filter_map(|line| match line {
            MetricsLine::Epoch(record) => Some(*record),
            _ => None,
        })
        .collect()
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

pub(super) fn trained_model() -> BoxModel {
    fit_model(&settings(2), fresh(&*recipe()), None, false, &mut Silent)
        .unwrap()
        .model
}

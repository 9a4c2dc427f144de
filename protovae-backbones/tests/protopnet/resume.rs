//! A run that is cut off before, in and after pushes ends as one that was not, and what was pushed survives in files.

use std::path::Path;

use burn::tensor::Device;
use protovae_core::model::BoxModel;
use protovae_core::train::{
    BatchSource, EpochBatches, InMemorySource, ModelCard, RunDirectory, Silent, Trainer,
    TrainingConfig, load_model, save_model_as,
};
use protovae_core::{Precision, Result};
use serde_json::{Value, json};

use crate::common::values;
use crate::support::{SPEC, batches, images, model, recipe};

fn pushing() -> Value {
    let mut recipe = recipe();
    recipe["warm_up_epochs"] = json!(1);
    recipe["push_start"] = json!(1);
    recipe["push_every"] = json!(2);
    recipe
}

fn settings() -> TrainingConfig {
    TrainingConfig {
        epochs: 5,
        batch_size: 6,
        checkpoint_every: 2,
        ..TrainingConfig::default()
    }
}

/// Breaks off when it is read for the time with this number.
struct BreaksOff {
    inner: InMemorySource,
    left: std::cell::Cell<usize>,
}

impl BatchSource for BreaksOff {
    fn samples(&self) -> usize {
        self.inner.samples()
    }
    fn batches(&self) -> usize {
        self.inner.batches()
    }
    fn epoch(&self, epoch: u64, first: usize) -> Result<Box<dyn EpochBatches + '_>> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 0 {
            return Err(protovae_core::Error::config("data", "gone"));
        }
        self.inner.epoch(epoch, first)
    }
}

fn fit(run: &RunDirectory, reads: usize) -> Result<BoxModel> {
    let all = images(20);
    let train = batches(&all, 6);
    let unchanged = BreaksOff {
        inner: batches(&all, 6),
        left: std::cell::Cell::new(reads),
    };
    let device = Device::flex().autodiff();
    let trained = Trainer {
        config: &settings(),
        seed: 3,
        device: &device,
        helpers: &[],
        train: &train,
        unchanged: &unchanged,
        test: &batches(&images(9), 4),
        class_names: &[],
        data_digest: "digest",
        run: Some(run),
        observer: &mut Silent,
    }
    .fit(model(&pushing()), true)?;
    Ok(trained.model)
}

#[test]
fn a_run_cut_off_in_its_pushes_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let whole = RunDirectory::create(folder.path().join("whole"), false).unwrap();
    let expected = fit(&whole, 100).unwrap();
    let cut = RunDirectory::create(folder.path().join("cut"), false).unwrap();
    // Pushes after epochs 1, 3 and 4 read the images twice each: the break comes in the first pass, in the second, and so on.
    for reads in [0, 1, 0, 3, 2] {
        assert!(fit(&cut, reads).is_err(), "{reads}");
    }
    let found = fit(&cut, 100).unwrap();
    assert_eq!(values(&found), values(&expected));
    assert_eq!(found.provenance(), expected.provenance());
}

fn saved(model: &BoxModel, path: &Path, precision: Precision) {
    let mut card = ModelCard::new(pushing(), "protopnet".to_string(), SPEC.image);
    card.class_names = ["a", "b", "c"].map(str::to_string).to_vec();
    save_model_as(path, model, &card, precision).unwrap();
}

#[test]
fn places_are_in_the_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run"), false).unwrap();
    let model = fit(&run, 100).unwrap();
    let path = folder.path().join("model.safetensors");
    saved(&model, &path, Precision::F32);
    let (loaded, _) = load_model(&path, &Device::flex()).unwrap();
    assert_eq!(loaded.provenance(), model.provenance());
    assert!(loaded.provenance().unwrap().iter().all(Option::is_some));
    assert_eq!(values(&loaded), values(&model));
    // Weights may be rounded, places may not.
    saved(&model, &path, Precision::F16);
    let (loaded, _) = load_model(&path, &Device::flex()).unwrap();
    assert_eq!(loaded.provenance(), model.provenance());
    assert_ne!(values(&loaded), values(&model));
}

//! Models whose epochs differ, and that do something after the steps of an epoch.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use protovae_core::model::{
    BoxModel, EpochDone, Mode, Model, Phase, Prediction, StepOutput, replaced,
};
use protovae_core::train::{Batch, RunDirectory, Silent};
use protovae_core::{ImageShape, Result};

use super::support::{CLASSES, IMAGE, batch, fit_model, fresh, model_bytes, recipe, settings};

/// Keeps its encoder in the first epoch, makes no steps in the second, and notes the sum of all training pixels after each.
#[derive(Module, Debug)]
struct Phased {
    inner: BoxModel,
    notes: Param<Tensor<1>>,
}

impl Model for Phased {
    fn kind(&self) -> &'static str {
        "phased"
    }
    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput {
        self.inner.losses(batch, mode)
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        self.inner.predict(images)
    }
    fn image_shape(&self) -> ImageShape {
        IMAGE
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn phase(&self, epoch: usize) -> Phase {
        match epoch {
            0 => Phase {
                learning_rates: BTreeMap::from([("inner.encoder".to_string(), 0.0)]),
                ..Phase::default()
            },
            1 => Phase {
                steps: false,
                ..Phase::default()
            },
            _ => Phase::default(),
        }
    }
    fn after_epoch(&self, done: &EpochDone<'_>) -> Result<Option<BoxModel>> {
        let mut sum = 0.0;
        for host in done.images.epoch(0, 0)? {
            let host = host?;
            let batch = Batch::new(host, IMAGE, CLASSES, done.seed, 0, done.device)?;
            sum += batch.images.sum().into_scalar::<f32>();
        }
        let new = Tensor::from_floats([sum + done.epoch as f32], done.device);
        let old = self.notes.val().to_device(done.device).without_autodiff();
        let notes = replaced(&self.notes, old * 10.0 + new);
        Ok(Some(BoxModel::new(Self {
            notes,
            ..self.clone()
        })))
    }
}

fn phased() -> BoxModel {
    let device = Device::flex().autodiff();
    let notes = Tensor::from_floats([0.0], &device);
    BoxModel::new(Phased {
        inner: fresh(&*recipe()),
        notes: Param::from_tensor(notes).set_require_grad(false),
    })
}

fn values(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn notes(model: &BoxModel) -> f32 {
    let model = model.downcast_ref::<Phased>().unwrap();
    values(model.notes.val())[0]
}

/// Latents and logits of the first training batch.
fn seen(model: &BoxModel) -> (Vec<f32>, Vec<f32>) {
    let host = batch(6, 0);
    let batch = Batch::new(host, IMAGE, CLASSES, 0, 0, &Device::flex()).unwrap();
    let seen = model.valid().predict(batch.images);
    (
        values(seen.latents.unwrap().flatten(0, 1)),
        values(seen.logits.flatten(0, 1)),
    )
}

fn trained(epochs: usize) -> BoxModel {
    fit_model(&settings(epochs), phased(), None, false, &mut Silent)
        .unwrap()
        .model
}

#[test]
fn rates_of_a_phase_hold_for_it_alone() {
    let (latents, logits) = seen(&phased());
    let (frozen, first) = seen(&trained(1));
    assert_eq!(
        latents, frozen,
        "the encoder stays as it was in the first epoch"
    );
    assert_ne!(logits, first, "the head does not");
    assert_eq!(
        seen(&trained(2)),
        (frozen, first.clone()),
        "no steps in the second epoch"
    );
    let (moved, last) = seen(&trained(3));
    assert!(
        moved != latents && last != first,
        "everything is trained in the third"
    );
}

/// A name that goes further than the phase's does not take a parameter out of what the phase keeps.
#[test]
fn a_rate_of_zero_of_a_phase_keeps_what_the_configuration_names() {
    let with = |rates: &[(&str, f64)], epochs: usize| {
        let rates = rates.iter().map(|(name, rate)| (name.to_string(), *rate));
        let config = protovae_core::train::TrainingConfig {
            learning_rates: rates.collect(),
            ..settings(epochs)
        };
        let trained = fit_model(&config, phased(), None, false, &mut Silent).unwrap();
        seen(&trained.model)
    };
    let own = [("inner.encoder.weight", 1e-2)];
    assert_eq!(with(&own, 1), with(&[], 1));
    assert_eq!(with(&own, 1).0, seen(&phased()).0);
    // Without a phase it is the configuration's rate that holds.
    assert_ne!(with(&own, 3), with(&[], 3));
}

#[test]
fn a_model_changes_itself_after_each_epoch() {
    let pixels: f32 = (0..5)
        .flat_map(|number| batch([6, 6, 6, 6, 3][number], number as u64).images)
        .sum();
    let expected = ((pixels * 10.0) + pixels + 1.0) * 10.0 + pixels + 2.0;
    let found = notes(&trained(3));
    assert!(
        (found - expected).abs() < 1e-2 * expected.abs().max(1.0),
        "{found} {expected}"
    );
}

/// An epoch without steps is saved under the name of the one before, in its place.
#[test]
fn checkpoints_of_one_step_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path().join("run"), false).unwrap();
    let config = protovae_core::train::TrainingConfig {
        keep_checkpoints: 1,
        ..settings(2)
    };
    let found = fit_model(&config, phased(), Some(&run), false, &mut Silent).unwrap();
    let names: Vec<_> = std::fs::read_dir(run.checkpoints())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["step-000000005"]);
    let again = fit_model(&config, phased(), Some(&run), true, &mut Silent).unwrap();
    assert!(again.last.is_none(), "both epochs are in it");
    assert_eq!(notes(&again.model), notes(&found.model));
}

#[test]
fn a_run_cut_off_between_its_phases_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let whole = RunDirectory::create(folder.path().join("whole"), false).unwrap();
    let expected = fit_model(&settings(4), phased(), Some(&whole), false, &mut Silent).unwrap();
    let cut = RunDirectory::create(folder.path().join("cut"), false).unwrap();
    for epochs in 1..=4 {
        let config = protovae_core::train::TrainingConfig {
            checkpoint_every: 2,
            ..settings(epochs)
        };
        fit_model(&config, phased(), Some(&cut), true, &mut Silent).unwrap();
    }
    let found = fit_model(&settings(4), phased(), Some(&cut), true, &mut Silent).unwrap();
    assert_eq!(notes(&found.model), notes(&expected.model));
    assert!(
        model_bytes(folder.path(), &found.model) == model_bytes(folder.path(), &expected.model),
        "the models differ"
    );
}

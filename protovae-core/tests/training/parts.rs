//! Batches in parts: gradients that are the whole batch's, running statistics, threads, and resuming.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::model::BoxModel;
use protovae_core::train::{Batch, HostBatch, Learner, Silent, Trainer, TrainingConfig};

use crate::support::{
    CLASSES, IMAGE, SEED, batch, epochs, fit, fresh, model_bytes, new_run, recipe, settings,
    test_source, train_source,
};

/// With an epsilon that large, Adam's first step is the gradient times `learning_rate / adam_epsilon`.
fn gradient_steps() -> TrainingConfig {
    TrainingConfig {
        adam_epsilon: 1e10,
        learning_rate: 1e10,
        ..settings(1)
    }
}

/// All values that are trained, and all that are not.
#[derive(Default)]
struct Values {
    trained: Vec<f32>,
    others: Vec<f32>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = match param.is_require_grad() {
            true => &mut self.trained,
            false => &mut self.others,
        };
        values.extend(param.val().inner().into_data().iter::<f32>());
    }
}

fn values(model: &BoxModel) -> Values {
    let mut values = Values::default();
    model.visit(&mut values);
    values
}

fn parts(host: HostBatch, count: usize) -> Vec<Batch> {
    let device = Device::flex().autodiff();
    let made = host.into_parts(count).into_iter();
    made.map(|host| Batch::new(host, IMAGE, CLASSES, SEED, 0, &device).unwrap())
        .collect()
}

fn stepped(config: &TrainingConfig, host: HostBatch, count: usize, threads: usize) -> BoxModel {
    let learner = Learner::new(fresh(&*recipe()), config).unwrap();
    let learner = learner.step_in_parts(&parts(host, count), threads);
    learner.model().clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn parts_hold_every_sample_once(samples in 1..40usize, count in 1..50usize) {
        let host = batch(samples, 1);
        let parts = host.clone().into_parts(count);
        prop_assert_eq!(parts.len(), count.min(samples));
        let sizes: Vec<usize> = parts.iter().map(|part| part.labels.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        let joined = HostBatch {
            images: parts.iter().flat_map(|part| part.images.clone()).collect(),
            labels: parts.iter().flat_map(|part| part.labels.clone()).collect(),
            indices: parts.iter().flat_map(|part| part.indices.clone()).collect(),
            shape: IMAGE,
        };
        prop_assert_eq!(joined, host);
    }

    /// Sampled latents, terms that are means over samples and one that depends on none; parts that do not come out even.
    #[test]
    fn the_gradient_of_parts_is_that_of_the_batch(samples in 1..14usize, count in 1..7usize) {
        let config = gradient_steps();
        let before = values(&fresh(&*recipe()));
        let whole = values(&stepped(&config, batch(samples, 3), 1, 1));
        let found = values(&stepped(&config, batch(samples, 3), count, 1));
        let gradient = |after: &[f32]| -> Vec<f32> {
            after.iter().zip(&before.trained).map(|(after, before)| before - after).collect()
        };
        let (expected, found) = (gradient(&whole.trained), gradient(&found.trained));
        let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
        prop_assert!(largest > 1e-2);
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((found - expected).abs() <= 2e-5 * largest, "{found} {expected}");
        }
    }

    /// Two devices could do no more than two threads on one.
    #[test]
    fn who_computes_a_part_changes_nothing(samples in 2..14usize, count in 2..7usize) {
        let alone = values(&stepped(&settings(1), batch(samples, 4), count, 1));
        for threads in [2, 3] {
            let found = values(&stepped(&settings(1), batch(samples, 4), count, threads));
            prop_assert_eq!(&found.trained, &alone.trained);
            prop_assert_eq!(&found.others, &alone.others);
        }
    }
}

/// The toy counts in a running statistic how often it was trained on.
#[test]
fn running_statistics_move_once_a_step() {
    let config = settings(1);
    let mut learner = Learner::new(fresh(&*recipe()), &config).unwrap();
    for (step, count) in [1, 3, 2, 6].into_iter().enumerate() {
        learner = learner.step_in_parts(&parts(batch(6, step as u64), count), 1);
        let seen = values(learner.model()).others;
        assert_eq!(seen.len(), 1);
        assert!((seen[0] - (step + 1) as f32).abs() < 1e-6, "{seen:?}");
    }
}

#[test]
fn no_parts_are_no_step() {
    let learner = Learner::new(fresh(&*recipe()), &settings(1)).unwrap();
    let before = values(learner.model()).trained;
    let learner = learner.step_in_parts(&[], 1);
    assert_eq!(values(learner.model()).trained, before);
}

fn in_parts(epochs: usize) -> TrainingConfig {
    TrainingConfig {
        batch_parts: 4,
        ..settings(epochs)
    }
}

#[test]
fn figures_of_parts_are_those_of_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let found = ["whole", "parts"].map(|name| {
        let run = new_run(folder.path().join(name));
        let config = if name == "parts" {
            in_parts(1)
        } else {
            settings(1)
        };
        fit(&config, &run, false).unwrap();
        epochs(&run).remove(0)
    });
    let [whole, parts] = &found;
    assert_eq!(parts.step, whole.step);
    assert_eq!(parts.train.samples, whole.train.samples);
    assert_eq!(parts.train.accuracy, whole.train.accuracy);
    assert_eq!(parts.train.terms.len(), 4);
    for (name, value) in &whole.train.terms {
        let found = parts.train.terms[name];
        assert!(
            (found - value).abs() <= 1e-4 * value.abs(),
            "{name}: {found} {value}"
        );
    }
}

/// As many parts, by one device in turn or by two at once: the same run, bit for bit.
#[test]
fn devices_share_a_batch_as_parts_do() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex().autodiff();
    let train = |config: &TrainingConfig, helpers: &[Device]| {
        let trained = Trainer {
            config,
            seed: SEED,
            device: &device,
            helpers,
            train: &train_source(),
            unchanged: &train_source(),
            test: &test_source(),
            class_names: &[],
            data_digest: "toy",
            run: None,
            observer: &mut Silent,
        }
        .fit(fresh(&*recipe()), false);
        model_bytes(folder.path(), &trained.unwrap().model)
    };
    let expected = train(&in_parts(2), &[]);
    let of_two = TrainingConfig {
        batch_parts: 2,
        ..in_parts(2)
    };
    let of_four = TrainingConfig {
        batch_parts: 1,
        ..in_parts(2)
    };
    let helper = || device.clone();
    assert!(train(&of_two, &[helper()]) == expected);
    assert!(train(&of_four, &[helper(), helper(), helper()]) == expected);
    assert!(train(&settings(2), &[]) != expected);
}

/// One part on the CPU, the other on libtorch: copies and gradients go from one to the other and back.
#[cfg(feature = "libtorch")]
#[test]
fn devices_of_two_backends_share_a_batch() {
    let other = protovae_core::device::DeviceName::Libtorch.resolve();
    let devices = [Device::flex().autodiff(), other.unwrap().autodiff()];
    let hosts = batch(7, 5).into_parts(4).into_iter();
    let shared: Vec<Batch> = hosts
        .zip(devices.iter().cycle())
        .map(|(host, device)| Batch::new(host, IMAGE, CLASSES, SEED, 0, device).unwrap())
        .collect();
    let learner = || Learner::new(fresh(&*recipe()), &gradient_steps()).unwrap();
    let expected = values(learner().step_in_parts(&parts(batch(7, 5), 4), 1).model());
    for threads in [1, 2] {
        let learner = learner().step_in_parts(&shared, threads);
        assert_eq!(learner.model().devices(), [devices[0].clone()]);
        let found = values(learner.model());
        assert_eq!(found.others, expected.others);
        for (found, expected) in found.trained.iter().zip(&expected.trained) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}

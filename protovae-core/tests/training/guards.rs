//! It stops when something is wrong, and takes no settings that are.

use burn::tensor::Device;
use protovae_core::train::{
    BatchSource, HostBatch, InMemorySource, Silent, Trainer, TrainingConfig, newest_checkpoint,
};
use protovae_core::{Error, Result};

use crate::support::{
    SEED, epochs, fit, fit_model, fresh, new_run, recipe, settings, test_source, train_source,
};

#[test]
fn a_loss_that_is_no_longer_finite_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let explosive = TrainingConfig {
        learning_rate: 1e30,
        ..settings(3)
    };
    let run = new_run(folder.path().join("run"));
    let not_finite = |error: Error| match error {
        Error::NotFinite {
            epoch,
            step,
            terms,
            checkpoint,
        } => (epoch, step, terms, checkpoint),
        other => panic!("{other}"),
    };
    let error = fit(&explosive, &run, false).unwrap_err();
    let (epoch, step, terms, checkpoint) = not_finite(error);
    assert_eq!((epoch, step), (1, 2));
    for name in [
        "loss ",
        "prediction ",
        "reconstruction ",
        "kl ",
        "orthonormality ",
    ] {
        assert!(terms.contains(name), "{terms}");
    }
    assert!(terms.contains("NaN") || terms.contains("inf"), "{terms}");
    assert!(checkpoint.contains("no checkpoint"), "{checkpoint}");
    assert!(newest_checkpoint(&run).unwrap().is_none());

    // After a good epoch the message names what to go back to.
    fit(&settings(1), &run, false).unwrap();
    let good = newest_checkpoint(&run).unwrap().unwrap();
    let (epoch, step, _, checkpoint) = not_finite(fit(&explosive, &run, true).unwrap_err());
    assert_eq!((epoch, step), (2, 7));
    assert!(checkpoint.contains(good.to_str().unwrap()), "{checkpoint}");
    assert!(
        checkpoint.contains("a lower training.learning_rate"),
        "{checkpoint}"
    );
    assert_eq!(newest_checkpoint(&run).unwrap().unwrap(), good);
    // The metrics are still readable, and the good epoch's record is among them.
    assert_eq!(epochs(&run).len(), 1);
    // From there a sane rate goes on.
    fit(&settings(2), &run, true).unwrap();
    assert_eq!(epochs(&run).len(), 2);
}

/// The figures of a step do not tell what its update did.
#[test]
fn a_model_broken_by_the_step_before_a_checkpoint_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let explosive = TrainingConfig {
        learning_rate: 1e30,
        checkpoint_every: 1,
        keep_checkpoints: 1,
        ..settings(2)
    };
    let run = new_run(folder.path().join("run"));
    fit(&settings(1), &run, false).unwrap();
    let good = newest_checkpoint(&run).unwrap().unwrap();
    for _ in 0..2 {
        // As often as it is tried.
        let error = fit(&explosive, &run, true).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
        assert!(
            error.to_string().contains(good.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(newest_checkpoint(&run).unwrap().unwrap(), good);
    }
    // From there a sane rate goes on.
    fit(&settings(2), &run, true).unwrap();
}

/// Its last step breaks the model, so that it is the evaluation that finds out.
#[test]
fn a_model_broken_by_the_last_step_of_an_epoch_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let config = TrainingConfig {
        learning_rate: 1e30,
        max_batches: Some(1),
        ..settings(3)
    };
    let error = fit(&config, &run, false).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert!(newest_checkpoint(&run).unwrap().is_none());
    run.read_metrics().unwrap();
}

struct Failing {
    inner: InMemorySource,
}

struct FailingEpoch;

impl Iterator for FailingEpoch {
    type Item = Result<HostBatch>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(Err(Error::Data("the disk is gone".into())))
    }
}

impl protovae_core::train::EpochBatches for FailingEpoch {
    fn waited(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl BatchSource for Failing {
    fn samples(&self) -> usize {
        self.inner.samples()
    }
    fn batches(&self) -> usize {
        self.inner.batches()
    }
    fn epoch(&self, _: u64, _: usize) -> Result<Box<dyn protovae_core::train::EpochBatches + '_>> {
        Ok(Box::new(FailingEpoch))
    }
}

/// The toy's layers know 32 bits alone.
#[test]
fn a_precision_that_the_model_has_not_is_refused() {
    let config = TrainingConfig {
        precision: protovae_core::Precision::Bf16,
        ..settings(1)
    };
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let message = fit(&config, &run, false).unwrap_err().to_string();
    assert!(
        message.contains("training.precision") && message.contains("bf16"),
        "{message}"
    );
}

#[test]
fn errors_of_the_data_are_passed_on() {
    let failing = Failing {
        inner: train_source(),
    };
    assert_eq!((failing.samples(), failing.batches()), (27, 5));
    let error = Trainer {
        config: &settings(1),
        seed: SEED,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &failing,
        unchanged: &failing,
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run: None,
        observer: &mut Silent,
    }
    .fit(fresh(&*recipe()), false)
    .unwrap_err();
    assert_eq!(error.to_string(), "data: the disk is gone");
}

#[test]
fn training_settings_out_of_range_are_named() {
    TrainingConfig::default().check("training").unwrap();
    let base = TrainingConfig::default;
    for (name, config) in [
        (
            "epochs",
            TrainingConfig {
                epochs: 0,
                ..base()
            },
        ),
        (
            "batch_size",
            TrainingConfig {
                batch_size: 0,
                ..base()
            },
        ),
        (
            "batch_size",
            TrainingConfig {
                batch_size: usize::MAX,
                ..base()
            },
        ),
        (
            "log_every",
            TrainingConfig {
                log_every: 0,
                ..base()
            },
        ),
        (
            "keep_checkpoints",
            TrainingConfig {
                keep_checkpoints: 0,
                ..base()
            },
        ),
        (
            "max_batches",
            TrainingConfig {
                max_batches: Some(0),
                ..base()
            },
        ),
        (
            "loader_threads",
            TrainingConfig {
                loader_threads: 5000,
                ..base()
            },
        ),
        (
            "learning_rate",
            TrainingConfig {
                learning_rate: f64::NAN,
                ..base()
            },
        ),
        (
            "learning_rate",
            TrainingConfig {
                learning_rate: -1.0,
                ..base()
            },
        ),
        (
            "adam_epsilon",
            TrainingConfig {
                adam_epsilon: 0.0,
                ..base()
            },
        ),
        (
            "beta_1",
            TrainingConfig {
                beta_1: 1.0,
                ..base()
            },
        ),
        (
            "beta_2",
            TrainingConfig {
                beta_2: f64::NAN,
                ..base()
            },
        ),
    ] {
        let said = config.check("training").unwrap_err().to_string();
        assert!(said.starts_with(&format!("training.{name}: ")), "{said}");
    }
    // What is well in 64 bits and not in the 32 that are computed with.
    for (name, key, value) in [
        ("beta_1", "beta_1", 0.99999999),
        ("beta_2", "beta_2", 0.99999999),
        ("adam_epsilon", "adam_epsilon", 1e-46),
        ("adam_epsilon", "adam_epsilon", 1e39),
        ("learning_rate", "learning_rate", 1e-46),
        ("learning_rate", "learning_rate", 1e39),
        ("learning_rates.head", "learning_rates", 1e39),
    ] {
        let value = match key {
            "learning_rates" => serde_json::json!({"head": value}),
            _ => serde_json::json!(value),
        };
        let config = serde_json::from_value::<TrainingConfig>(serde_json::json!({key: value}));
        let said = config.unwrap().check("training").unwrap_err().to_string();
        assert!(said.starts_with(&format!("training.{name}: ")), "{said}");
    }
    let edge = TrainingConfig {
        beta_1: 0.9999999,
        beta_2: 0.9999999,
        adam_epsilon: 1e-30,
        ..settings(1)
    };
    edge.check("training").unwrap();
    fit_model(&edge, fresh(&*recipe()), None, false, &mut Silent).unwrap();
    assert!(serde_json::from_str::<TrainingConfig>(r#"{"epoch": 3}"#).is_err());
    let text = serde_json::to_string(&base()).unwrap();
    assert_eq!(
        serde_json::from_str::<TrainingConfig>(&text).unwrap(),
        base()
    );
}

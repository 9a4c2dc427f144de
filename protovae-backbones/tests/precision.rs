//! Training in 16 bits: gradients that are nearly those of 32, weights that stay of 32, loss scaling that survives a resume.
//!
//! burn's CPU backend computes in 16 bits by way of 32, rounding after each operation, which is all that these tests need.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use protovae_core::model::{BoxModel, Mode, ModelConfig, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{
    Batch, EpochRecord, HostBatch, InMemorySource, Learner, MetricsLine, RunDirectory, Silent,
    Trainer, TrainingConfig,
};
use protovae_core::{ImageShape, Precision};
use serde_json::{Value, json};

use protovae_backbones as _;

use common::{flat, gradients, noise};

const IMAGE: ImageShape = ImageShape::new(1, 8, 8);
const SPEC: ModelSpec = ModelSpec {
    image: IMAGE,
    classes: 2,
};

/// A small network with these encoders' layers.
fn model(encoder: Value) -> BoxModel {
    let recipe = json!({
        "type": "protovae",
        "latent_dimensions": 6,
        "prototypes_per_class": 2,
        "encoder": encoder,
        "decoder": {"type": "conv-transpose", "start": [8, 4, 4], "stages": [{"conv": 8}, {"transpose": 4}]},
        "head": {"type": "prototype"},
    });
    let recipe: Box<dyn ModelConfig> = serde_json::from_value(recipe).unwrap();
    let device = Device::flex().autodiff();
    recipe
        .build(&SPEC, &mut Initializer::new(3, &device))
        .unwrap()
}

fn pooled() -> Value {
    json!({"type": "conv-pool", "widths": [6]})
}

/// Bright and dark images.
fn host(samples: usize, number: u64) -> HostBatch {
    let shape = [samples, 1, 8, 8];
    let mut images = flat(&noise(shape, number + 1, &Device::flex()));
    for (place, value) in images.iter_mut().enumerate() {
        let bright = (place / IMAGE.values()).is_multiple_of(2);
        *value = 0.5 * *value + if bright { 0.4 } else { -0.4 };
    }
    HostBatch {
        images,
        labels: (0..samples).map(|sample| sample % 2).collect(),
        indices: (0..samples as u64)
            .map(|sample| 100 * number + sample)
            .collect(),
        shape: IMAGE,
    }
}

fn batch(samples: usize, precision: Precision) -> Batch {
    let device = Device::flex().autodiff();
    let batch = Batch::new(host(samples, 0), IMAGE, 2, 3, 0, &device).unwrap();
    Batch { precision, ..batch }
}

/// All gradients of a batch's loss, one after the other.
fn gradient(model: &BoxModel, precision: Precision) -> (f32, Vec<f32>) {
    let output = model.losses(&batch(16, precision), Mode::Training);
    assert_eq!(output.logits.dtype(), DType::F32);
    let total = output.total();
    let found = gradients(model, &total.backward());
    (flat(&total)[0], found.into_values().flatten().collect())
}

#[test]
fn gradients_are_nearly_those_of_32_bits() {
    // The cosine of the angle to them, at least. Rounding adds up over the deep network's normalisations of sixteen values.
    for (encoder, [bf16, f16]) in [
        (pooled(), [0.98, 0.999]),
        (json!({"type": "conv-stride", "widths": [6]}), [0.98, 0.999]),
        (json!({"type": "resnet18"}), [0.8, 0.95]),
        (
            json!({"type": "resnet18", "normalization": "frozen"}),
            [0.95, 0.99],
        ),
    ] {
        let model = model(encoder.clone());
        let (loss, exact) = gradient(&model, Precision::F32);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum()
        };
        for (precision, least) in [(Precision::Bf16, bf16), (Precision::F16, f16)] {
            let (found_loss, found) = gradient(&model, precision);
            assert!(
                (found_loss - loss).abs() < 0.02 * loss,
                "{found_loss} {loss}"
            );
            assert_ne!(found_loss, loss, "{precision} makes a difference");
            assert_eq!(found.len(), exact.len());
            let cosine = dot(&found, &exact) / (dot(&found, &found) * dot(&exact, &exact)).sqrt();
            assert!(cosine > least, "{encoder} {precision}: {cosine}");
        }
    }
}

/// Every parameter and running statistic is of 32 bits.
fn assert_full(model: &BoxModel) {
    struct Full;
    impl ModuleVisitor for Full {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            assert_eq!(param.val().dtype(), DType::F32);
            assert!(flat(&param.val()).iter().all(|value| value.is_finite()));
        }
    }
    model.visit(&mut Full);
}

fn settings(precision: Precision, epochs: usize) -> TrainingConfig {
    TrainingConfig {
        precision,
        epochs,
        log_every: 1,
        learning_rate: 3e-3,
        ..TrainingConfig::default()
    }
}

#[test]
fn learners_step_on_weights_of_32_bits() {
    for precision in Precision::ALL {
        let mut learner = Learner::new(model(pooled()), &settings(precision, 1)).unwrap();
        let loss = |learner: &Learner| {
            let batch = batch(16, Precision::F32);
            flat(&learner.model().losses(&batch, Mode::Training).total())[0]
        };
        let before = loss(&learner);
        for _ in 0..40 {
            learner = learner.step(&batch(16, Precision::F32));
        }
        let after = loss(&learner);
        assert!(
            after < 0.8 * before,
            "{precision}: from {before} to {after}"
        );
        assert_full(learner.model());
    }
}

fn fit(place: &Path, precision: Precision, epochs: usize, resume: bool) -> Vec<EpochRecord> {
    let run = if resume {
        RunDirectory::open(place).unwrap()
    } else {
        RunDirectory::create(place, false).unwrap()
    };
    run.write_config(&json!({})).unwrap();
    let source = InMemorySource::new((0..6).map(|number| host(8, number)).collect());
    Trainer {
        config: &settings(precision, epochs),
        seed: 5,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &source,
        unchanged: &source,
        test: &source,
        class_names: &[],
        data_digest: "",
        run: Some(&run),
        observer: &mut Silent,
    }
    .fit(model(pooled()), resume)
    .unwrap();
    let lines = run.read_metrics().unwrap().into_iter();
    let epochs = lines.filter_map(|line| match line {
        MetricsLine::Epoch(mut record) => {
            record.timing = Default::default();
            Some(*record)
        }
        _ => None,
    });
    epochs.collect()
}

/// The first scales are too large for this network, so that steps are left out on both sides of the interruption.
#[test]
fn a_run_in_16_bits_goes_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::Bf16, Precision::F16] {
        let place = |name: &str| folder.path().join(format!("{precision}-{name}"));
        let straight = fit(&place("straight"), precision, 4, false);
        fit(&place("resumed"), precision, 1, false);
        assert_eq!(fit(&place("resumed"), precision, 4, true), straight);
        let skipped = |record: &EpochRecord| {
            let told = record.warnings.iter();
            told.filter(|warning| warning.contains("did not fit into f16"))
                .count()
        };
        let told: usize = straight.iter().map(skipped).sum();
        assert_eq!(told > 0, precision == Precision::F16, "{straight:#?}");
    }
}

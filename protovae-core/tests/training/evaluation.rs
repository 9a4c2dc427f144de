//! Evaluation counts right.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, LossTerm, Mode, Model, Prediction, StepOutput};
use protovae_core::plugin::{BoxEncoder, Encoder, Posterior, PrototypeBank};
use protovae_core::train::{Batch, HostBatch, InMemorySource, evaluate};

use crate::common;
use crate::support::{CLASSES, IMAGE};

/// Logits are the first pixels; similarities are the rest.
#[derive(Module, Debug)]
struct Transparent {
    encoder: BoxEncoder,
    prototypes: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Pixels {
    nothing: Param<Tensor<1>>,
}

impl Encoder for Pixels {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let mean = images.flatten::<2>(1, 3);
        Posterior {
            log_variance: mean.zeros_like(),
            mean,
        }
    }
}

impl Model for Transparent {
    fn kind(&self) -> &'static str {
        "transparent"
    }
    fn losses(&self, batch: &Batch, _mode: Mode) -> StepOutput {
        let predicted = self.predict(batch.images.clone());
        let brightness = batch.images.clone().mean();
        let term = |name, value, weight| LossTerm {
            name,
            value,
            weight,
        };
        StepOutput {
            terms: vec![
                term("brightness", brightness.clone(), 2.0),
                term("darkness", brightness.neg(), 0.0),
            ],
            logits: predicted.logits,
            similarities: predicted.similarities,
        }
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        let pixels = self.encoder.encode(images).mean;
        Prediction {
            logits: pixels.clone().narrow(1, 0, 2),
            similarities: Some(pixels.clone().narrow(1, 2, 4)),
            latents: Some(pixels),
        }
    }
    fn image_shape(&self) -> ImageShape {
        IMAGE
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn encoder(&self) -> Option<&BoxEncoder> {
        Some(&self.encoder)
    }
    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: 2,
            per_class: 2,
        })
    }
}

#[test]
fn evaluation_counts_right() {
    let device = Device::flex();
    let prototypes = vec![0.0, 0.0, 3.0, 4.0, 10.0, 0.0, 10.0, 1.0];
    let model = BoxModel::new(Transparent {
        encoder: BoxEncoder::new(Pixels {
            nothing: Param::from_tensor(Tensor::zeros([1], &device)),
        }),
        prototypes: Param::from_tensor(common::tensor(prototypes, [4, 2], &device)),
    });
    // Two logits, then similarities to prototypes 0 and 1 of class 0, 0 and 1 of class 1.
    let rows: [([f32; 6], usize); 5] = [
        ([0.5, 0.1, 0.9, 0.1, 0.0, 0.0], 0), // right, uses 0 of class 0
        ([0.5, 0.1, 0.2, 0.3, 0.9, 0.8], 0), // right, uses 1 of class 0
        ([0.1, 0.5, 0.9, 0.2, 0.1, 0.0], 0), // wrong, uses 0 of class 0
        ([0.1, 0.5, 0.9, 0.9, 0.0, 0.1], 1), // right, uses 1 of class 1
        ([0.6, 0.5, 0.9, 0.9, 0.2, 0.4], 1), // wrong, uses 1 of class 1
    ];
    let host = |rows: &[([f32; 6], usize)]| HostBatch {
        images: rows.iter().flat_map(|(pixels, _)| *pixels).collect(),
        labels: rows.iter().map(|(_, label)| *label).collect(),
        indices: (0..rows.len() as u64).collect(),
        shape: IMAGE,
    };
    let source = InMemorySource::new(vec![host(&rows[..2]), host(&rows[2..])]);
    let found = evaluate(&model, &source, None, &device).unwrap();
    assert_eq!(found.confusion, vec![vec![2, 1], vec![1, 1]]);
    assert_eq!(found.figures.samples, 5);
    assert!((found.figures.accuracy - 0.6).abs() < 1e-12);
    // Averages are over samples, not over batches.
    let all: f32 = rows.iter().flat_map(|(pixels, _)| pixels).sum();
    let brightness = f64::from(all) / 30.0;
    assert!((found.figures.terms["brightness"] - brightness).abs() < 1e-6);
    assert!((found.figures.terms["darkness"] + brightness).abs() < 1e-6);
    assert!((found.figures.loss - 2.0 * brightness).abs() < 1e-6);
    let health = found.prototypes.unwrap();
    assert_eq!(health.usage, vec![vec![2, 1], vec![0, 2]]);
    assert_eq!(health.dead, 1);
    assert_eq!(
        (health.largest_distance[0], health.smallest_distance[1]),
        (5.0, 1.0)
    );
    // The first batch alone.
    let found = evaluate(&model, &source, Some(1), &device).unwrap();
    assert_eq!(found.confusion, vec![vec![2, 0], vec![0, 0]]);
    assert_eq!((found.figures.samples, found.figures.accuracy), (2, 1.0));
    // An autodiff device is as good.
    let again = evaluate(&model, &source, Some(1), &device.clone().autodiff()).unwrap();
    assert_eq!(again, found);
}

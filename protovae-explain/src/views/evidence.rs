//! The prototypes that a prediction rests on.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{largest, values};
use crate::check::check_images;

/// What one prototype adds to the logit of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The prototype's row in the bank.
    pub prototype: usize,
    /// The class it belongs to.
    pub class: usize,
    /// Which of the class's prototypes it is.
    pub index: usize,
    /// The similarity of the image to it.
    pub similarity: f32,
    /// What the similarity is multiplied with in the logit of the predicted class.
    pub weight: f32,
    /// `weight · similarity`: what it adds to that logit; negative speaks against.
    pub contribution: f32,
    /// Its part of all that speaks for the class: the contribution over the sum of the positive ones, 0 if it is not one of
    /// them.
    pub share: f32,
    /// What it adds to the logit of the predicted class beyond what it adds to that of the runner-up.
    pub separates: f32,
}

/// What one prediction rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The class that the image is taken for.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The class that comes next.
    pub runner_up: usize,
    /// The probability of that one.
    pub runner_up_probability: f32,
    /// The logit of the class.
    pub logit: f32,
    /// The part of the logit that no prototype adds.
    pub rest: f32,
    /// All prototypes, the largest contribution first.
    pub contributions: Vec<Contribution>,
}

impl Evidence {
    /// The evidence for each of images `[N, C, H, W]`, by a model as `valid()`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no prototypes, or its logits are neither linear in the similarities nor, for each
    /// class, the largest similarity to a prototype of it: that one then has weight 1 and the others 0. [`Error::ImageShape`] for
    /// images that the model does not take.
    pub fn of(model: &BoxModel, images: Tensor<4>) -> Result<Vec<Self>> {
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        check_images(model, &images)?;
        let model = model.valid();
        let bank = model
            .prototypes()
            .ok_or_else(|| unsupported("prototypes"))?;
        let weights = model.class_weights().map(values);
        let prediction = model.predict(images.without_autodiff());
        let similarities = prediction
            .similarities
            .ok_or_else(|| unsupported("similarities to prototypes"))?;
        let (classes, all) = (bank.classes, bank.classes * bank.per_class);
        let misfit = |weights: &Vec<f32>| weights.len() != classes * all;
        if weights.as_ref().is_some_and(misfit) || classes < 2 {
            return Err(unsupported("a weight for each class and prototype"));
        }
        let logits = values(prediction.logits.clone());
        let probabilities = values(softmax(prediction.logits, 1));
        let similarities = values(similarities);
        let rows = logits
            .chunks_exact(classes)
            .zip(probabilities.chunks_exact(classes))
            .zip(similarities.chunks_exact(all));
        rows.map(|((logits, probabilities), similarities)| {
            let weights = weights
                .clone()
                .or_else(|| weights_of_nearest(logits, similarities))
                .ok_or_else(|| unsupported("weights from similarities to classes"))?;
            let class = largest(logits);
            let others = (0..classes).filter(|other| *other != class);
            let runner_up = others
                .reduce(|a, b| if logits[b] > logits[a] { b } else { a })
                .unwrap_or(0);
            let weights_of = |class: usize| &weights[class * all..(class + 1) * all];
            let mut contributions: Vec<Contribution> = similarities
                .iter()
                .zip(weights_of(class).iter().zip(weights_of(runner_up)))
                .enumerate()
                .map(
                    |(prototype, (&similarity, (&weight, &other)))| Contribution {
                        prototype,
                        class: prototype / bank.per_class.max(1),
                        index: prototype % bank.per_class.max(1),
                        similarity,
                        weight,
                        contribution: weight * similarity,
                        share: 0.0,
                        separates: (weight - other) * similarity,
                    },
                )
                .collect();
            let total: f32 = contributions.iter().map(|each| each.contribution).sum();
            let positive: f32 = contributions
                .iter()
                .map(|each| each.contribution.max(0.0))
                .sum();
            if positive > 0.0 {
                for each in &mut contributions {
                    each.share = each.contribution.max(0.0) / positive;
                }
            }
            contributions.sort_by(|a, b| {
                b.contribution
                    .total_cmp(&a.contribution)
                    .then(b.similarity.total_cmp(&a.similarity))
                    .then(a.prototype.cmp(&b.prototype))
            });
            Ok(Self {
                class,
                probability: probabilities[class],
                runner_up,
                runner_up_probability: probabilities[runner_up],
                logit: logits[class],
                rest: logits[class] - total,
                contributions,
            })
        })
        .collect()
    }
}

/// The weights `[K, K·M]` of a classifier by the nearest prototype of each class, for one image: 1 for that prototype. None if the
/// logits `[K]` are not the largest similarities of each class.
fn weights_of_nearest(logits: &[f32], similarities: &[f32]) -> Option<Vec<f32>> {
    let per_class = similarities.len() / logits.len().max(1);
    let mut weights = vec![0f32; logits.len() * similarities.len()];
    for (class, logit) in logits.iter().enumerate() {
        let own = similarities.get(class * per_class..(class + 1) * per_class)?;
        let best = largest(own);
        if (own.get(best)? - logit).abs() > 1e-4 * logit.abs().max(1.0) {
            return None;
        }
        weights[class * similarities.len() + class * per_class + best] = 1.0;
    }
    Some(weights)
}

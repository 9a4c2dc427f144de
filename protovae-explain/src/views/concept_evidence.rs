//! The concepts that a prediction rests on.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{largest, values};
use crate::check::check_images;

/// What one concept adds to the logit of the predicted class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConceptContribution {
    /// The concept, from 0.
    pub concept: usize,
    /// How much of it there is in the image.
    pub activation: f32,
    /// What the activation is multiplied with in the logit of the class.
    pub weight: f32,
    /// `weight · activation`: what it adds to that logit; negative speaks against.
    pub contribution: f32,
    /// Its part of all that speaks for the class: the contribution over the sum of the positive ones, 0 if it is not one of
    /// them.
    pub share: f32,
}

/// What one prediction of a model with concepts rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConceptEvidence {
    /// The class that the image is taken for.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The class that comes next.
    pub runner_up: usize,
    /// The probability of that one.
    pub runner_up_probability: f32,
    /// The part of the logit that no concept adds: the class's bias, if the model has such.
    pub rest: f32,
    /// All concepts, the largest contribution first.
    pub contributions: Vec<ConceptContribution>,
}

impl ConceptEvidence {
    /// The evidence for each of images `[N, c, H, W]`, by a model as `valid()`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no concepts, or a single class; [`Error::ImageShape`] for images that it does not take.
    pub fn of(model: &BoxModel, images: Tensor<4>) -> Result<Vec<Self>> {
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        check_images(model, &images)?;
        let model = model.valid();
        let images = images.without_autodiff();
        let concepts = model
            .concepts(images.clone())
            .ok_or_else(|| unsupported("concepts"))?;
        let [count, classes, width] = concepts.weights.dims();
        if classes < 2 || concepts.activations.dims() != [count, width] {
            return Err(unsupported("a weight for each image, class and concept"));
        }
        let logits = model.predict(images).logits;
        let probabilities = values(softmax(logits.clone(), 1));
        let (logits, activations, weights) = (
            values(logits),
            values(concepts.activations),
            values(concepts.weights),
        );
        let rows = logits
            .chunks_exact(classes)
            .zip(probabilities.chunks_exact(classes))
            .zip(activations.chunks_exact(width.max(1)))
            .zip(weights.chunks_exact((classes * width).max(1)));
        Ok(rows
            .map(|(((logits, probabilities), activations), weights)| {
                let class = largest(logits);
                let others = (0..classes).filter(|other| *other != class);
                let runner_up = others
                    .reduce(|a, b| if logits[b] > logits[a] { b } else { a })
                    .unwrap_or(0);
                let own = weights.get(class * width..(class + 1) * width);
                let contributions = contributions(activations, own.unwrap_or_default());
                let total: f32 = contributions.iter().map(|each| each.contribution).sum();
                Self {
                    class,
                    probability: probabilities[class],
                    runner_up,
                    runner_up_probability: probabilities[runner_up],
                    rest: logits[class] - total,
                    contributions,
                }
            })
            .collect())
    }

    /// What the prediction rests on, in sentences.
    pub fn words(&self, class_name: impl Fn(usize) -> String) -> Vec<String> {
        let mut words = Vec::new();
        let share = |each: &ConceptContribution| {
            format!(
                "concept {} ({:.0} % of what speaks for the class)",
                each.concept,
                100.0 * each.share
            )
        };
        let mut speaking = self.contributions.iter().filter(|each| each.share > 0.0);
        match speaking.next() {
            None => words.push("No concept speaks for the class.".to_string()),
            Some(first) => {
                let more: Vec<String> = speaking
                    .take(2)
                    .filter(|each| each.share >= 0.05)
                    .map(|each| format!("{} ({:.0} %)", each.concept, 100.0 * each.share))
                    .collect();
                let more = match more.as_slice() {
                    [] => String::new(),
                    more => format!("; then on {}", more.join(" and ")),
                };
                words.push(format!("It rests most on {}{more}.", share(first)));
            }
        }
        if let Some(against) = self
            .contributions
            .last()
            .filter(|each| each.contribution < 0.0)
        {
            words.push(format!(
                "Most against it speaks concept {}, which takes {:.2} from its score.",
                against.concept, -against.contribution
            ));
        }
        words.push(format!(
            "Next comes {} with probability {:.3}.",
            class_name(self.runner_up),
            self.runner_up_probability
        ));
        words
    }
}

/// The contributions of concepts to a class, the largest first.
fn contributions(activations: &[f32], weights: &[f32]) -> Vec<ConceptContribution> {
    let products = activations.iter().zip(weights).map(|(a, w)| a * w);
    let positive: f32 = products.map(|product| product.max(0.0)).sum();
    let mut contributions: Vec<ConceptContribution> = activations
        .iter()
        .zip(weights)
        .enumerate()
        .map(|(concept, (&activation, &weight))| {
            let contribution = weight * activation;
            ConceptContribution {
                concept,
                activation,
                weight,
                contribution,
                share: match positive > 0.0 {
                    true => contribution.max(0.0) / positive,
                    false => 0.0,
                },
            }
        })
        .collect();
    contributions.sort_by(|a, b| {
        let order = b.contribution.total_cmp(&a.contribution);
        order.then(a.concept.cmp(&b.concept))
    });
    contributions
}

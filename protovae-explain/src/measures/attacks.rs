//! Accuracy under gradient attacks.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::table::Summary;
use super::{HostImages, largest, rows_of};
use crate::explainers::{input_gradient, rows_at_once};

/// The fast gradient sign method (FGSM, Goodfellow et al. 2015) and projected gradient descent in the largest norm (PGD, Madry
/// et al. 2018), both without a random start. FGSM raises the cross-entropy of the true class, PGD once that and once the *margin*, by
/// which the largest logit of another class is above that of the true one (Carlini and Wagner 2017). Where a model is certain, the
/// gradient of the cross-entropy vanishes and leads nowhere, and that of the margin does not: a model that withstands the first
/// alone is not robust but certain (Carlini et al. 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attacks {
    /// How far a pixel may be moved, pixels in `[-1, 1]`: twice the number that papers give for pixels in `[0, 1]`.
    /// Each above 0, at most 2; default 0.05, 0.1, 0.2, 0.4.
    pub epsilons: Vec<f64>,
    /// Steps of PGD, 1 to 1000; default 10.
    pub steps: usize,
    /// How far a step of PGD moves a pixel, as a share of epsilon; above 0; default 0.25.
    pub step_share: f64,
}

impl Default for Attacks {
    fn default() -> Self {
        Self {
            epsilons: vec![0.05, 0.1, 0.2, 0.4],
            steps: 10,
            step_share: 0.25,
        }
    }
}

/// Accuracy that is left when pixels may be moved by `epsilon`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attacked {
    /// How far, in `[-1, 1]` units; 0 for no attack.
    pub epsilon: f64,
    /// Accuracy under FGSM, in `[0, 1]`.
    pub fgsm: Summary,
    /// Accuracy under PGD on the cross-entropy, in `[0, 1]`.
    pub pgd: Summary,
    /// Accuracy under PGD on the margin, in `[0, 1]`.
    pub margin: Summary,
}

/// Accuracy on images that were made for another model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transferred {
    /// How far pixels were moved, in `[-1, 1]` units; 0 for no attack.
    pub epsilon: f64,
    /// Accuracy, in `[0, 1]`.
    pub accuracy: Summary,
}

impl Attacks {
    fn check(&self) -> Result<()> {
        let possible = |epsilon: &f64| *epsilon > 0.0 && *epsilon <= 2.0;
        if !self.epsilons.iter().all(possible) {
            return Err(Error::config(
                "attacks.epsilons",
                "each must lie between 0 and 2",
            ));
        }
        if !(1..=1000).contains(&self.steps) {
            return Err(Error::config(
                "attacks.steps",
                format!("must lie between 1 and 1000, not {}", self.steps),
            ));
        }
        if !(self.step_share > 0.0 && self.step_share.is_finite()) {
            return Err(Error::config(
                "attacks.step_share",
                format!("must be above 0, not {}", self.step_share),
            ));
        }
        Ok(())
    }

    /// Attacks images `[N, C, H, W]` with their true classes; the first entry is the accuracy without attack.
    ///
    /// # Errors
    /// If a setting cannot be used, or images and labels do not fit each other and the model.
    pub fn measure(
        &self,
        model: &BoxModel,
        images: &Tensor<4>,
        labels: &[usize],
    ) -> Result<Vec<Attacked>> {
        let model = model.valid();
        let (images, together) = self.prepared(&model, images, labels)?;
        let count = labels.len();
        let mut clean = Vec::with_capacity(count);
        let mut fgsm = vec![Vec::with_capacity(count); self.epsilons.len()];
        let [mut pgd, mut margin] = [fgsm.clone(), fgsm.clone()];
        for (batch, labels) in batches(&images, labels, together) {
            clean.extend(right(&model, batch.clone(), labels));
            let attacked = |raised| Attack::begin(&model, &batch, labels, raised);
            let by_entropy = attacked(Raised::CrossEntropy)?;
            let by_margin = attacked(Raised::Margin)?;
            for (number, epsilon) in self.epsilons.iter().enumerate() {
                let moved = (batch.clone() + by_entropy.first.clone() * *epsilon).clamp(-1.0, 1.0);
                fgsm[number].extend(right(&model, moved, labels));
                pgd[number].extend(right(&model, by_entropy.descend(self, *epsilon)?, labels));
                margin[number].extend(right(&model, by_margin.descend(self, *epsilon)?, labels));
            }
        }
        let without = Summary::of(&clean);
        let mut found = vec![Attacked {
            epsilon: 0.0,
            fgsm: without,
            pgd: without,
            margin: without,
        }];
        for (number, epsilon) in self.epsilons.iter().enumerate() {
            found.push(Attacked {
                epsilon: *epsilon,
                fgsm: Summary::of(&fgsm[number]),
                pgd: Summary::of(&pgd[number]),
                margin: Summary::of(&margin[number]),
            });
        }
        Ok(found)
    }

    /// Attacks `from` by PGD on the margin and shows the images to `to`, which the attack knows nothing of; the first entry is the
    /// accuracy of `to` without attack. Images are `[N, C, H, W]`, with their true classes.
    ///
    /// A model that withstands its own attack and not that of another one is not robust: it hides the way from gradients (Athalye et
    /// al. 2018).
    ///
    /// # Errors
    /// If a setting cannot be used, or images and labels do not fit each other and both models.
    pub fn transfer(
        &self,
        from: &BoxModel,
        to: &BoxModel,
        images: &Tensor<4>,
        labels: &[usize],
    ) -> Result<Vec<Transferred>> {
        let (from, to) = (from.valid(), to.valid());
        self.prepared(&to, images, labels)?;
        let (images, together) = self.prepared(&from, images, labels)?;
        let mut found = vec![Vec::with_capacity(labels.len()); 1 + self.epsilons.len()];
        for (batch, labels) in batches(&images, labels, together) {
            found[0].extend(right(&to, batch.clone(), labels));
            let attack = Attack::begin(&from, &batch, labels, Raised::Margin)?;
            for (found, epsilon) in found[1..].iter_mut().zip(&self.epsilons) {
                found.extend(right(&to, attack.descend(self, *epsilon)?, labels));
            }
        }
        let epsilons = std::iter::once(0.0).chain(self.epsilons.iter().copied());
        let transferred = |(epsilon, right): (f64, &Vec<f64>)| Transferred {
            epsilon,
            accuracy: Summary::of(right),
        };
        Ok(epsilons.zip(&found).map(transferred).collect())
    }

    /// Checks everything; the images without autodiff, and how many are taken at once.
    fn prepared(
        &self,
        model: &BoxModel,
        images: &Tensor<4>,
        labels: &[usize],
    ) -> Result<(Tensor<4>, usize)> {
        self.check()?;
        let host = HostImages::new(model, images)?;
        check_labels(labels, host.count, model.classes())?;
        let together = rows_at_once(host.shape.height, host.shape.width);
        Ok((images.clone().without_autodiff(), together))
    }
}

/// Some images at a time with their labels.
fn batches<'a>(
    images: &'a Tensor<4>,
    labels: &'a [usize],
    together: usize,
) -> impl Iterator<Item = (Tensor<4>, &'a [usize])> {
    let chunks = labels.chunks(together.max(1)).enumerate();
    chunks.map(move |(number, labels)| {
        let start = number * together.max(1);
        (images.clone().narrow(0, start, labels.len()), labels)
    })
}

/// What an attack raises.
#[derive(Debug, Clone, Copy)]
enum Raised {
    /// The cross-entropy of the true class.
    CrossEntropy,
    /// By how much the largest logit of another class is above that of the true one.
    Margin,
}

/// An attack on some images.
struct Attack<'a> {
    model: &'a BoxModel,
    images: &'a Tensor<4>,
    labels: &'a [usize],
    raised: Raised,
    /// The direction at the images themselves, which does not depend on epsilon.
    first: Tensor<4>,
}

impl<'a> Attack<'a> {
    fn begin(
        model: &'a BoxModel,
        images: &'a Tensor<4>,
        labels: &'a [usize],
        raised: Raised,
    ) -> Result<Self> {
        let first = direction(model, images.clone(), labels, raised)?;
        Ok(Self {
            model,
            images,
            labels,
            raised,
            first,
        })
    }

    /// The images after all steps of PGD.
    fn descend(&self, settings: &Attacks, epsilon: f64) -> Result<Tensor<4>> {
        let mut moved = self.images.clone();
        for step in 0..settings.steps {
            let towards = match step {
                0 => self.first.clone(),
                _ => direction(self.model, moved.clone(), self.labels, self.raised)?,
            };
            let change = moved + towards * (settings.step_share * epsilon) - self.images.clone();
            moved = (self.images.clone() + change.clamp(-epsilon, epsilon)).clamp(-1.0, 1.0);
        }
        Ok(moved)
    }
}

/// Checks true classes.
pub(super) fn check_labels(labels: &[usize], count: usize, classes: usize) -> Result<()> {
    if labels.len() != count {
        return Err(Error::config(
            "labels",
            format!("{count} images take {count} labels, not {}", labels.len()),
        ));
    }
    match labels.iter().find(|label| **label >= classes) {
        Some(label) => Err(Error::config(
            "labels",
            format!("label {label} is out of range for {classes} classes"),
        )),
        None => Ok(()),
    }
}

/// Below every logit of a class that is not the true one.
const OUT_OF_QUESTION: f64 = 1e9;

/// The sign of the gradient of what is raised.
fn direction(
    model: &BoxModel,
    images: Tensor<4>,
    labels: &[usize],
    raised: Raised,
) -> Result<Tensor<4>> {
    let classes = model.classes();
    let mut own = vec![0f32; labels.len() * classes];
    for (row, label) in own.chunks_exact_mut(classes.max(1)).zip(labels) {
        row[*label] = 1.0;
    }
    let own = TensorData::new(own, [labels.len(), classes]);
    let own = Tensor::<2>::from_data(own, &images.device());
    let gradient = input_gradient(model, images, |prediction| {
        let own = Tensor::from_inner(own);
        let logits = prediction.logits;
        Ok(match raised {
            Raised::CrossEntropy => -(log_softmax(logits, 1) * own).sum(),
            Raised::Margin => {
                let others = (logits.clone() - own.clone() * OUT_OF_QUESTION).max_dim(1);
                others.sum() - (logits * own).sum()
            }
        })
    })?;
    Ok(gradient.sign())
}

/// 1 for each image whose class is found, 0 for the others.
fn right(model: &BoxModel, images: Tensor<4>, labels: &[usize]) -> Vec<f64> {
    let (logits, width) = rows_of(model.predict(images).logits);
    let found = logits.chunks_exact(width).map(largest);
    let right = found.zip(labels).map(|(found, label)| found == *label);
    right.map(|right| if right { 1.0 } else { 0.0 }).collect()
}

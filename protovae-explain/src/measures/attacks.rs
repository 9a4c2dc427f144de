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
/// et al. 2018), both raising the cross-entropy of the true class, both without a random start.
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
    /// Accuracy under PGD, in `[0, 1]`.
    pub pgd: Summary,
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
        self.check()?;
        let model = model.valid();
        let host = HostImages::new(&model, images)?;
        check_labels(labels, host.count, model.classes())?;
        let images = images.clone().without_autodiff();
        let together = rows_at_once(host.shape.height, host.shape.width);
        let mut clean = Vec::with_capacity(host.count);
        let mut fgsm = vec![Vec::with_capacity(host.count); self.epsilons.len()];
        let mut pgd = fgsm.clone();
        for start in (0..host.count).step_by(together) {
            let count = together.min(host.count - start);
            let batch = images.clone().narrow(0, start, count);
            let labels = &labels[start..start + count];
            clean.extend(right(&model, batch.clone(), labels));
            // The direction of FGSM, and of PGD's first step, does not depend on epsilon.
            let first = direction(&model, batch.clone(), labels)?;
            for (number, epsilon) in self.epsilons.iter().enumerate() {
                let moved = (batch.clone() + first.clone() * *epsilon).clamp(-1.0, 1.0);
                fgsm[number].extend(right(&model, moved, labels));
                let mut moved = batch.clone();
                for step in 0..self.steps {
                    let towards = match step {
                        0 => first.clone(),
                        _ => direction(&model, moved.clone(), labels)?,
                    };
                    let change = moved + towards * (self.step_share * epsilon) - batch.clone();
                    moved = (batch.clone() + change.clamp(-epsilon, *epsilon)).clamp(-1.0, 1.0);
                }
                pgd[number].extend(right(&model, moved, labels));
            }
        }
        let without = Attacked {
            epsilon: 0.0,
            fgsm: Summary::of(&clean),
            pgd: Summary::of(&clean),
        };
        let attacked = self.epsilons.iter().zip(fgsm.iter().zip(&pgd));
        let attacked = attacked.map(|(epsilon, (fgsm, pgd))| Attacked {
            epsilon: *epsilon,
            fgsm: Summary::of(fgsm),
            pgd: Summary::of(pgd),
        });
        Ok(std::iter::once(without).chain(attacked).collect())
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

/// The sign of the gradient of the cross-entropy of the true classes.
fn direction(model: &BoxModel, images: Tensor<4>, labels: &[usize]) -> Result<Tensor<4>> {
    let classes = model.classes();
    let mut own = vec![0f32; labels.len() * classes];
    for (row, label) in own.chunks_exact_mut(classes.max(1)).zip(labels) {
        row[*label] = -1.0;
    }
    let own = TensorData::new(own, [labels.len(), classes]);
    let own = Tensor::<2>::from_data(own, &images.device());
    let gradient = input_gradient(model, images, |prediction| {
        Ok((log_softmax(prediction.logits, 1) * Tensor::from_inner(own)).sum())
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

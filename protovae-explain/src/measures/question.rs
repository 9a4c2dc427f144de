//! What is asked of each image: a target, and the score that stands for it.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use protovae_core::model::{BoxModel, Prediction};
use protovae_core::plugin::{Explainer, Target};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{HostImages, largest, rows_of};

/// Which score a measure looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Form {
    /// The similarity to the prototype of the predicted class that is most similar to the image; explained as that prototype.
    Similarity,
    /// The probability of the predicted class; explained as the logit of that class.
    Probability,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Similarity, Self::Probability];

    /// `similarity` or `probability`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Similarity => "similarity",
            Self::Probability => "probability",
        }
    }
}

/// One target for each of some images, and its score there.
///
/// The class is the one that the model predicts, right or not: an explanation says why the model said what it said.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Which score.
    pub form: Form,
    /// What is explained, an entry an image.
    pub targets: Vec<Target>,
    /// The score of the whole image, an entry an image: above 0.
    pub scores: Vec<f64>,
}

impl Question {
    /// Asks about images `[N, C, H, W]`.
    ///
    /// # Errors
    /// If there are none, the model does not take them, or it has no prototypes to be similar to.
    pub fn new(model: &BoxModel, images: &Tensor<4>, form: Form) -> Result<Self> {
        let model = model.valid();
        let host = HostImages::new(&model, images)?;
        let per_class = match form {
            Form::Similarity => {
                model
                    .prototypes()
                    .ok_or_else(|| no_prototypes(&model))?
                    .per_class
            }
            Form::Probability => 0,
        };
        let mut targets = Vec::with_capacity(host.count);
        let see = |_, prediction: Prediction| {
            let (logits, width) = rows_of(prediction.logits.clone());
            let classes = logits.chunks_exact(width).map(largest);
            match form {
                Form::Probability => targets.extend(classes.map(Target::Class)),
                Form::Similarity => {
                    let (similarities, width) = similarities(&model, &prediction)?;
                    let rows = classes.zip(similarities.chunks_exact(width));
                    targets.extend(rows.map(|(class, row)| {
                        let own = class * per_class..(class + 1) * per_class;
                        let first = own.start;
                        Target::Prototype(first + largest(row.get(own).unwrap_or_default()))
                    }));
                }
            }
            Ok(())
        };
        host.show(&model, host.count, |row| host.image(row).to_vec(), see)?;
        let mut question = Self {
            form,
            targets,
            scores: Vec::new(),
        };
        let image = |row: usize| (row, host.image(row).to_vec());
        question.scores = question.score(&model, &host, host.count, image)?;
        Ok(question)
    }

    /// The scores of `rows` changed images; `make` gives the number of the original and the changed pixels.
    pub(super) fn score(
        &self,
        model: &BoxModel,
        images: &HostImages,
        rows: usize,
        make: impl Fn(usize) -> (usize, Vec<f32>),
    ) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(rows);
        let mut originals = Vec::with_capacity(rows);
        let make = |row| {
            let (original, pixels) = make(row);
            originals.push(original);
            pixels
        };
        let mut predictions: Vec<(usize, Vec<f32>, usize)> = Vec::new();
        let see = |start, prediction: Prediction| {
            let (values, width) = match self.form {
                Form::Similarity => similarities(model, &prediction)?,
                Form::Probability => rows_of(prediction.logits),
            };
            predictions.push((start, values, width));
            Ok(())
        };
        images.show(model, rows, make, see)?;
        for (start, values, width) in &predictions {
            for (offset, row) in values.chunks_exact(*width).enumerate() {
                let original = originals.get(start + offset);
                let target = original.and_then(|original| self.targets.get(*original));
                scores.push(match target {
                    Some(Target::Class(class)) => probability(row, *class),
                    Some(Target::Prototype(prototype)) => row
                        .get(*prototype)
                        .map_or(f64::NAN, |score| f64::from(*score)),
                    _ => f64::NAN,
                });
            }
        }
        if scores.iter().all(|score| score.is_finite()) {
            Ok(scores)
        } else {
            Err(Error::config(
                "images",
                "the model gives scores that are not finite",
            ))
        }
    }
}

/// The relevance of each pixel, the sum over channels, for each image's own target: `N` maps of `H·W`.
///
/// Images with the same target are explained together.
///
/// # Errors
/// Those of the explainer.
pub fn pixel_maps(
    model: &BoxModel,
    explainer: &dyn Explainer,
    images: &Tensor<4>,
    targets: &[Target],
) -> Result<Vec<Vec<f32>>> {
    let [count, _, height, width] = images.dims();
    if count != targets.len() {
        return Err(Error::config(
            "targets",
            format!("{count} images take {count} targets, not {}", targets.len()),
        ));
    }
    let mut groups: BTreeMap<(bool, usize), (Target, Vec<usize>)> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let key = match target {
            Target::Prototype(row) => (false, *row),
            Target::Class(class) => (true, *class),
            _ => return Err(Error::config("targets", "neither prototype nor class")),
        };
        let group = groups.entry(key).or_insert_with(|| (*target, Vec::new()));
        group.1.push(index);
    }
    let mut maps = vec![Vec::new(); count];
    for (target, members) in groups.into_values() {
        let index: Vec<i64> = members.iter().map(|member| *member as i64).collect();
        let index = Tensor::<1, Int>::from_data(index.as_slice(), &images.device());
        let explained = explainer.explain(model, images.clone().select(0, index), &[target])?;
        let sums = explained.relevance.sum_dim(1);
        let values: Vec<f32> = sums.into_data().iter::<f32>().collect();
        for (member, map) in members
            .iter()
            .zip(values.chunks_exact((height * width).max(1)))
        {
            maps[*member] = map.to_vec();
        }
    }
    Ok(maps)
}

/// The probability of a class, from logits.
fn probability(logits: &[f32], class: usize) -> f64 {
    let Some(own) = logits.get(class) else {
        return f64::NAN;
    };
    let own = f64::from(*own);
    1.0 / logits
        .iter()
        .map(|logit| (f64::from(*logit) - own).exp())
        .sum::<f64>()
}

/// The similarities of a prediction, row by row.
pub(super) fn similarities(model: &BoxModel, prediction: &Prediction) -> Result<(Vec<f32>, usize)> {
    let similarities = prediction.similarities.clone();
    Ok(rows_of(similarities.ok_or_else(|| no_prototypes(model))?))
}

pub(super) fn no_prototypes(model: &BoxModel) -> Error {
    Error::Unsupported {
        model: model.kind().to_string(),
        what: "prototypes to be similar to",
    }
}

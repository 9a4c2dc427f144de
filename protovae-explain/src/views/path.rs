//! From an image to a prototype, step by step.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{largest, squared_distance, values};

/// One latent on a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathStep {
    /// How much of the way is done, from 0 to 1.
    pub way: f32,
    /// The class that the latent is taken for.
    pub class: usize,
    /// The probability of that class.
    pub probability: f32,
    /// The decoded image, `C·H·W` values in `[-1, 1]`; empty if the model has no decoder.
    pub image: Vec<f32>,
}

/// The straight line between two latents, decoded and classified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// From the beginning to the end, evenly spaced.
    pub steps: Vec<PathStep>,
    /// Where the latent is first taken for another class than at the beginning, from 0 to 1, to a thousandth; none if it never
    /// is at any of the steps. The latent there is a counterfactual: what would have to change for another decision.
    pub turn: Option<f32>,
    /// The latent at the turn, decoded and classified.
    pub counterfactual: Option<PathStep>,
}

/// The longest path.
const MOST_STEPS: usize = 1000;

impl Path {
    /// `steps` latents from `from` to `to`, `[L]` each, both ends included, under a model as `valid()`.
    ///
    /// # Errors
    /// [`Error::Config`] if there are less than 2 steps or more than 1,000, or the ends differ in length;
    /// [`Error::Unsupported`] if the model does not classify latents.
    pub fn between(model: &BoxModel, from: &[f32], to: &[f32], steps: usize) -> Result<Self> {
        if !(2..=MOST_STEPS).contains(&steps) {
            return Err(Error::config(
                "steps",
                format!("must lie between 2 and {MOST_STEPS}, not {steps}"),
            ));
        }
        if from.len() != to.len() || from.is_empty() {
            return Err(Error::config(
                "to",
                format!(
                    "has {} dimensions where `from` has {}",
                    to.len(),
                    from.len()
                ),
            ));
        }
        let model = model.valid();
        let ways: Vec<f32> = (0..steps)
            .map(|step| step as f32 / (steps - 1) as f32)
            .collect();
        let steps = at(&model, from, to, &ways, true)?;
        let first = steps.first().map_or(0, |step| step.class);
        let turned = steps.iter().position(|step| step.class != first);
        let (mut turn, mut counterfactual) = (None, None);
        if let Some(after) = turned {
            let (mut low, mut high) = (ways[after - 1], ways[after]);
            while high - low > 1e-3 {
                let middle = f32::midpoint(low, high);
                let found = at(&model, from, to, &[middle], false)?;
                if found.first().is_some_and(|step| step.class == first) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            turn = Some(high);
            counterfactual = at(&model, from, to, &[high], true)?.into_iter().next();
        }
        Ok(Self {
            steps,
            turn,
            counterfactual,
        })
    }
}

/// The latents so far along the way.
fn at(
    model: &BoxModel,
    from: &[f32],
    to: &[f32],
    ways: &[f32],
    decode: bool,
) -> Result<Vec<PathStep>> {
    let unsupported = || Error::Unsupported {
        model: model.kind().to_string(),
        what: "classification of latents",
    };
    let width = from.len();
    let device = model.prototypes().ok_or_else(unsupported)?.vectors.device();
    let latents: Vec<f32> = ways
        .iter()
        .flat_map(|way| {
            from.iter()
                .zip(to)
                .map(move |(from, to)| from + way * (to - from))
        })
        .collect();
    let data = TensorData::new(latents, [ways.len(), width]);
    let latents = Tensor::<2>::from_data(data, &device);
    let classified = model.classify(latents.clone()).ok_or_else(unsupported)?;
    let classes = model.classes().max(1);
    let probabilities = values(softmax(classified.logits, 1));
    let images = match model.decode(latents) {
        Some(images) if decode => values(images),
        _ => Vec::new(),
    };
    let pixels = images.len() / ways.len();
    Ok(probabilities
        .chunks_exact(classes)
        .zip(ways)
        .enumerate()
        .map(|(step, (row, way))| {
            let class = largest(row);
            PathStep {
                way: *way,
                class,
                probability: row[class],
                image: images[step * pixels..(step + 1) * pixels].to_vec(),
            }
        })
        .collect())
}

/// The row in the bank of the prototype nearest to `mean`, `[L]`, among those of classes other than `class`; `prototypes` is
/// `[K·M, L]` row by row.
pub fn nearest_of_another_class(
    mean: &[f32],
    prototypes: &[f32],
    per_class: usize,
    class: usize,
) -> Option<usize> {
    let others = prototypes
        .chunks_exact(mean.len().max(1))
        .enumerate()
        .filter(|(row, _)| row / per_class.max(1) != class)
        .map(|(row, prototype)| (row, squared_distance(mean, prototype)));
    others
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(row, _)| row)
}

//! What a model's prototypes stand for, and what a prediction rests on.
//!
//! * [`LatentTable`]: what a model makes of every image of a set; the other views read it;
//! * [`Neighbours`]: the nearest images to each prototype and the farthest of its own class;
//! * [`PrototypeImages`]: the training images that prototypes come from;
//! * [`Usage`]: how often each prototype is the nearest, and which are dead or duplicates;
//! * [`Evidence`]: the share of each prototype in a logit;
//! * [`ConceptTable`], [`ConceptEvidence`]: the same for models that explain themselves by concepts: what each stands for, and
//!   what it adds to a logit;
//! * [`ExplainedImage`]: one image with its evidence and relevance, in pictures and in words;
//! * [`Path`]: images between an image and a prototype, and where the prediction turns (a counterfactual);
//! * [`LatentMap`]: the latent space in two dimensions;
//! * [`StrangenessDetector`]: whether an image is unlike everything the model was trained on.

mod choice;
mod concept_evidence;
mod concepts;
mod evidence;
mod explained;
mod latent_map;
mod latent_table;
mod neighbours;
mod path;
mod provenance;
mod strangeness;
mod usage;

pub use choice::PrototypeChoice;
pub use concept_evidence::{ConceptContribution, ConceptEvidence};
pub use concepts::{ACTIVE_ABOVE, ConceptClass, ConceptImage, ConceptTable, has_concepts};
pub use evidence::{Contribution, Evidence};
pub use explained::{ExplainedImage, ExplainedTarget};
pub use latent_map::LatentMap;
pub use latent_table::LatentTable;
pub use neighbours::{Neighbour, Neighbours};
pub use path::{Path, PathStep, nearest_of_another_class};
pub use provenance::{PrototypeImage, PrototypeImages, place_in_words};
pub use strangeness::{Figure, Judgement, StrangenessDetector};
pub use usage::{DUPLICATE_BELOW, Duplicate, Usage};

use burn::tensor::Tensor;

/// The values of a tensor, row by row.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// `|a − b|²`.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The position of the largest value, the first of equals.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if value.total_cmp(&values[best]).is_gt() {
            best = index;
        }
    }
    best
}

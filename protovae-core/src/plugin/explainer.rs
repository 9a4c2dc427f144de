//! From a model, images and a question to relevance.

use std::fmt::Debug;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::BoxModel;

/// What is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Target {
    /// The similarity to one prototype, by its row in the bank.
    Prototype(usize),
    /// The logit of one class.
    Class(usize),
}

/// Relevance of every pixel for every asked target.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// `[N·T, C, H, W]`: image `i` and target `t` at row `i·T + t`. Positive speaks for the target, negative against it; the
    /// unit is the explainer's own.
    pub relevance: Tensor<4>,
    /// The targets, `T` of them, the same for every image.
    pub targets: Vec<Target>,
}

/// A method that says which pixels speak for a prototype or a class.
///
/// Promises: for images `[N, C, H, W]` and `T ≥ 1` targets the relevance is `[N·T, C, H, W]`, finite; the model is not
/// changed (callers pass `model.valid()`); the same call gives the same relevance; a target that does not exist is an error.
/// [`crate::conformance::explainer`] checks all of it.
pub trait Explainer: Debug + Send + Sync {
    /// A short name, as in tables.
    fn name(&self) -> &str;

    /// Relevance of `images` for each of `targets`.
    ///
    /// # Errors
    /// If the model lacks what the method needs, or a target does not exist.
    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation>;
}

/// A serialisable recipe for an explainer, found by its tag: `{"type": "<tag>", ...}`.
#[typetag::serde(tag = "type")]
pub trait ExplainerConfig: Debug + Send + Sync {
    /// Builds the explainer.
    ///
    /// # Errors
    /// If a setting cannot be used.
    fn build(&self) -> Result<Box<dyn Explainer>>;
}

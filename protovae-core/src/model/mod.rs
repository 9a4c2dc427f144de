//! Models: what the trainer, the measures and the pictures know of them, and the two that live here.

mod black_box;
mod concepts;
mod phase;
mod protovae;
mod provenance;

pub use black_box::{BlackBox, BlackBoxConfig};
pub use concepts::Concepts;
pub use phase::{EpochDone, Phase, replaced};
pub use protovae::{ProtoVae, ProtoVaeConfig};
pub use provenance::{Provenance, Region, upsampled};

use std::fmt::Debug;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::plugin::{BoxEncoder, HeadOutput, PrototypeBank};
use crate::random::Initializer;
use crate::train::Batch;

/// Whether losses are computed to train on (latents may be sampled, switched-off terms are left out) or to report (the
/// posterior's mean is used, every term is computed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In a training step.
    Training,
    /// In evaluation.
    Evaluation,
}

/// One term of a loss.
#[derive(Debug, Clone)]
pub struct LossTerm {
    /// Such as `prediction`; the same in every batch.
    pub name: &'static str,
    /// The term itself, `[1]`, without its weight.
    pub value: Tensor<1>,
    /// Its weight in the total.
    pub weight: f64,
}

/// What a model says of a batch with labels.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// At least one term, and at least one with a weight above zero.
    pub terms: Vec<LossTerm>,
    /// `[N, K]`.
    pub logits: Tensor<2>,
    /// `[N, K·M]`, if the model has prototypes.
    pub similarities: Option<Tensor<2>>,
}

impl StepOutput {
    /// The weighted sum of the terms, `[1]`; terms with weight zero are not touched.
    pub fn total(&self) -> Tensor<1> {
        let weighted = self.terms.iter().filter(|term| term.weight != 0.0);
        weighted
            .map(|term| term.value.clone() * term.weight)
            .reduce(|sum, term| sum + term)
            .unwrap_or_else(|| Tensor::zeros([1], &self.logits.device()))
    }
}

/// What a model says of images without labels.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// `[N, K]`, before the softmax.
    pub logits: Tensor<2>,
    /// `[N, K·M]`, if the model has prototypes.
    pub similarities: Option<Tensor<2>>,
    /// The latents that were classified (the posterior means), `[N, L]`, if the model has such.
    pub latents: Option<Tensor<2>>,
}

/// A classifier that the trainer can train.
///
/// Promises: `losses` gives the same names in the same order for every batch of a mode; each term is differentiable with
/// respect to the parameters it concerns; results on `valid()` do not depend on the rest of the batch.
pub trait Model {
    /// The kind of model, as in a configuration's `type`.
    fn kind(&self) -> &'static str;

    /// Loss terms and logits of a batch.
    fn losses(&self, batch: &Batch, mode: Mode) -> StepOutput;

    /// Logits, similarities and latents of images `[N, C, H, W]`.
    fn predict(&self, images: Tensor<4>) -> Prediction;

    /// The images that the model takes.
    fn image_shape(&self) -> ImageShape;

    /// `K`.
    fn classes(&self) -> usize;

    /// The encoder, for explainers that walk its layers; none if the model is built on feature maps.
    fn encoder(&self) -> Option<&BoxEncoder> {
        None
    }

    /// Whether [`losses`](Self::losses) heeds the batch's [`precision`](Batch::precision): gives encoder and decoder their input in it,
    /// and raises what they give to 32 bits before anything else is done with it.
    fn takes_lower_precision(&self) -> bool {
        false
    }

    /// The prototypes, if the model has such.
    fn prototypes(&self) -> Option<PrototypeBank> {
        None
    }

    /// Logits and similarities of latents `[N, L]`, if the model classifies such.
    fn classify(&self, latents: Tensor<2>) -> Option<HeadOutput> {
        let _ = latents;
        None
    }

    /// How much the similarity to each prototype counts for each class, `[K, K·M]`, if the logits are linear in the
    /// similarities.
    fn class_weights(&self) -> Option<Tensor<2>> {
        None
    }

    /// The model without these prototypes, rows of the bank, in its classification: their columns of the
    /// [`class_weights`](Self::class_weights) are 0. They stay in the bank, and all similarities stay as they are; rows beyond
    /// the bank are nothing to leave out. The result is for evaluation: training it would use them again.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for models that cannot do this, which is the default.
    fn without_prototypes(&self, rows: &[usize]) -> Result<BoxModel> {
        let _ = rows;
        Err(Error::Unsupported {
            model: self.kind().to_string(),
            what: "class weights that prototypes could be taken out of",
        })
    }

    /// Images `[N, C, H, W]` of latents `[N, L]`, if the model can decode.
    fn decode(&self, latents: Tensor<2>) -> Option<Tensor<4>> {
        let _ = latents;
        None
    }

    /// How epoch `epoch` (from 0) trains, for models that do not train all epochs alike.
    fn phase(&self, epoch: usize) -> Phase {
        let _ = epoch;
        Phase::default()
    }

    /// What is to be done once the steps of an epoch are done, such as moving prototypes onto training images: the model that
    /// goes on, or none if it stays. It must be a pure function of the model and of `done`, so that a run that was killed
    /// meanwhile repeats it, and must keep the identity of every parameter ([`replaced`]).
    ///
    /// # Errors
    /// If the data cannot be read.
    fn after_epoch(&self, done: &EpochDone<'_>) -> Result<Option<BoxModel>> {
        let _ = done;
        Ok(None)
    }

    /// The training image that each prototype is, or is part of, in the order of the bank; none for a prototype that is
    /// none, or none yet. `None` for models whose prototypes are not taken from images.
    fn provenance(&self) -> Option<Vec<Option<Provenance>>> {
        None
    }

    /// Similarity of every patch of images `[N, C, H, W]` to every prototype, `[N, K·M, h, w]`, if prototypes are compared with
    /// patches.
    fn similarity_maps(&self, images: Tensor<4>) -> Option<Tensor<4>> {
        let _ = images;
        None
    }

    /// The concepts that images are explained by, if the model explains itself by such rather than by prototypes.
    fn concepts(&self, images: Tensor<4>) -> Option<Concepts> {
        let _ = images;
        None
    }
}

crate::dyn_module!(
    /// Any [`Model`], as a burn module.
    BoxModel, ModelObject, Model
);

/// What a model has to fit: the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSpec {
    /// Images it takes.
    pub image: ImageShape,
    /// `K`, at least 2.
    pub classes: usize,
}

/// A serialisable recipe for a model, found by its tag: `{"type": "<tag>", ...}`.
#[typetag::serde(tag = "type")]
pub trait ModelConfig: Debug + Send + Sync {
    /// Builds the model with fresh weights drawn from `init`.
    ///
    /// # Errors
    /// If the recipe does not fit `spec`.
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel>;

    /// The name under which the model's figures are reported, such as the convention of its losses.
    fn reported_as(&self) -> String;

    /// The recipe with every default written out, as a run stores it.
    ///
    /// # Errors
    /// If a value is contradictory or does not fit `spec`.
    fn resolved(&self, spec: &ModelSpec) -> Result<Box<dyn ModelConfig>>;
}

/// Values in the parameters of a module that are trained: without running statistics, which burn's `num_params` counts, and
/// without frozen parameters. The module may have been loaded for evaluation; counted is what training would train.
pub fn trainable_values(module: &impl Module) -> usize {
    struct Counter(usize);
    impl ModuleVisitor for Counter {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                self.0 += value.shape().num_elements();
            }
        }
    }
    let mut counter = Counter(0);
    module.clone().train().visit(&mut counter);
    counter.0
}

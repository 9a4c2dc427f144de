//! From latents to classes, through prototypes or not.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::loss::Distance;
use crate::random::Initializer;

/// All prototypes of a head, class by class: row `k·M + j` is prototype `j` of class `k`.
#[derive(Debug, Clone)]
pub struct PrototypeBank {
    /// `[K·M, L]`.
    pub vectors: Tensor<2>,
    /// `K`.
    pub classes: usize,
    /// `M`.
    pub per_class: usize,
}

impl PrototypeBank {
    /// The prototypes as `[K, M, L]`.
    pub fn by_class(&self) -> Tensor<3> {
        let [_, width] = self.vectors.dims();
        self.vectors
            .clone()
            .reshape([self.classes, self.per_class, width])
    }
}

/// What a head says of a batch of latents.
#[derive(Debug, Clone)]
pub struct HeadOutput {
    /// `[N, K]`, before the softmax.
    pub logits: Tensor<2>,
    /// `[N, K·M]`, positive, larger is closer; `None` for a head without prototypes.
    pub similarities: Option<Tensor<2>>,
}

/// A classification head over latents.
///
/// Promises: `classify` takes `[N, L]` and gives logits `[N, K]` and, if [`prototypes`](Self::prototypes) is `Some`,
/// similarities `[N, K·M]` in the order of the bank, positive, and largest for a latent that equals the prototype; each
/// sample depends on itself alone; every parameter receives a gradient. [`crate::conformance::head`] checks all of it.
///
/// The similarity is the head's own choice; the paper's is [`crate::loss::similarity`] of [`crate::loss::distances`], with the
/// distance and the epsilon that [`HeadSpec`] passes on from the configuration of the losses.
pub trait PrototypeHead {
    /// Logits and similarities of latents.
    fn classify(&self, latents: Tensor<2>) -> HeadOutput;

    /// The prototypes, or `None` for a head without (the black box).
    fn prototypes(&self) -> Option<PrototypeBank>;

    /// How much each similarity counts for each class, `[K, K·M]`, if the logits are linear in the similarities (up to a bias a
    /// class). Without it, what one prototype contributes to a prediction cannot be told.
    fn class_weights(&self) -> Option<Tensor<2>> {
        None
    }
}

crate::dyn_module!(
    /// Any [`PrototypeHead`], as a burn module.
    BoxHead, HeadObject, PrototypeHead
);

/// What a head has to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSpec {
    /// `L`, the width of the latents.
    pub latent_dimensions: usize,
    /// `K`.
    pub classes: usize,
    /// `M`; a head without prototypes ignores it.
    pub prototypes_per_class: usize,
    /// The distance in the similarity, as the losses' convention has it.
    pub distance: Distance,
    /// `eps` in `log((d + 1) / (d + eps))`.
    pub similarity_epsilon: f64,
}

/// A serialisable recipe for a head, found by its tag: `{"type": "<tag>", ...}`.
#[typetag::serde(tag = "type")]
pub trait HeadConfig: Debug + Send + Sync {
    /// Builds the head with fresh weights drawn from `init`.
    ///
    /// # Errors
    /// If the recipe does not fit `spec`.
    fn build(&self, spec: &HeadSpec, init: &mut Initializer) -> Result<BoxHead>;
}

//! From latents to classes, through prototypes or not.

use std::fmt::Debug;

use burn::tensor::{Tensor, TensorData};

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

    /// The head without these prototypes, rows of the bank, in its classification: their columns of the
    /// [`class_weights`](Self::class_weights) are 0. They stay in the bank, and all similarities stay as they are. `None` for
    /// heads that cannot do this; rows beyond the bank are nothing to leave out.
    fn without_prototypes(&self, rows: &[usize]) -> Option<BoxHead> {
        let _ = rows;
        None
    }
}

/// Weights `[K, P]` with zeros in some of their columns; columns that there are not are nothing to change.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::plugin::without_columns;
/// let weights = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::flex());
/// let left: Vec<f32> = without_columns(weights, &[1, 7]).into_data().iter::<f32>().collect();
/// assert_eq!(left, [1.0, 0.0, 3.0, 4.0, 0.0, 6.0]);
/// ```
pub fn without_columns(weights: Tensor<2>, columns: &[usize]) -> Tensor<2> {
    let [_, width] = weights.dims();
    let kept: Vec<f32> = (0..width)
        .map(|column| f32::from(u8::from(!columns.contains(&column))))
        .collect();
    let kept = Tensor::from_data(TensorData::new(kept, [1, width]), &weights.device());
    weights * kept
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

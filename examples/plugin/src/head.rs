//! A head in which only a class's own prototypes speak for it, and none against another.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use protovae_core::loss::squared_distances;
use protovae_core::plugin::{
    BoxHead, HeadConfig, HeadOutput, HeadSpec, PrototypeBank, PrototypeHead,
};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The similarity is Student's kernel, `1 / (1 + ‖z − phi‖² / L)`, and a class's logit is the sum of its own prototypes'
/// similarities, each with a positive strength that is trained.
#[derive(Module, Debug)]
pub struct OwnClassHead {
    /// `[K·M, L]`, class by class.
    prototypes: Param<Tensor<2>>,
    /// `[K·M]`, logarithms of the strengths.
    log_strengths: Param<Tensor<1>>,
    classes: usize,
    per_class: usize,
}

impl PrototypeHead for OwnClassHead {
    fn classify(&self, latents: Tensor<2>) -> HeadOutput {
        let [samples, width] = latents.dims();
        let apart = squared_distances(latents, self.prototypes.val()) / width as f64;
        let similarities = (apart + 1.0).recip();
        let evidence = similarities.clone() * self.log_strengths.val().exp().unsqueeze();
        let by_class = evidence.reshape([samples, self.classes, self.per_class]);
        HeadOutput {
            logits: by_class.sum_dim(2).squeeze_dim(2),
            similarities: Some(similarities),
        }
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.prototypes.val(),
            classes: self.classes,
            per_class: self.per_class,
        })
    }

    // The logits are linear in the similarities, so the weights can be told; `predict`, `explain` and `report` show them.
    fn class_weights(&self) -> Option<Tensor<2>> {
        let total = self.classes * self.per_class;
        let own = |place: usize| (place % total) / self.per_class == place / total;
        let own: Vec<f32> = (0..self.classes * total)
            .map(|place| if own(place) { 1.0 } else { 0.0 })
            .collect();
        let strengths = self.log_strengths.val().exp();
        let own = TensorData::new(own, [self.classes, total]);
        let own = Tensor::<2>::from_data(own, &strengths.device());
        Some(own * strengths.unsqueeze())
    }
}

/// The recipe of an [`OwnClassHead`]: `{"type": "own-class", "strength": 10.0}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnClassHeadConfig {
    /// Initial strength of every prototype, above 0 and at most 1000, default 10.
    pub strength: f32,
}

impl Default for OwnClassHeadConfig {
    fn default() -> Self {
        Self { strength: 10.0 }
    }
}

#[typetag::serde(name = "own-class")]
impl HeadConfig for OwnClassHeadConfig {
    fn build(&self, spec: &HeadSpec, init: &mut Initializer) -> Result<BoxHead> {
        if !(self.strength > 0.0 && self.strength <= 1000.0) {
            return Err(Error::config(
                "model.head.strength",
                format!(
                    "must be above 0 and at most 1000, not {}: a logarithm is trained",
                    self.strength
                ),
            ));
        }
        let total = spec.classes * spec.prototypes_per_class;
        Ok(BoxHead::new(OwnClassHead {
            prototypes: init.normal([total, spec.latent_dimensions], 0.0, 1.0),
            log_strengths: init.constant([total], self.strength.ln()),
            classes: spec.classes,
            per_class: spec.prototypes_per_class,
        }))
    }
}

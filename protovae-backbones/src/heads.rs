//! Heads: prototypes with their similarities, and the plain linear classifier of the black box.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::loss::{Distance, distances, similarity};
use protovae_core::model::replaced;
use protovae_core::plugin::{
    BoxHead, HeadConfig, HeadOutput, HeadSpec, PrototypeBank, PrototypeHead, without_columns,
};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::layers::Linear;

/// Initial weight of a similarity for the class of its prototype.
const OWN_CLASS: f32 = 1.0;
/// Initial weight of a similarity for every other class.
const OTHER_CLASS: f32 = -0.5;

/// The paper's head: similarities to `M` prototypes of each of `K` classes, and logits linear in them.
#[derive(Module, Debug)]
pub struct PrototypeClassifier {
    /// `[K·M, L]`, class by class.
    prototypes: Param<Tensor<2>>,
    /// `[K, K·M]`.
    class_weights: Param<Tensor<2>>,
    classes: usize,
    per_class: usize,
    #[module(skip)]
    distance: Distance,
    similarity_epsilon: f64,
}

impl PrototypeHead for PrototypeClassifier {
    fn classify(&self, latents: Tensor<2>) -> HeadOutput {
        let apart = distances(latents, self.prototypes.val(), self.distance);
        let similarities = similarity(apart, self.similarity_epsilon);
        HeadOutput {
            logits: similarities
                .clone()
                .matmul(self.class_weights.val().transpose()),
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

    fn class_weights(&self) -> Option<Tensor<2>> {
        Some(self.class_weights.val())
    }

    fn without_prototypes(&self, rows: &[usize]) -> Option<BoxHead> {
        let weights = without_columns(self.class_weights.val(), rows);
        Some(BoxHead::new(Self {
            class_weights: replaced(&self.class_weights, weights),
            ..self.clone()
        }))
    }
}

/// The recipe of a [`PrototypeClassifier`], tag `prototype`.
///
/// Prototypes are drawn from `N(centre, deviation²)` around a centre a class, itself drawn from `N(0, class_deviation²)`. The
/// paper has all centres at 0 and a deviation of 1, from where `L_orth` first has to shrink them by a long way; a deviation
/// near `1/√L` starts where `L_orth` ends, and the centres keep the classes apart meanwhile. A similarity starts with weight 1 for its own class and −0.5 for every
/// other, without bias, and all are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrototypeClassifierConfig {
    /// Standard deviation of the initial prototypes around the centre of their class, default 1.
    pub deviation: f64,
    /// Standard deviation of the classes' centres, default 0.
    pub class_deviation: f64,
}

impl Default for PrototypeClassifierConfig {
    fn default() -> Self {
        Self {
            deviation: 1.0,
            class_deviation: 0.0,
        }
    }
}

#[typetag::serde(name = "prototype")]
impl HeadConfig for PrototypeClassifierConfig {
    fn build(&self, spec: &HeadSpec, init: &mut Initializer) -> Result<BoxHead> {
        // The other bound: the squares of larger values are no longer finite in 32 bits.
        if !(self.deviation > 0.0 && self.deviation <= 1e6) {
            return Err(Error::config(
                "model.head.deviation",
                format!(
                    "must be a positive number up to 1e6, not {}: equal prototypes would stay equal",
                    self.deviation
                ),
            ));
        }
        if !(0.0..=1e6).contains(&self.class_deviation) {
            return Err(Error::config(
                "model.head.class_deviation",
                format!("must lie between 0 and 1e6, not {}", self.class_deviation),
            ));
        }
        let HeadSpec {
            latent_dimensions,
            classes,
            prototypes_per_class: per_class,
            ..
        } = *spec;
        check_classes(spec)?;
        if per_class == 0 {
            return Err(Error::config(
                "model.prototypes_per_class",
                "must be at least 1",
            ));
        }
        let key = "model.prototypes_per_class";
        let prototypes = [classes, per_class, latent_dimensions];
        check::weights(key, init, &[&prototypes, &[classes, classes, per_class]])?;
        let total = classes * per_class;
        let mut prototypes = init.normal([total, latent_dimensions], 0.0, self.deviation as f32);
        if self.class_deviation > 0.0 {
            let shape = [classes, 1, latent_dimensions];
            let centres = init.normal(shape, 0.0, self.class_deviation as f32);
            let centres = centres
                .val()
                .expand([classes, per_class, latent_dimensions])
                .reshape([total, latent_dimensions]);
            prototypes = Param::from_tensor((prototypes.val() + centres).detach());
        }
        Ok(BoxHead::new(PrototypeClassifier {
            prototypes,
            class_weights: init.values([classes, total], |[class, prototype]| {
                if prototype / per_class == class {
                    OWN_CLASS
                } else {
                    OTHER_CLASS
                }
            }),
            classes,
            per_class,
            distance: spec.distance,
            similarity_epsilon: spec.similarity_epsilon,
        }))
    }
}

/// A linear layer from latents to logits: the black box's head, without prototypes.
#[derive(Module, Debug)]
pub struct LinearClassifier {
    linear: Linear,
}

impl PrototypeHead for LinearClassifier {
    fn classify(&self, latents: Tensor<2>) -> HeadOutput {
        HeadOutput {
            logits: self.linear.forward(latents),
            similarities: None,
        }
    }

    fn prototypes(&self) -> Option<PrototypeBank> {
        None
    }
}

/// The recipe of a [`LinearClassifier`], tag `linear`: weights `U(-0.08, 0.08)`, bias 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearClassifierConfig {}

#[typetag::serde(name = "linear")]
impl HeadConfig for LinearClassifierConfig {
    fn build(&self, spec: &HeadSpec, init: &mut Initializer) -> Result<BoxHead> {
        check_classes(spec)?;
        check::weights(
            "model.latent_dimensions",
            init,
            &[&[spec.latent_dimensions, spec.classes]],
        )?;
        Ok(BoxHead::new(LinearClassifier {
            linear: Linear::new(spec.latent_dimensions, spec.classes, init),
        }))
    }
}

fn check_classes(spec: &HeadSpec) -> Result<()> {
    if spec.latent_dimensions == 0 {
        return Err(Error::config(
            "model.latent_dimensions",
            "must be at least 1",
        ));
    }
    if spec.classes == 0 {
        return Err(Error::config("data", "there are no classes"));
    }
    Ok(())
}

//! The recipe of a ProtoPNet.

use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::EncoderConfig;
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::provenance::Sources;
use super::{AddOn, ProtoPNet, Settings};
use crate::check;

/// The recipe of a [`ProtoPNet`], tag `protopnet`.
///
/// Defaults are the publication's, but for the features' rate: see [`ProtoPNetRates::features`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtoPNetConfig {
    /// The encoder plugin, of which the feature maps are used.
    pub encoder: Box<dyn EncoderConfig>,
    /// `M`, prototypes a class; default 5.
    #[serde(default = "five")]
    pub prototypes_per_class: usize,
    /// Channels of patches and prototypes; default 256.
    #[serde(default = "channels")]
    pub channels: usize,
    /// `eps` in `log((d + 1) / (d + eps))`, at least 1e-18 and below 1; default 1e-4.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Weights of the terms of the loss.
    #[serde(default)]
    pub weights: ProtoPNetWeights,
    /// Epochs before the joint ones, in which features are trained at another rate; default 5.
    #[serde(default = "five")]
    pub warm_up_epochs: usize,
    /// Learning rates; they take the place of `training.learning_rate`.
    #[serde(default)]
    pub rates: ProtoPNetRates,
    /// The first epoch, counted from 0, after which prototypes are pushed; default 10.
    #[serde(default = "ten")]
    pub push_start: usize,
    /// Epochs from one push to the next; default 10. After the last epoch there is always one.
    #[serde(default = "ten")]
    pub push_every: usize,
    /// Passes over the training images' similarities that the last layer makes after each push; default 20.
    #[serde(default = "twenty")]
    pub last_layer_iterations: usize,
    /// Whether and how prototypes are pruned after the last push; default not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Pruning>,
}

/// Weights of the terms of a ProtoPNet's loss; 0 leaves a term out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtoPNetWeights {
    /// Of the cross-entropy; default 1.
    pub cross_entropy: f64,
    /// Of the distance to the nearest prototype of an image's own class; default 0.8.
    pub cluster: f64,
    /// Of the distance to the nearest prototype of another class, which is subtracted; default 0.08.
    pub separation: f64,
    /// Of the sum of absolute weights from prototypes to other classes than their own; default 1e-4.
    pub l1: f64,
}

impl Default for ProtoPNetWeights {
    fn default() -> Self {
        Self {
            cross_entropy: 1.0,
            cluster: 0.8,
            separation: 0.08,
            l1: 1e-4,
        }
    }
}

/// Adam's rates for the parts of a ProtoPNet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtoPNetRates {
    /// Of the features in warm-up epochs; default 0.
    pub warm_up_features: f64,
    /// Of the features in joint epochs; default 1e-4, which is meant for features that start from pretrained weights.
    pub features: f64,
    /// Of the layers between features and patches; default 3e-3.
    pub add_on: f64,
    /// Of the prototypes; default 3e-3.
    pub prototypes: f64,
    /// Of the last layer, after a push; default 1e-4. At other times it is not trained.
    pub last_layer: f64,
}

impl Default for ProtoPNetRates {
    fn default() -> Self {
        Self {
            warm_up_features: 0.0,
            features: 1e-4,
            add_on: 3e-3,
            prototypes: 3e-3,
            last_layer: 1e-4,
        }
    }
}

/// A prototype is pruned if too few of the training images most similar to it are of its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pruning {
    /// Images that are looked at; default 6.
    pub neighbours: usize,
    /// Those of them that have to be of the prototype's class; default 3.
    pub threshold: usize,
}

impl Default for Pruning {
    fn default() -> Self {
        Self {
            neighbours: 6,
            threshold: 3,
        }
    }
}

fn five() -> usize {
    5
}

fn ten() -> usize {
    10
}

fn twenty() -> usize {
    20
}

fn channels() -> usize {
    256
}

fn epsilon() -> f64 {
    1e-4
}

#[typetag::serde(name = "protopnet")]
impl ModelConfig for ProtoPNetConfig {
    fn build(&self, spec: &ModelSpec, init: &mut Initializer) -> Result<BoxModel> {
        self.check(spec)?;
        let features = self.encoder.build_features(spec.image, init)?;
        let Some(inputs) = features.channels().last().copied() else {
            return Err(Error::config("model.encoder", "has no feature maps"));
        };
        check::weights("model.channels", init, &[&[inputs, self.channels]])?;
        let (classes, per_class) = (spec.classes, self.prototypes_per_class);
        check::weights(
            "model.prototypes_per_class",
            init,
            &[
                &[classes, per_class, self.channels],
                &[classes, classes, per_class],
            ],
        )?;
        let total = classes * per_class;
        let add_on = AddOn::new([inputs, self.channels], init);
        let prototypes = init.uniform([total, self.channels], 0.0, 1.0);
        let last_layer = init.values([classes, total], |[class, prototype]| {
            if prototype / per_class == class {
                OWN_CLASS
            } else {
                OTHER_CLASS
            }
        });
        let places = init.constant([total, Sources::WIDTH], 0.0);
        Ok(BoxModel::new(ProtoPNet {
            features,
            add_on,
            prototypes,
            last_layer,
            kept: init.constant([total], 1.0).set_require_grad(false),
            sources: places.set_require_grad(false),
            settings: Settings {
                image: spec.image,
                classes,
                per_class,
                epsilon: self.epsilon,
                weights: self.weights,
                warm_up_epochs: self.warm_up_epochs,
                rates: self.rates,
                push_start: self.push_start,
                push_every: self.push_every,
                last_layer_iterations: self.last_layer_iterations,
                pruning: self.pruning,
            },
        }))
    }

    fn reported_as(&self) -> String {
        "protopnet".to_string()
    }

    fn resolved(&self, spec: &ModelSpec) -> Result<Box<dyn ModelConfig>> {
        self.check(spec)?;
        let read: Self = super::super::clone_config(self)?;
        Ok(Box::new(read))
    }
}

/// The initial weight of a similarity for its own class.
const OWN_CLASS: f32 = 1.0;

/// The initial weight of a similarity for every other class.
const OTHER_CLASS: f32 = -0.5;

impl ProtoPNetConfig {
    /// Checks all values that do not need the encoder.
    fn check(&self, spec: &ModelSpec) -> Result<()> {
        let fail = |key: &str, reason: String| Err(Error::config(format!("model.{key}"), reason));
        if spec.classes < 2 {
            let reason = "has fewer than two classes; a prototype needs others to be told from";
            return Err(Error::config("data", reason));
        }
        for (key, value) in [
            ("prototypes_per_class", self.prototypes_per_class),
            ("channels", self.channels),
            ("push_every", self.push_every),
        ] {
            if value == 0 {
                return fail(key, "must be at least 1".to_string());
            }
        }
        check::width("model.channels", self.channels)?;
        let key = "model.prototypes_per_class";
        check::tensor(
            key,
            &[spec.classes, self.prototypes_per_class, self.channels],
        )?;
        check::tensor(
            key,
            &[spec.classes, spec.classes, self.prototypes_per_class],
        )?;
        check::similarity_epsilon("model.epsilon", self.epsilon)?;
        let ProtoPNetWeights {
            cross_entropy,
            cluster,
            separation,
            l1,
        } = self.weights;
        if !(cross_entropy.is_finite() && cross_entropy > 0.0) {
            return fail(
                "weights.cross_entropy",
                format!("must be a positive number, not {cross_entropy}"),
            );
        }
        let ProtoPNetRates {
            warm_up_features,
            features,
            add_on,
            prototypes,
            last_layer,
        } = self.rates;
        for (key, value) in [
            ("weights.cluster", cluster),
            ("weights.separation", separation),
            ("weights.l1", l1),
            ("rates.warm_up_features", warm_up_features),
            ("rates.features", features),
            ("rates.add_on", add_on),
            ("rates.prototypes", prototypes),
            ("rates.last_layer", last_layer),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fail(key, format!("must be 0 or a positive number, not {value}"));
            }
        }
        if let Some(Pruning {
            neighbours,
            threshold,
        }) = self.pruning
            && (threshold == 0 || threshold > neighbours)
        {
            return fail(
                "pruning.threshold",
                format!("must lie between 1 and the {neighbours} neighbours, not {threshold}"),
            );
        }
        Ok(())
    }
}

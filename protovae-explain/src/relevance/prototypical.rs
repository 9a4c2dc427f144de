//! Prototypical relevance propagation (PRP).

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, PrototypeBank, Target};
use protovae_core::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::sharing::{ETA, Sharing};
use super::{Composite, Propagator};

/// Prototypical relevance propagation, tag `prp`: which pixels make an image similar to a prototype.
///
/// The similarity `s` is shared over latent dimensions by closeness, `R_d = s · c_d / Σ c_d` with `c_d` of [`Sharing`], and goes
/// from there through the encoder to the pixels by the rules of a [`Composite`]. The relevance of a class is that of its logit,
/// `Σ_p w_p·s_p` over all prototypes.
///
/// ```
/// use protovae_explain::relevance::{CompositeChoice, PrototypicalRelevance};
/// let by_name: PrototypicalRelevance = serde_json::from_str(r#"{"composite": "epsilon-plus-flat"}"#)?;
/// assert_eq!(by_name.composite, CompositeChoice::Named("epsilon-plus-flat".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrototypicalRelevance {
    /// The rules: a name of [`Composite::named`], default `prp`, or the rules themselves.
    pub composite: CompositeChoice,
    /// Which latent dimensions get how much of the similarity, default [`Sharing::Gain`].
    pub sharing: Sharing,
}

/// A composite by name or rule by rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CompositeChoice {
    /// One of [`Composite::NAMES`].
    Named(String),
    /// The rules themselves.
    Rules(Composite),
}

impl Default for PrototypicalRelevance {
    fn default() -> Self {
        Self {
            composite: CompositeChoice::Named("prp".to_string()),
            sharing: Sharing::default(),
        }
    }
}

impl PrototypicalRelevance {
    /// With the rules of a named composite.
    pub fn with_composite(name: &str) -> Self {
        Self {
            composite: CompositeChoice::Named(name.to_string()),
            ..Self::default()
        }
    }

    /// With the default rules and the sharing of the publication of PRP.
    pub fn with_inverse_distance() -> Self {
        Self {
            sharing: Sharing::InverseDistance { eta: ETA },
            ..Self::default()
        }
    }
}

#[typetag::serde(name = "prp")]
impl ExplainerConfig for PrototypicalRelevance {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        let (name, composite) = match &self.composite {
            CompositeChoice::Named(name) if name == "prp" => ("prp".to_string(), Composite::prp()),
            CompositeChoice::Named(name) => (format!("prp ({name})"), Composite::named(name)?),
            CompositeChoice::Rules(rules) => ("prp (own rules)".to_string(), *rules),
        };
        composite.check()?;
        let name = match self.sharing {
            Sharing::Gain => name,
            Sharing::InverseDistance { eta } if eta > 0.0 && eta.is_finite() => {
                format!("{name}, inverse distance")
            }
            Sharing::InverseDistance { eta } => {
                let reason = format!("must be above 0, not {eta}");
                return Err(Error::config("sharing.eta", reason));
            }
        };
        Ok(Box::new(PrototypicalExplainer {
            name,
            composite,
            sharing: self.sharing,
        }))
    }
}

/// What [`PrototypicalRelevance`] builds.
#[derive(Debug, Clone)]
struct PrototypicalExplainer {
    name: String,
    composite: Composite,
    sharing: Sharing,
}

/// Values of relevance that are on their way at once; more would leave the processor's cache.
const VALUES_AT_ONCE: usize = 1 << 22;

impl Explainer for PrototypicalExplainer {
    fn name(&self) -> &str {
        &self.name
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        if targets.is_empty() {
            return Err(Error::config(
                "targets",
                "at least one target must be named",
            ));
        }
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        let model = model.valid();
        let bank = model
            .prototypes()
            .ok_or_else(|| unsupported("prototypes, at which this explanation starts"))?;
        let shares = Shares::new(&model, &bank, targets, self.sharing)?;
        let encoder = model
            .encoder()
            .ok_or_else(|| unsupported("encoder, through which relevance is propagated"))?;
        let propagator = Propagator::new(encoder, model.image_shape(), &self.composite)?;
        let images = images.without_autodiff();
        let [samples, channels, height, width] = images.dims();
        if samples == 0 {
            return Err(Error::config("images", "at least one image must be given"));
        }
        let pixels = (channels * height * width).max(1);
        // The widest activation of the usual encoders is some 32 maps of the image's size.
        let together = (VALUES_AT_ONCE / (32 * height * width * targets.len()).max(1)).max(1);
        let chunk = |start: usize| -> Result<Tensor<2>> {
            let count = together.min(samples - start);
            let images = images.clone().narrow(0, start, count);
            let prepared = propagator.prepare(images)?;
            let start = shares.start(&model, prepared.mean())?;
            let relevance = prepared.relevance(start)?;
            Ok(relevance.reshape([count * targets.len(), pixels]))
        };
        let starts: Vec<usize> = (0..samples).step_by(together).collect();
        let chunks: Result<Vec<Tensor<2>>> = starts.into_par_iter().map(chunk).collect();
        Ok(Explanation {
            relevance: Tensor::cat(chunks?, 0).reshape([
                samples * targets.len(),
                channels,
                height,
                width,
            ]),
            targets: targets.to_vec(),
        })
    }
}

/// How the similarities to prototypes are shared over latent dimensions.
struct Shares {
    /// The prototypes that are needed, `[P, L]`.
    prototypes: Tensor<2>,
    /// Their rows in the bank.
    rows: Vec<usize>,
    /// How much each counts for each target, `[T, P]`; none if target `t` is just prototype `t`.
    weights: Option<Tensor<2>>,
    sharing: Sharing,
}

impl Shares {
    fn new(
        model: &BoxModel,
        bank: &PrototypeBank,
        targets: &[Target],
        sharing: Sharing,
    ) -> Result<Self> {
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        let all = bank.classes * bank.per_class;
        let device = bank.vectors.device();
        let mut prototypes = Vec::with_capacity(targets.len());
        for target in targets {
            match target {
                Target::Prototype(row) if *row < all => prototypes.push(*row),
                Target::Prototype(_) => return Err(unsupported("such prototype")),
                Target::Class(class) if *class < model.classes() => {}
                Target::Class(_) => return Err(unsupported("such class")),
                _ => return Err(unsupported("such target")),
            }
        }
        if prototypes.len() == targets.len() {
            let index: Vec<i64> = prototypes.iter().map(|row| *row as i64).collect();
            let index = Tensor::<1, burn::tensor::Int>::from_data(index.as_slice(), &device);
            return Ok(Self {
                prototypes: bank.vectors.clone().select(0, index),
                rows: prototypes,
                weights: None,
                sharing,
            });
        }
        let class_weights = model.class_weights().ok_or_else(|| {
            unsupported("weights from similarities to classes; ask for prototypes instead")
        })?;
        let weights: Vec<f32> = class_weights.into_data().iter::<f32>().collect();
        let mut rows = Vec::with_capacity(targets.len() * all);
        for target in targets {
            match target {
                Target::Class(class) => {
                    rows.extend_from_slice(&weights[class * all..(class + 1) * all]);
                }
                Target::Prototype(prototype) => {
                    rows.extend((0..all).map(|row| if row == *prototype { 1.0 } else { 0.0 }));
                }
                _ => return Err(unsupported("such target")),
            }
        }
        let weights = burn::tensor::TensorData::new(rows, [targets.len(), all]);
        Ok(Self {
            prototypes: bank.vectors.clone(),
            rows: (0..all).collect(),
            weights: Some(Tensor::from_data(weights, &device)),
            sharing,
        })
    }

    /// Relevance of latent dimensions `[N, T, L]` for posterior means `[N, L]`.
    fn start(&self, model: &BoxModel, mean: Tensor<2>) -> Result<Tensor<3>> {
        let similarities = model
            .classify(mean.clone())
            .and_then(|output| output.similarities)
            .ok_or_else(|| Error::Unsupported {
                model: model.kind().to_string(),
                what: "similarities to prototypes",
            })?;
        let samples = mean.dims()[0];
        let index: Vec<i64> = self.rows.iter().map(|row| *row as i64).collect();
        let index = Tensor::<1, burn::tensor::Int>::from_data(index.as_slice(), &mean.device());
        let similarities = similarities.select(1, index);
        let shares = self.sharing.shares(mean, self.prototypes.clone());
        let each = shares * similarities.unsqueeze_dim::<3>(2);
        Ok(match &self.weights {
            None => each,
            Some(weights) => {
                let targets = weights.dims()[0];
                let all = self.rows.len();
                weights
                    .clone()
                    .unsqueeze_dim::<3>(0)
                    .expand([samples, targets, all])
                    .matmul(each)
            }
        })
    }
}

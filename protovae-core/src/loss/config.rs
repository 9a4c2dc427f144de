//! The choices in which the paper and its released code differ, each a named setting.

use serde::{Deserialize, Serialize};

use super::similarity::SMALLEST_SIMILARITY_EPSILON;
use crate::error::{Error, Result};

/// A named combination of all loss choices. Every reported number names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Convention {
    /// The equations to the letter: z sampled, squared distance, sums over pixels and latent dimensions, squared
    /// Frobenius norm summed over classes.
    Paper,
    /// The released code, bug for bug: z is the mean, plain distance, means over pixels and latent dimensions, mixture
    /// weights restricted to positive entries, plain Frobenius norm of the Gram matrix over latent dimensions, averaged over
    /// classes.
    Reference2022,
    /// The default, and the one that reaches the paper's accuracy: the released code's scales with the paper's own claims
    /// that z is sampled and that the Gram matrix is that of prototypes, and a tenth of the weight for the KL term, which
    /// those scales make heavier than the paper does.
    #[default]
    SampledMean,
}

/// Which latent is classified and decoded in training (in evaluation it is always the mean).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Latent {
    /// `z = mu + sigma·noise`.
    Sampled,
    /// `z = mu`.
    Mean,
}

/// The distance in the similarity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// `d = ‖z − phi‖²`.
    Squared,
    /// `d = ‖z − phi‖`.
    Euclidean,
}

/// How a quantity is reduced over pixels, latent dimensions or classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Added up.
    Sum,
    /// Averaged.
    Mean,
}

/// The weights of a class's prototypes in the KL term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixtureWeights {
    /// `s / sum s` over all prototypes of the class.
    All,
    /// The same over the entries with `KL·s > 0` alone, as the released code has it.
    Positive,
}

/// The matrix norm in the orthonormality term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrobeniusNorm {
    /// `‖·‖²_F`.
    Squared,
    /// `‖·‖_F`.
    Plain,
    /// `‖·‖_F` of the Gram matrix over latent dimensions, `[L, L]`, in place of that over prototypes, `[M, M]`, as the
    /// released code has it: `√(‖·‖²_F + L − M)`. Its minimum is `√(L − M + 1)`, and near it the gradient is as many times
    /// weaker.
    PlainOverDimensions,
}

/// The weight of each term in the loss (Eq. 2); 0 switches a term off in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LossWeights {
    /// Of `L_pred`. Default 1.
    pub prediction: f64,
    /// Of the reconstruction part of `L_VAE`. Default 1.
    pub reconstruction: f64,
    /// Of the KL part of `L_VAE` (Eq. 7). Default 1; 0.1 in [`Convention::SampledMean`].
    pub kl: f64,
    /// Of `L_orth` (Eq. 6). Default 1.
    pub orthonormality: f64,
    /// Of the inverse volume of a class's prototypes, PanVAE's in place of `L_orth`. Default 0; computed only if it is not.
    #[serde(skip_serializing_if = "is_zero")]
    pub volume: f64,
}

/// What is off is not written, so that files say of ProtoVAE what they said before there was PanVAE.
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            prediction: 1.0,
            reconstruction: 1.0,
            kl: 1.0,
            orthonormality: 1.0,
            volume: 0.0,
        }
    }
}

/// All choices of the ProtoVAE loss.
///
/// In a file, `convention` gives every choice that is not written out:
///
/// ```
/// use protovae_core::loss::{Latent, LossConfig, Reduction};
/// let config: LossConfig = serde_json::from_str(r#"{"convention": "paper", "latent": "mean"}"#)?;
/// assert_eq!(config.kl_reduction, Reduction::Sum);
/// assert_eq!(config.latent, Latent::Mean);
/// assert_eq!(config.name(), "paper with latent=mean");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "LossFile")]
pub struct LossConfig {
    /// The combination from which this one started.
    pub convention: Convention,
    /// Which latent is classified and decoded in training.
    pub latent: Latent,
    /// The distance in the similarity.
    pub distance: Distance,
    /// `eps` of the similarity, at least 1e-18 and below 1, default 1e-4.
    pub similarity_epsilon: f64,
    /// The reconstruction error over the pixels of an image.
    pub reconstruction_reduction: Reduction,
    /// The KL divergence over latent dimensions.
    pub kl_reduction: Reduction,
    /// The weights of a class's prototypes in the KL term.
    pub mixture_weights: MixtureWeights,
    /// The norm in the orthonormality term.
    pub orthonormality_norm: FrobeniusNorm,
    /// The orthonormality term over classes.
    pub orthonormality_reduction: Reduction,
    /// `log sigma²` is clamped to ± this; default `log 1e8` = 18.42.
    pub log_variance_limit: f64,
    /// The weight of each term.
    pub weights: LossWeights,
}

/// The keys of [`LossConfig`] that a convention decides: a new convention replaces what lower layers said of them.
pub const CONVENTION_KEYS: [&str; 8] = [
    "latent",
    "distance",
    "reconstruction_reduction",
    "kl_reduction",
    "mixture_weights",
    "orthonormality_norm",
    "orthonormality_reduction",
    "weights",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename = "LossConfig")]
struct LossFile {
    convention: Convention,
    latent: Option<Latent>,
    distance: Option<Distance>,
    similarity_epsilon: Option<f64>,
    reconstruction_reduction: Option<Reduction>,
    kl_reduction: Option<Reduction>,
    mixture_weights: Option<MixtureWeights>,
    orthonormality_norm: Option<FrobeniusNorm>,
    orthonormality_reduction: Option<Reduction>,
    log_variance_limit: Option<f64>,
    weights: WeightsFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename = "LossWeights")]
struct WeightsFile {
    prediction: Option<f64>,
    reconstruction: Option<f64>,
    kl: Option<f64>,
    orthonormality: Option<f64>,
    volume: Option<f64>,
}

impl From<LossFile> for LossConfig {
    fn from(file: LossFile) -> Self {
        let base = Self::new(file.convention);
        Self {
            convention: file.convention,
            latent: file.latent.unwrap_or(base.latent),
            distance: file.distance.unwrap_or(base.distance),
            similarity_epsilon: file.similarity_epsilon.unwrap_or(base.similarity_epsilon),
            reconstruction_reduction: file
                .reconstruction_reduction
                .unwrap_or(base.reconstruction_reduction),
            kl_reduction: file.kl_reduction.unwrap_or(base.kl_reduction),
            mixture_weights: file.mixture_weights.unwrap_or(base.mixture_weights),
            orthonormality_norm: file.orthonormality_norm.unwrap_or(base.orthonormality_norm),
            orthonormality_reduction: file
                .orthonormality_reduction
                .unwrap_or(base.orthonormality_reduction),
            log_variance_limit: file.log_variance_limit.unwrap_or(base.log_variance_limit),
            weights: LossWeights {
                prediction: file.weights.prediction.unwrap_or(base.weights.prediction),
                reconstruction: file
                    .weights
                    .reconstruction
                    .unwrap_or(base.weights.reconstruction),
                kl: file.weights.kl.unwrap_or(base.weights.kl),
                orthonormality: file
                    .weights
                    .orthonormality
                    .unwrap_or(base.weights.orthonormality),
                volume: file.weights.volume.unwrap_or(base.weights.volume),
            },
        }
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::new(Convention::default())
    }
}

impl LossConfig {
    /// A convention as it is.
    pub fn new(convention: Convention) -> Self {
        let paper = Self {
            convention,
            latent: Latent::Sampled,
            distance: Distance::Squared,
            similarity_epsilon: 1e-4,
            reconstruction_reduction: Reduction::Sum,
            kl_reduction: Reduction::Sum,
            mixture_weights: MixtureWeights::All,
            orthonormality_norm: FrobeniusNorm::Squared,
            orthonormality_reduction: Reduction::Sum,
            log_variance_limit: 1e8f64.ln(),
            weights: LossWeights::default(),
        };
        let reference = Self {
            latent: Latent::Mean,
            distance: Distance::Euclidean,
            reconstruction_reduction: Reduction::Mean,
            kl_reduction: Reduction::Mean,
            mixture_weights: MixtureWeights::Positive,
            orthonormality_norm: FrobeniusNorm::PlainOverDimensions,
            orthonormality_reduction: Reduction::Mean,
            ..paper.clone()
        };
        match convention {
            Convention::Paper => paper,
            Convention::Reference2022 => reference,
            Convention::SampledMean => Self {
                latent: Latent::Sampled,
                orthonormality_norm: FrobeniusNorm::Plain,
                weights: LossWeights {
                    kl: 0.1,
                    ..LossWeights::default()
                },
                ..reference
            },
        }
    }

    /// The convention's name and every choice and weight that deviates from it, as reports print it.
    pub fn name(&self) -> String {
        let object = |config: &Self| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (own, base) = (object(self), object(&Self::new(self.convention)));
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            // As `0`, where JSON writes `0.0`.
            serde_json::Value::Number(number) => match number.as_f64() {
                Some(number) => number.to_string(),
                None => number.to_string(),
            },
            other => other.to_string(),
        };
        let mut deviations = Vec::new();
        for (key, value) in &own {
            match (value, base.get(key)) {
                (serde_json::Value::Object(inner), Some(serde_json::Value::Object(standard))) => {
                    for (name, weight) in inner {
                        if standard.get(name) != Some(weight) {
                            deviations.push(format!("{name} weight {}", text(weight)));
                        }
                    }
                }
                (value, standard) if standard != Some(value) => {
                    deviations.push(format!("{key}={}", text(value)));
                }
                _ => {}
            }
        }
        let name = own.get("convention").map(text).unwrap_or_default();
        if deviations.is_empty() {
            name
        } else {
            format!("{name} with {}", deviations.join(", "))
        }
    }

    /// Checks the ranges of all numbers; `key` is the path of this config, for the message.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first value out of range.
    pub fn check(&self, key: &str) -> Result<()> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(Error::config(
                    format!("{key}.{name}"),
                    format!("must be a positive number, not {value}"),
                ))
            }
        };
        positive("similarity_epsilon", self.similarity_epsilon)?;
        if self.similarity_epsilon < SMALLEST_SIMILARITY_EPSILON {
            return Err(Error::config(
                format!("{key}.similarity_epsilon"),
                format!(
                    "must be at least {SMALLEST_SIMILARITY_EPSILON:e}, or the similarity's slope at a prototype, 1/eps², overflows"
                ),
            ));
        }
        if self.similarity_epsilon >= 1.0 {
            return Err(Error::config(
                format!("{key}.similarity_epsilon"),
                "must be below 1, or similarities would not be positive",
            ));
        }
        positive("log_variance_limit", self.log_variance_limit)?;
        if self.log_variance_limit > 80.0 {
            return Err(Error::config(
                format!("{key}.log_variance_limit"),
                "must be at most 80, or the variance overflows",
            ));
        }
        let weights = [
            ("prediction", self.weights.prediction),
            ("reconstruction", self.weights.reconstruction),
            ("kl", self.weights.kl),
            ("orthonormality", self.weights.orthonormality),
            ("volume", self.weights.volume),
        ];
        for (name, weight) in weights {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::config(
                    format!("{key}.weights.{name}"),
                    format!("must be zero or a positive number, not {weight}"),
                ));
            }
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(Error::config(
                format!("{key}.weights"),
                "all terms are switched off; nothing is left to train",
            ));
        }
        Ok(())
    }
}

//! Which layer gets which rule.

use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Rule;

/// What becomes of an affine map a channel (a batch normalisation in evaluation) that stands between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Normalization {
    /// It becomes part of the convolution or fully connected layer that follows (through average pooling), or of the one
    /// right before it if no ReLU stands between. Where zeros are padded, its shift becomes a bias a pixel.
    #[default]
    Fold,
    /// It stays a layer, with the rule [`Composite::affine`].
    Keep,
}

/// A rule for each kind of layer, and how batch normalisation is treated. Every field has the default of [`Composite::prp`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Composite {
    /// The first convolution or fully connected layer, which sees pixels.
    pub input: Rule,
    /// All other convolutions.
    pub convolution: Rule,
    /// Fully connected layers.
    pub linear: Rule,
    /// Average pooling. Max pooling hands all to the winner.
    pub pooling: Rule,
    /// Sums of two branches.
    pub residual: Rule,
    /// Affine maps a channel that stay layers.
    pub affine: Rule,
    /// What becomes of batch normalisation.
    pub normalization: Normalization,
}

impl Default for Composite {
    fn default() -> Self {
        Self::prp()
    }
}

/// Small enough not to be seen beside outputs of layers, large enough to divide by.
pub(super) const SMALL_EPSILON: f64 = 1e-6;

const EPSILON: Rule = Rule::Epsilon {
    epsilon: SMALL_EPSILON,
};
const PIXELS: Rule = Rule::ZBox {
    low: -1.0,
    high: 1.0,
};

impl Composite {
    /// The names that [`Composite::named`] knows.
    pub const NAMES: [&str; 6] = [
        "prp",
        "epsilon",
        "epsilon-plus-flat",
        "epsilon-gamma-box",
        "alpha2-beta1",
        "z-plus",
    ];

    /// The default: epsilon on fully connected layers and pooling, alpha 1 beta 0 on convolutions, z-box on pixels in `[-1, 1]`,
    /// z-plus on sums of branches. (A branch may end in an output to which nothing contributes positively. Alpha 1 beta 0 has
    /// nobody to give its relevance to, and so epsilon on the sum would lose what it gave to that branch.)
    pub const fn prp() -> Self {
        Self {
            input: PIXELS,
            convolution: Rule::ALPHA_1_BETA_0,
            linear: EPSILON,
            pooling: EPSILON,
            residual: Rule::ZPlus,
            affine: EPSILON,
            normalization: Normalization::Fold,
        }
    }

    /// A composite by its name.
    ///
    /// * `prp`: [`Composite::prp`];
    /// * `epsilon`: epsilon everywhere, which is gradient × input but for the biases of ReLU networks;
    /// * `epsilon-plus-flat`: epsilon on fully connected layers, z-plus on convolutions, flat on pixels;
    /// * `epsilon-gamma-box`: epsilon on fully connected layers, gamma 0.25 on convolutions, z-box on pixels;
    /// * `alpha2-beta1`: as `prp`, with alpha 2 beta 1 on convolutions;
    /// * `z-plus`: z-plus on all layers, z-box on pixels: whatever the biases nothing is made, and nothing lost but at outputs to
    ///   which no input contributes positively.
    ///
    /// # Errors
    /// [`Error::Config`] for any other name.
    pub fn named(name: &str) -> Result<Self> {
        let prp = Self::prp();
        Ok(match name {
            "prp" => prp,
            "epsilon" => Self {
                input: EPSILON,
                convolution: EPSILON,
                residual: EPSILON,
                ..prp
            },
            "epsilon-plus-flat" => Self {
                input: Rule::Flat,
                convolution: Rule::ZPlus,
                ..prp
            },
            "epsilon-gamma-box" => Self {
                convolution: Rule::Gamma { gamma: 0.25 },
                ..prp
            },
            "alpha2-beta1" => Self {
                convolution: Rule::AlphaBeta {
                    alpha: 2.0,
                    beta: 1.0,
                },
                ..prp
            },
            "z-plus" => Self {
                convolution: Rule::ZPlus,
                linear: Rule::ZPlus,
                residual: Rule::ZPlus,
                pooling: Rule::ZPlus,
                affine: Rule::ZPlus,
                ..prp
            },
            other => {
                return Err(Error::config(
                    "composite",
                    format!(
                        "`{other}` is none of {}",
                        Self::NAMES.map(|name| format!("`{name}`")).join(", ")
                    ),
                ));
            }
        })
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        self.input.check("composite.input")?;
        self.convolution.check("composite.convolution")?;
        self.linear.check("composite.linear")?;
        self.pooling.check("composite.pooling")?;
        self.affine.check("composite.affine")?;
        match self.residual {
            Rule::Epsilon { .. } | Rule::AlphaBeta { .. } | Rule::ZPlus => {
                self.residual.check("composite.residual")
            }
            _ => Err(Error::config(
                "composite.residual",
                "sums of two branches take `epsilon`, `alpha-beta` or `z-plus`",
            )),
        }
    }
}

//! How a linear layer hands relevance to its inputs.

use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A rule of relevance propagation through `z_j = Σ_i x_i·w_ij + b_j` (Bach et al. 2015, Montavon et al. 2017, 2019).
///
/// Each output `j` hands `R_j` to the inputs in shares. `(·)⁺` and `(·)⁻` are the positive and the negative part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Rule {
    /// Shares `x_i·w_ij / (z_j + epsilon·sign z_j)`: what each input contributed, of either sign.
    Epsilon {
        /// Keeps outputs near zero from sending out more than they got; above 0.
        epsilon: f64,
    },
    /// Shares `alpha·(x_i·w_ij)⁺/z_j⁺ − beta·(x_i·w_ij)⁻/z_j⁻`, biases counted by their sign. An output without contributions
    /// of one sign hands on `alpha` or `−beta` times what it got, as the formula says.
    AlphaBeta {
        /// At least 1.
        alpha: f64,
        /// `alpha − 1`, so that what is handed on is what came in.
        beta: f64,
    },
    /// Contributions of the sign of `z_j` count `1 + gamma` times: between [`Rule::Epsilon`] at 0 and
    /// [`Rule::AlphaBeta`] at infinity.
    Gamma {
        /// At least 0.
        gamma: f64,
    },
    /// Shares `(x_i·w_ij)⁺ / Σ_i (x_i·w_ij)⁺`: as alpha 1 beta 0, but biases take nothing. For inputs that are not negative
    /// this is the z⁺-rule, `x_i·w_ij⁺ / Σ_i x_i·w_ij⁺`.
    ZPlus,
    /// For inputs between `low` and `high`, such as pixels: shares of `x_i·w_ij − low·w_ij⁺ − high·w_ij⁻`.
    ZBox {
        /// The smallest value that an input can have.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// The same share for each input of an output.
    Flat,
    /// Shares `w_ij² / Σ_i w_ij²`.
    WSquare,
}

impl Rule {
    /// `alpha = 1`, `beta = 0`.
    pub const ALPHA_1_BETA_0: Self = Self::AlphaBeta {
        alpha: 1.0,
        beta: 0.0,
    };

    /// Checks the numbers of the rule; `key` is where it stands in a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] for numbers outside the ranges that the fields name.
    pub fn check(&self, key: &str) -> Result<()> {
        let fail = |reason: String| Err(Error::config(key, reason));
        match *self {
            Self::Epsilon { epsilon } if !(epsilon > 0.0 && epsilon.is_finite()) => {
                fail(format!("epsilon must be above 0, not {epsilon}"))
            }
            Self::AlphaBeta { alpha, beta }
                if !(alpha >= 1.0 && alpha.is_finite() && (alpha - beta - 1.0).abs() < 1e-9) =>
            {
                fail(format!(
                    "alpha − beta must be 1 with alpha at least 1, not {alpha} − {beta}"
                ))
            }
            Self::Gamma { gamma } if !(gamma >= 0.0 && gamma.is_finite()) => {
                fail(format!("gamma must not be negative, found {gamma}"))
            }
            Self::ZBox { low, high }
                if !(low <= 0.0 && high >= 0.0 && low < high && (high - low).is_finite()) =>
            {
                fail(format!(
                    "zero must lie between low and high, which are {low} and {high}"
                ))
            }
            _ => Ok(()),
        }
    }
}

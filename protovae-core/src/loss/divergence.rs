//! KL divergence of a posterior to priors centred on prototypes.

use burn::tensor::{Int, Tensor};

use super::config::Reduction;
use super::mixture::own_class_prototypes;
use super::pairwise;
use super::spread::spread;

/// A KL divergence in its two parts; their sum is the divergence.
///
/// They are kept apart because the second is the same for every prototype: a mixture with weights that sum to 1 passes it
/// on unchanged, and multiplying it by the weights would only bury their gradient in rounding errors when a variance is
/// large.
#[derive(Debug, Clone)]
pub struct KlDivergence {
    /// `½ sum_d (mu_d − phi_d)²`, `[N, M]`, never negative.
    pub location: Tensor<2>,
    /// `½ sum_d (sigma_d² − 1 − log sigma_d²)`, `[N, 1]`, never negative but for rounding.
    pub spread: Tensor<2>,
}

impl KlDivergence {
    /// The divergence itself, `[N, M]`.
    pub fn total(&self) -> Tensor<2> {
        self.location.clone() + self.spread.clone()
    }
}

/// `KL(N(mean_i, sigma_i) ‖ N(phi_ij, I))` for a posterior `[N, L]` and prior means `[N, M, L]`.
///
/// In closed form `½ sum_d (sigma_d² + (mu_d − phi_d)² − 1 − log sigma_d²)`; with [`Reduction::Mean`] the average over
/// `d` in place of the sum. Never negative but for rounding, zero only for `mu = phi`, `sigma = 1`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::{Reduction, kl_divergence};
/// let device = Device::flex();
/// let mean = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let prior = Tensor::<3>::from_floats([[[1.0, 0.0]]], &device);
/// let kl = kl_divergence(mean.clone(), mean.zeros_like(), prior, Reduction::Sum).total();
/// assert_eq!(kl.into_scalar::<f32>(), 2.0);
/// ```
pub fn kl_divergence(
    mean: Tensor<2>,
    log_variance: Tensor<2>,
    prior_means: Tensor<3>,
    reduction: Reduction,
) -> KlDivergence {
    let difference = mean.unsqueeze_dim::<3>(1) - prior_means;
    let squares = difference.clone() * difference;
    let squares = match reduction {
        Reduction::Sum => squares.sum_dim(2),
        Reduction::Mean => squares.mean_dim(2),
    };
    KlDivergence {
        location: squares.squeeze_dim::<2>(2) * 0.5,
        spread: half_spread(log_variance, reduction),
    }
}

/// [`kl_divergence`] of posteriors `[N, L]` to the prototypes of each sample's own class, given by prototypes `[K, M, L]` and
/// labels `[N]`.
///
/// The same as [`kl_divergence`] of [`own_class_prototypes`], without that tensor of `N·M·L` values where the CPU can do
/// without.
pub fn own_class_divergence(
    mean: Tensor<2>,
    log_variance: Tensor<2>,
    by_class: Tensor<3>,
    labels: Tensor<1, Int>,
    reduction: Reduction,
) -> KlDivergence {
    let [_, _, width] = by_class.dims();
    let Some(squares) = pairwise::own_class_pairs(&mean, &by_class, &labels) else {
        let own = own_class_prototypes(by_class, labels);
        return kl_divergence(mean, log_variance, own, reduction);
    };
    let factor = match reduction {
        Reduction::Sum => 0.5,
        Reduction::Mean => 0.5 / width as f64,
    };
    KlDivergence {
        location: squares * factor,
        spread: half_spread(log_variance, reduction),
    }
}

/// `½ sum_d (sigma_d² − 1 − log sigma_d²)` of log variances `[N, L]`, as `[N, 1]`.
fn half_spread(log_variance: Tensor<2>, reduction: Reduction) -> Tensor<2> {
    let [_, width] = log_variance.dims();
    let factor = match reduction {
        Reduction::Sum => 0.5,
        Reduction::Mean => 0.5 / width as f64,
    };
    spread(log_variance) * factor
}

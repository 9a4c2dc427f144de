//! KL divergence of a posterior to priors centred on prototypes.

use burn::tensor::Tensor;

use super::config::Reduction;

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
    let spread = log_variance.clone().exp() - log_variance - 1.0;
    let (squares, spread) = match reduction {
        Reduction::Sum => (squares.sum_dim(2), spread.sum_dim(1)),
        Reduction::Mean => (squares.mean_dim(2), spread.mean_dim(1)),
    };
    KlDivergence {
        location: squares.squeeze_dim::<2>(2) * 0.5,
        spread: spread * 0.5,
    }
}

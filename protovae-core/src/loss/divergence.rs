//! KL divergence of a posterior to priors centred on prototypes.

use burn::tensor::Tensor;

use super::config::Reduction;

/// `KL(N(mean_i, sigma_i) ‖ N(phi_ij, I))` for a posterior `[N, L]` and prior means `[N, M, L]`, as `[N, M]`.
///
/// In closed form `½ sum_d (sigma_d² + (mu_d − phi_d)² − 1 − log sigma_d²)`; with [`Reduction::Mean`] the average over
/// `d` in place of the sum. Never negative, zero only for `mu = phi`, `sigma = 1`.
pub fn kl_divergence(
    mean: Tensor<2>,
    log_variance: Tensor<2>,
    prior_means: Tensor<3>,
    reduction: Reduction,
) -> Tensor<2> {
    let difference = mean.unsqueeze_dim::<3>(1) - prior_means;
    let squares = difference.clone() * difference;
    let spread = log_variance.clone().exp() - log_variance - 1.0;
    let (squares, spread) = match reduction {
        Reduction::Sum => (squares.sum_dim(2), spread.sum_dim(1)),
        Reduction::Mean => (squares.mean_dim(2), spread.mean_dim(1)),
    };
    (squares.squeeze_dim::<2>(2) + spread) * 0.5
}

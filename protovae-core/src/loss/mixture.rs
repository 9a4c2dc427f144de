//! The mixture of VAEs: weights of a class's prototypes, the KL term (Eq. 7), and Eq. 3 and 5.

use burn::tensor::{Int, Tensor};

use super::config::MixtureWeights;
use super::divergence::{KlDivergence, kl_divergence, own_class_divergence};
use super::{Reduction, reconstruction_errors};

/// The rows of each sample's own class: prototypes `[K, M, L]` and labels `[N]` give `[N, M, L]`.
pub fn own_class_prototypes(by_class: Tensor<3>, labels: Tensor<1, Int>) -> Tensor<3> {
    by_class.select(0, labels)
}

/// The columns of each sample's own class: similarities `[N, K·M]` and labels `[N]` give `[N, M]`.
pub fn own_class_similarities(
    similarities: Tensor<2>,
    labels: Tensor<1, Int>,
    per_class: usize,
) -> Tensor<2> {
    let [samples] = labels.dims();
    let offsets = Tensor::<1, Int>::arange(0..per_class as i64, &labels.device());
    let columns = labels
        .mul_scalar(per_class as i64)
        .unsqueeze_dim::<2>(1)
        .expand([samples, per_class])
        + offsets.unsqueeze_dim::<2>(0).expand([samples, per_class]);
    similarities.gather(1, columns)
}

/// The weights of each sample's own-class prototypes in the KL term, from their similarities and KL divergences, all
/// `[N, M]`; each row sums to 1.
///
/// [`MixtureWeights::Positive`] leaves out entries with `KL·s ≤ 0`; a row without any other entry is all zero (its KL
/// term is then zero as well).
pub fn mixture_weights(
    similarities: Tensor<2>,
    divergence: &KlDivergence,
    kind: MixtureWeights,
) -> Tensor<2> {
    let kept = match kind {
        MixtureWeights::All => similarities,
        MixtureWeights::Positive => {
            let positive = (divergence.total() * similarities.clone()).greater_elem(0.0);
            similarities * positive.float()
        }
    };
    // Similarities are positive; the bound only guards a row in which all are left out or underflow.
    let sum = kept
        .clone()
        .sum_dim(1)
        .clamp_min(f64::from(f32::MIN_POSITIVE));
    kept / sum
}

/// `L_KL` (Eq. 7): `1/N sum_i sum_j weight_ij · KL_ij` of weights `[N, M]` whose rows sum to 1 (or are all zero), as `[1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::{MixtureWeights, Reduction, kl_divergence, mixture_divergence, mixture_weights};
/// let device = Device::flex();
/// // One image on the first of two prototypes, the second at squared distance 4: divergences 0 and 2.
/// let mean = Tensor::<2>::from_floats([[0.0, 0.0]], &device);
/// let own = Tensor::<3>::from_floats([[[0.0, 0.0], [2.0, 0.0]]], &device);
/// let divergence = kl_divergence(mean.clone(), mean.zeros_like(), own, Reduction::Sum);
/// let similarities = Tensor::<2>::from_floats([[3.0, 1.0]], &device);
/// let weights = mixture_weights(similarities, &divergence, MixtureWeights::All);
/// assert_eq!(mixture_divergence(weights, divergence).into_scalar::<f32>(), 0.25 * 2.0);
/// ```
pub fn mixture_divergence(weights: Tensor<2>, divergence: KlDivergence) -> Tensor<1> {
    let kept = weights
        .clone()
        .detach()
        .sum_dim(1)
        .greater_elem(0.0)
        .float();
    ((weights * divergence.location).sum_dim(1) + kept * divergence.spread).mean()
}

/// Everything that `L_VAE` needs, for the two functions below.
#[derive(Debug, Clone)]
pub struct MixtureInputs {
    /// `[N, C, H, W]`.
    pub images: Tensor<4>,
    /// `[N, C, H, W]`.
    pub reconstructions: Tensor<4>,
    /// `[N, L]`.
    pub mean: Tensor<2>,
    /// `[N, L]`.
    pub log_variance: Tensor<2>,
    /// `[K, M, L]`.
    pub prototypes: Tensor<3>,
    /// `[N, K·M]`.
    pub similarities: Tensor<2>,
    /// `[N]`, below K.
    pub labels: Tensor<1, Int>,
}

/// `L_VAE` as Eq. 3 writes it: `1/N sum_i sum_k sum_j y_i(k) s̃_i(k,j) (‖x_i − x̂_i‖² + KL_ikj)` over all classes and
/// prototypes, with y one-hot, as `[1]`.
///
/// For checking and for teaching: [`vae_loss`] gives the same (Eq. 4 and 5) without the factor K of work.
pub fn vae_loss_in_full(inputs: MixtureInputs) -> Tensor<1> {
    let [classes, per_class, width] = inputs.prototypes.dims();
    let [samples] = inputs.labels.dims();
    let one_hot = inputs.labels.one_hot::<2>(classes).float();
    let by_class = inputs.similarities.reshape([samples, classes, per_class]);
    let sums = by_class.clone().sum_dim(2);
    let weights = by_class / sums * one_hot.unsqueeze_dim::<3>(2);
    let all = inputs
        .prototypes
        .reshape([1, classes * per_class, width])
        .expand([samples, classes * per_class, width]);
    let divergences = kl_divergence(inputs.mean, inputs.log_variance, all, Reduction::Sum)
        .total()
        .reshape([samples, classes, per_class]);
    let errors = reconstruction_errors(inputs.images, inputs.reconstructions, Reduction::Sum)
        .reshape([samples, 1, 1]);
    (weights * (divergences + errors))
        .sum()
        .div_scalar(samples as f64)
}

/// `L_VAE` as Eq. 5 writes it (with the sign that makes it −ELBO): the reconstruction error plus the own-class mixture of
/// KL divergences, both sums, averaged over the batch, as `[1]`.
pub fn vae_loss(inputs: MixtureInputs) -> Tensor<1> {
    let [_, per_class, _] = inputs.prototypes.dims();
    let divergence = own_class_divergence(
        inputs.mean,
        inputs.log_variance,
        inputs.prototypes,
        inputs.labels.clone(),
        Reduction::Sum,
    );
    let similarities = own_class_similarities(inputs.similarities, inputs.labels, per_class);
    let weights = mixture_weights(similarities, &divergence, MixtureWeights::All);
    reconstruction_errors(inputs.images, inputs.reconstructions, Reduction::Sum).mean()
        + mixture_divergence(weights, divergence)
}

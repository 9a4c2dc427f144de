//! `L_orth` (Eq. 6).

use burn::tensor::Tensor;

use super::config::{FrobeniusNorm, Reduction};

/// `L_orth`: the distance of each class's Gram matrix of mean-centred prototypes from the identity, over classes, as `[1]`.
///
/// `prototypes` is `[K, M, L]`. With the squared norm and the sum over classes this is Eq. 6; it is at least K, because
/// centred prototypes cannot be orthonormal: the nearest Gram matrix is `I − 11ᵀ/M`, at distance 1. It does not change when
/// a class's prototypes are shifted, rotated or permuted together. [`FrobeniusNorm`] has the variant of the released code.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::{FrobeniusNorm, Reduction, orthonormality};
/// // One class with two prototypes at distance √2: the centred Gram matrix is [[½, −½], [−½, ½]].
/// let prototypes = Tensor::<3>::from_floats([[[1.0, 0.0], [0.0, 1.0]]], &Device::flex());
/// let loss = orthonormality(prototypes, FrobeniusNorm::Squared, Reduction::Sum);
/// assert!((loss.into_scalar::<f32>() - 1.0).abs() < 1e-6);
/// ```
pub fn orthonormality(
    prototypes: Tensor<3>,
    norm: FrobeniusNorm,
    reduction: Reduction,
) -> Tensor<1> {
    let [_, per_class, latent_dimensions] = prototypes.dims();
    let centred = prototypes.clone() - prototypes.mean_dim(1);
    let between_prototypes =
        || squared_distance_from_identity(centred.clone().matmul(centred.clone().transpose()));
    let norms = match norm {
        FrobeniusNorm::Squared => between_prototypes(),
        FrobeniusNorm::Plain => between_prototypes().sqrt(),
        // Fewer dimensions than prototypes can be orthonormal. What follows for the others would be a small difference of large
        // numbers here; the clamp's gradient is zero below its bound, which turns sqrt's infinite slope at 0 into 0.
        FrobeniusNorm::PlainOverDimensions if latent_dimensions < per_class => {
            squared_distance_from_identity(centred.clone().transpose().matmul(centred.clone()))
                .clamp_min(1e-30)
                .sqrt()
        }
        // AᵀA and AAᵀ have the same norm and the same trace, so only the identity's size is another.
        FrobeniusNorm::PlainOverDimensions => {
            (between_prototypes() + (latent_dimensions as f64 - per_class as f64)).sqrt()
        }
    };
    match reduction {
        Reduction::Sum => norms.sum(),
        Reduction::Mean => norms.mean(),
    }
}

/// The sum of squares of each matrix of `[K, S, S]` less the identity, `[K]`.
fn squared_distance_from_identity(matrices: Tensor<3>) -> Tensor<1> {
    let [_, size, _] = matrices.dims();
    let identity = Tensor::<2>::eye(size, &matrices.device()).unsqueeze_dim::<3>(0);
    let difference = matrices - identity;
    (difference.clone() * difference)
        .sum_dim(2)
        .sum_dim(1)
        .flatten::<1>(0, 2)
}

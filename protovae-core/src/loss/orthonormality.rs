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
    let gram = centred.clone().matmul(centred.transpose());
    let identity = Tensor::<2>::eye(per_class, &gram.device()).unsqueeze_dim::<3>(0);
    let difference = gram - identity;
    let squares = (difference.clone() * difference)
        .sum_dim(2)
        .sum_dim(1)
        .flatten::<1>(0, 2);
    let norms = match norm {
        FrobeniusNorm::Squared => squares,
        FrobeniusNorm::Plain => squares.sqrt(),
        // AᵀA and AAᵀ have the same norm and the same trace, so only the identity's size is another.
        FrobeniusNorm::PlainOverDimensions => {
            (squares + (latent_dimensions as f64 - per_class as f64)).sqrt()
        }
    };
    match reduction {
        Reduction::Sum => norms.sum(),
        Reduction::Mean => norms.mean(),
    }
}

//! The volumetric loss of PanVAE.

use burn::tensor::Tensor;

/// Smallest pivot of a Gram matrix: prototypes that depend on each other have a volume of 0, whose inverse is not finite.
const SMALLEST_PIVOT: f64 = 1e-12;

/// Smallest share of its prototype's squared length that a pivot has: below lies what rounding has left of it.
const SMALLEST_SHARE: f64 = 1e-7;

/// From this logarithm of an inverse volume on, the loss grows with the logarithm alone. The slope of `exp` would exceed `f32`
/// long before its value does, and the slope's square, which Adam keeps, before that.
const LARGEST_LOGARITHM: f64 = 20.0;

/// The inverse volume that each class's prototypes span, averaged over classes, as `[1]`: `1/K sum_k |det Φ_kΦ_kᵀ|^(−1/2)`.
///
/// `prototypes` is `[K, M, L]` with `M ≤ L`; the volume is that of the parallelotope with the prototypes of a class as edges,
/// from the origin (Kjærsgaard, Boubekki and Clemmensen, "Pantypes", 2024). PanVAE has it in the place of
/// [`orthonormality`](super::orthonormality): prototypes are driven apart, without a length that they should have. It does not change
/// when a class's prototypes are rotated or permuted together, and falls by `c^M` when they are scaled by `c`.
///
/// Far from the volume 1 it says little: it nears 0 for prototypes that are long and apart. From `e^20` on it grows only as fast as the
/// inverse volume's logarithm, so that prototypes that have collapsed are still driven apart, by gradients whose squares are finite.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::inverse_volume;
/// // A parallelogram of area 6.
/// let prototypes = Tensor::<3>::from_floats([[[3.0, 0.0], [1.0, 2.0]]], &Device::flex());
/// assert!((inverse_volume(prototypes).into_scalar::<f32>() - 1.0 / 6.0).abs() < 1e-6);
/// ```
pub fn inverse_volume(prototypes: Tensor<3>) -> Tensor<1> {
    let gram = prototypes.clone().matmul(prototypes.transpose());
    let logarithms = log_determinants(gram) * -0.5;
    let beyond = (logarithms.clone() - LARGEST_LOGARITHM).clamp_min(0.0);
    let within = logarithms.clamp_max(LARGEST_LOGARITHM).exp();
    (within + beyond * LARGEST_LOGARITHM.exp()).mean()
}

/// Logarithms of the determinants of positive definite matrices `[K, M, M]`, `[K]`: each step of the elimination takes off one
/// row and column. M is small; a factorisation with a gradient of its own would gain nothing.
fn log_determinants(matrices: Tensor<3>) -> Tensor<1> {
    let [groups, size, _] = matrices.dims();
    let fixed = matrices.clone().detach();
    let mut rest = matrices;
    let mut logarithms = Tensor::<3>::zeros([groups, 1, 1], &rest.device());
    for left in (0..size).rev() {
        let done = size - 1 - left;
        let squared_length = fixed.clone().narrow(1, done, 1).narrow(2, done, 1);
        let pivot = rest
            .clone()
            .narrow(1, 0, 1)
            .narrow(2, 0, 1)
            .max_pair((squared_length * SMALLEST_SHARE).clamp_min(SMALLEST_PIVOT));
        logarithms = logarithms + pivot.clone().log();
        if left == 0 {
            break;
        }
        let column = rest.clone().narrow(1, 1, left).narrow(2, 0, 1);
        let row = rest.clone().narrow(1, 0, 1).narrow(2, 1, left);
        let inner = rest.narrow(1, 1, left).narrow(2, 1, left);
        rest = inner - column.div(pivot).matmul(row);
    }
    logarithms.flatten::<1>(0, 2)
}

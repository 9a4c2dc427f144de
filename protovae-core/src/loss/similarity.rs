//! Distances of latents to prototypes, and the similarity made of them.

use burn::tensor::Tensor;

use super::config::Distance;
use super::pairwise;

/// `‖z_i − phi_p‖²` for latents `[N, L]` and prototypes `[P, L]`, as `[N, P]`, never negative.
///
/// Computed from the differences themselves: `‖z‖² + ‖phi‖² − 2·z·phi` would lose the distances near zero, where the
/// similarity is steepest, to cancellation.
pub fn squared_distances(latents: Tensor<2>, prototypes: Tensor<2>) -> Tensor<2> {
    if let Some(distances) = pairwise::all_pairs(&latents, &prototypes) {
        return distances;
    }
    let difference = latents.unsqueeze_dim::<3>(1) - prototypes.unsqueeze_dim::<3>(0);
    (difference.clone() * difference).sum_dim(2).squeeze_dim(2)
}

/// `‖z_i − phi_p‖` as `[N, P]`. Its gradient at distance 0 is 0.
pub fn euclidean_distances(latents: Tensor<2>, prototypes: Tensor<2>) -> Tensor<2> {
    // The clamp's gradient is zero below its bound, which turns sqrt's infinite slope at 0 into 0 (5e14·0).
    squared_distances(latents, prototypes)
        .clamp_min(1e-30)
        .sqrt()
}

/// Distances of latents `[N, L]` to prototypes `[P, L]` of either kind, `[N, P]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::{Distance, distances};
/// let device = Device::flex();
/// let latent = Tensor::<2>::from_floats([[0.0, 0.0]], &device);
/// let prototype = Tensor::<2>::from_floats([[3.0, 4.0]], &device);
/// let of = |kind| distances(latent.clone(), prototype.clone(), kind).into_scalar::<f32>();
/// assert_eq!((of(Distance::Squared), of(Distance::Euclidean)), (25.0, 5.0));
/// ```
pub fn distances(latents: Tensor<2>, prototypes: Tensor<2>, distance: Distance) -> Tensor<2> {
    match distance {
        Distance::Squared => squared_distances(latents, prototypes),
        Distance::Euclidean => euclidean_distances(latents, prototypes),
    }
}

/// Smallest `epsilon` of a [`similarity`]: its slope passes through `1/epsilon²`, which is to be finite in 32 bits.
pub const SMALLEST_SIMILARITY_EPSILON: f64 = 1e-18;

/// `s = log((d + 1) / (d + epsilon))` elementwise: positive, strictly decreasing in `d ≥ 0`, `log(1/epsilon)` at 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::loss::similarity;
/// let s = similarity(Tensor::<1>::from_floats([0.0, 1.0], &Device::flex()), 1e-4);
/// let s: Vec<f32> = s.into_data().iter::<f32>().collect();
/// assert!((s[0] - 9.2103).abs() < 1e-3 && (s[1] - 0.6931).abs() < 1e-3);
/// ```
pub fn similarity<const D: usize>(distances: Tensor<D>, epsilon: f64) -> Tensor<D> {
    // log1p keeps the small similarities of far prototypes, where (d + 1) / (d + eps) rounds to 1.
    ((distances + epsilon).recip() * (1.0 - epsilon)).log1p()
}

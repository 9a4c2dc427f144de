//! `L_pred` and the reconstruction error.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::config::Reduction;
use super::pairwise;

/// `L_pred`: cross-entropy of logits `[N, K]` with labels `[N]`, averaged over the batch, as `[1]`. Labels lie in `0..K`; the unit is
/// the nat.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use protovae_core::loss::cross_entropy;
/// let device = Device::flex();
/// let logits = Tensor::<2>::zeros([3, 4], &device);
/// let labels = Tensor::<1, Int>::from_ints([0, 1, 3], &device);
/// assert!((cross_entropy(logits, labels).into_scalar::<f32>() - 4f32.ln()).abs() < 1e-6);
/// ```
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1)
        .gather(1, labels.unsqueeze_dim::<2>(1))
        .mean()
        .neg()
}

/// `‖x_i − x̂_i‖²` of each of images and reconstructions `[N, C, H, W]`, summed or averaged over the image's values, as `[N]`:
/// the reconstruction term of Eq. 3 and 5.
pub fn reconstruction_errors(
    images: Tensor<4>,
    reconstructions: Tensor<4>,
    reduction: Reduction,
) -> Tensor<1> {
    let (images, reconstructions) = (
        images.flatten::<2>(1, 3),
        reconstructions.flatten::<2>(1, 3),
    );
    let [_, pixels] = images.dims();
    let sums = match pairwise::same_rows(&reconstructions, &images) {
        Some(sums) => sums.squeeze_dim(1),
        None => {
            let difference = images - reconstructions;
            (difference.clone() * difference).sum_dim(1).squeeze_dim(1)
        }
    };
    match reduction {
        Reduction::Sum => sums,
        Reduction::Mean => sums / pixels as f64,
    }
}

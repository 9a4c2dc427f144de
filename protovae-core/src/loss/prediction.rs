//! `L_pred` and the reconstruction error.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::config::Reduction;
use super::pairwise;

/// `L_pred`: cross-entropy of logits `[N, K]` with labels `[N]`, averaged over the batch, as `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1)
        .gather(1, labels.unsqueeze_dim::<2>(1))
        .mean()
        .neg()
}

/// `‖x_i − x̂_i‖²` of each image, summed or averaged over its pixels, `[N]`.
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

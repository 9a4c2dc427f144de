//! The loss terms of FLINT as pure functions: shapes, N images, K classes, J attributes.
//!
//! All are differentiable and finite for finite input; entropies are in nats.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// `E(v) = −sum_i p_i·log p_i` with `p = softmax(v)`, of each row of `[N, J]`, as `[N]`: between 0 and `log J`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_backbones::systems::flint_losses::entropy;
/// let even = Tensor::<2>::ones([1, 4], &Device::flex());
/// assert!((entropy(even).into_scalar::<f32>() - 4f32.ln()).abs() < 1e-6);
/// ```
pub fn entropy(values: Tensor<2>) -> Tensor<1> {
    let logarithms = log_softmax(values, 1);
    (logarithms.clone().exp() * logarithms)
        .sum_dim(1)
        .squeeze_dim::<1>(1)
        .neg()
}

/// `−sum_k p_k·log q_k` with `p = softmax(logits)` and `q = softmax(other)`, both `[N, K]`, averaged over images, as `[1]`: the
/// cross-entropy of two predictions, at least the entropy of `p`.
pub fn cross_entropy_of_predictions(logits: Tensor<2>, other: Tensor<2>) -> Tensor<1> {
    (softmax(logits, 1) * log_softmax(other, 1))
        .sum_dim(1)
        .mean()
        .neg()
}

/// `mean E(Phi(x))` of attributes `[N, J]`, as `[1]`: small if few attributes stand out in each image.
pub fn conciseness(attributes: Tensor<2>) -> Tensor<1> {
    entropy(attributes).mean()
}

/// `−E(mean Phi(x))` of attributes `[N, J]`, as `[1]`: small if all attributes are used across the batch.
pub fn diversity(attributes: Tensor<2>) -> Tensor<1> {
    entropy(attributes.mean_dim(0)).mean().neg()
}

/// `‖Phi(x)‖_1` of attributes `[N, J]`, averaged over images, as `[1]`.
pub fn sparsity(attributes: Tensor<2>) -> Tensor<1> {
    attributes.abs().sum_dim(1).mean()
}

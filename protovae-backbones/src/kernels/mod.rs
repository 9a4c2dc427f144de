//! The layers' arithmetic: convolutions, and ReLU + batch normalisation (+ pooling) in one pass.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, ConvTransposeOptions};

/// Convolution of `[N, I, H, W]` with weight `[O, I, k, k]` and bias `[O]`.
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    module::conv2d(input, weight, Some(bias), options)
}

/// Transposed convolution of `[N, I, H, W]` with weight `[I, O, k, k]` and bias `[O]`.
pub fn conv_transpose2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0, 0], [1, 1], 1);
    module::conv_transpose2d(input, weight, Some(bias), options)
}

/// What [`relu_batch_norm`] gives.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// `[N, C, H, W]`, or `[N, C, H/2, W/2]` if pooled.
    pub output: Tensor<4>,
    /// Mean of the batch a channel, `[C]`, without autodiff.
    pub mean: Tensor<1>,
    /// Biased variance of the batch a channel, `[C]`, without autodiff.
    pub variance: Tensor<1>,
}

/// ReLU, then batch normalisation by the statistics of the batch, then (`pool`) 2×2 average pooling.
pub fn relu_batch_norm(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    pool: bool,
) -> Normalised {
    let [_, channels, _, _] = input.dims();
    let shape = [1, channels, 1, 1];
    let x = relu(input);
    let mean = x.clone().mean_dim(0).mean_dim(2).mean_dim(3);
    let centred = x - mean.clone();
    let variance = (centred.clone() * centred.clone())
        .mean_dim(0)
        .mean_dim(2)
        .mean_dim(3);
    let y =
        centred / (variance.clone() + epsilon).sqrt() * gamma.reshape(shape) + beta.reshape(shape);
    Normalised {
        output: if pool { avg_pool2d(y) } else { y },
        mean: mean.reshape([channels]).without_autodiff(),
        variance: variance.reshape([channels]).without_autodiff(),
    }
}

/// ReLU, then `x·scale + shift` a channel, then (`pool`) 2×2 average pooling: the evaluation form of [`relu_batch_norm`].
pub fn relu_affine(input: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, pool: bool) -> Tensor<4> {
    let [_, channels, _, _] = input.dims();
    let shape = [1, channels, 1, 1];
    let y = relu(input) * scale.reshape(shape) + shift.reshape(shape);
    if pool { avg_pool2d(y) } else { y }
}

fn avg_pool2d(x: Tensor<4>) -> Tensor<4> {
    module::avg_pool2d(x, AvgPoolOptions::new([2, 2]))
}

//! The layers' arithmetic: convolutions, and ReLU + batch normalisation (+ pooling) in one pass.
//!
//! On the CPU (burn's Flex backend, with and without autodiff, `f32`) these are kernels of this crate, forward and
//! backward; anywhere else they are burn's own operations, in [`stock`]. Results of the kernels do not depend on the
//! number of threads; they do on the width of the processor's vectors, which the environment variable `PROTOVAE_SIMD`
//! (`portable`, `sse2` or `avx2`) limits.

use burn::tensor::Tensor;

mod buffer;
mod convolution;
mod convolve;
mod geometry;
mod gradients;
mod normalisation;
mod normalise;
mod planes;
mod pool;
mod primitive;
pub mod stock;
mod sums;
mod sweep;
mod taps;
#[cfg(test)]
mod tests;
mod vector;

use convolution::Convolution;
use normalisation::Normalisation;

/// Convolution of `[N, I, H, W]` with weight `[O, I, k, k]` and bias `[O]`.
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    Convolution::new(&input, &weight, &bias, [stride, padding], false)
        .and_then(|convolution| convolution.apply(&input, &weight, &bias))
        .unwrap_or_else(|| stock::conv2d(input, weight, bias, stride, padding))
}

/// Transposed convolution of `[N, I, H, W]` with weight `[I, O, k, k]` and bias `[O]`.
pub fn conv_transpose2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    Convolution::new(&input, &weight, &bias, [stride, padding], true)
        .and_then(|convolution| convolution.apply(&input, &weight, &bias))
        .unwrap_or_else(|| stock::conv_transpose2d(input, weight, bias, stride, padding))
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
    Normalisation::new(&input, &gamma, &beta, pool)
        .and_then(|normalisation| normalisation.batch(&input, &gamma, &beta, epsilon))
        .unwrap_or_else(|| stock::relu_batch_norm(input, gamma, beta, epsilon, pool))
}

/// ReLU, then `x·scale + shift` a channel, then (`pool`) 2×2 average pooling: the evaluation form of [`relu_batch_norm`].
pub fn relu_affine(input: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, pool: bool) -> Tensor<4> {
    Normalisation::new(&input, &scale, &shift, pool)
        .and_then(|normalisation| normalisation.affine(&input, &scale, &shift))
        .unwrap_or_else(|| stock::relu_affine(input, scale, shift, pool))
}

//! The layers' arithmetic: convolutions, and ReLU + batch normalisation (+ pooling) in one pass.
//!
//! On the CPU (burn's Flex backend, with and without autodiff, `f32`) these are kernels of this crate, forward and
//! backward; anywhere else they are burn's own operations, in [`stock`]. Between layers the maps stay in a layout of their
//! own, as [`Maps`]. Results of the kernels do not depend on the number of threads; they do on the width of the processor's
//! vectors, which the environment variable `PROTOVAE_SIMD` (`portable`, `sse2` or `avx2`) limits.

use burn::tensor::Tensor;

mod activation;
mod buffer;
mod convolution;
mod convolve;
mod geometry;
mod gradients;
mod layout;
mod linear;
mod maps;
mod max_pool;
mod multiply;
mod normalisation;
mod normalise;
mod operations;
mod panel;
mod pool;
mod primitive;
mod pullback;
mod residual;
pub mod stock;
mod sums;
#[cfg(test)]
mod tests;
mod vector;

pub use maps::{Maps, NormalisedMaps};
pub use operations::operations;
pub use pool::release_memory;
pub use pullback::{PullbackStep, pullback};

/// The vector instructions that the kernels use on this processor: `AVX-512`, `AVX2 and FMA`, `SSE2`, `NEON` or `portable`.
///
/// ```
/// assert!(!protovae_backbones::kernels::vector_instructions().is_empty());
/// ```
pub fn vector_instructions() -> &'static str {
    vector::Level::get().name()
}

/// Convolution of `[N, I, H, W]` with weight `[O, I, k, k]` and bias `[O]`.
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    Maps::new(input)
        .conv2d(weight, bias, stride, padding)
        .into_images()
}

/// Transposed convolution of `[N, I, H, W]` with weight `[I, O, k, k]` and bias `[O]`.
pub fn conv_transpose2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    Maps::new(input)
        .conv_transpose2d(weight, bias, stride, padding)
        .into_images()
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
    let normalised = Maps::new(input).relu_batch_norm(gamma, beta, epsilon, pool);
    Normalised {
        output: normalised.maps.into_images(),
        mean: normalised.mean,
        variance: normalised.variance,
    }
}

/// ReLU, then `x·scale + shift` a channel, then (`pool`) 2×2 average pooling: the evaluation form of [`relu_batch_norm`].
pub fn relu_affine(input: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, pool: bool) -> Tensor<4> {
    Maps::new(input)
        .relu_affine(scale, shift, pool)
        .into_images()
}

/// `tanh` of each value.
pub fn tanh(input: Tensor<4>) -> Tensor<4> {
    activation::tanh(&input).unwrap_or_else(|| stock::tanh(input))
}

/// `max(x, 0)` of each value.
pub fn relu(input: Tensor<2>) -> Tensor<2> {
    activation::relu(&input).unwrap_or_else(|| burn::tensor::activation::relu(input))
}

/// `input·weight + bias` for `[N, in]`, `[in, out]` and `[out]`.
pub fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    linear::linear(&input, &weight, &bias).unwrap_or_else(|| stock::linear(input, weight, bias))
}

/// `input·weightᵀ` for `[N, out]` and `[in, out]`: [`linear`] on the way back.
pub fn linear_transposed(input: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    linear::linear_transposed(&input, &weight).unwrap_or_else(|| input.matmul(weight.transpose()))
}

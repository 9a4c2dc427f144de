//! The same arithmetic by burn's own operations: for every device but the CPU, and what the tests compare with.
//!
//! Input of 16 bits (`bf16`, `f16`) is computed in these, with weights cast to them, but for what sums over a whole batch or ends
//! a network: normalisation and tanh compute in 32 bits.

use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{DType, FloatDType, Tensor};

use super::Normalised;

/// Whether a tensor is of 16 bits.
fn is_lower<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::BF16 | DType::F16)
}

/// A weight in the precision of an input of 16 bits, as it is for any other.
fn like<const D: usize, const I: usize>(input: &Tensor<I>, weight: Tensor<D>) -> Tensor<D> {
    match input.dtype() {
        DType::BF16 => weight.cast(FloatDType::BF16),
        DType::F16 => weight.cast(FloatDType::F16),
        _ => weight,
    }
}

/// What `compute` makes of a tensor in 32 bits if it is of 16, in the precision of the tensor.
fn raised(x: Tensor<4>, compute: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    if !is_lower(&x) {
        return compute(x);
    }
    let output = compute(x.clone().cast(FloatDType::F32));
    like(&x, output)
}

/// Stock form of [`super::conv2d`].
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    let (weight, bias) = (like(&input, weight), like(&input, bias));
    module::conv2d(input, weight, Some(bias), options)
}

/// Stock form of [`super::conv_transpose2d`].
pub fn conv_transpose2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0, 0], [1, 1], 1);
    let (weight, bias) = (like(&input, weight), like(&input, bias));
    module::conv_transpose2d(input, weight, Some(bias), options)
}

/// Stock form of [`super::tanh`].
pub fn tanh(input: Tensor<4>) -> Tensor<4> {
    raised(input, burn::tensor::activation::tanh)
}

/// Stock form of [`super::linear`].
pub fn linear(input: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (weight, bias) = (like(&input, weight), like(&input, bias));
    input.matmul(weight) + bias.unsqueeze()
}

/// Stock form of [`super::relu_batch_norm`].
pub fn relu_batch_norm(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    pool: bool,
) -> Normalised {
    let normalised = batch_norm(relu(input), gamma, beta, epsilon, false);
    if pool {
        let output = avg_pool2d(normalised.output);
        Normalised {
            output,
            ..normalised
        }
    } else {
        normalised
    }
}

/// Stock form of [`Maps::batch_norm`](super::Maps::batch_norm).
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    rectified: bool,
) -> Normalised {
    if is_lower(&x) {
        let raised = x.clone().cast(FloatDType::F32);
        let normalised = batch_norm(raised, gamma, beta, epsilon, rectified);
        return Normalised {
            output: like(&x, normalised.output),
            ..normalised
        };
    }
    let [_, channels, _, _] = x.dims();
    let shape = [1, channels, 1, 1];
    let mean = x.clone().mean_dim(0).mean_dim(2).mean_dim(3);
    let centred = x - mean.clone();
    let variance = (centred.clone() * centred.clone())
        .mean_dim(0)
        .mean_dim(2)
        .mean_dim(3);
    let y =
        centred / (variance.clone() + epsilon).sqrt() * gamma.reshape(shape) + beta.reshape(shape);
    Normalised {
        output: if rectified { relu(y) } else { y },
        mean: mean.reshape([channels]).without_autodiff(),
        variance: variance.reshape([channels]).without_autodiff(),
    }
}

/// Stock form of [`super::relu_affine`].
pub fn relu_affine(input: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, pool: bool) -> Tensor<4> {
    let y = affine(relu(input), scale, shift, false);
    if pool { avg_pool2d(y) } else { y }
}

/// Stock form of [`Maps::affine`](super::Maps::affine).
pub fn affine(input: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, rectified: bool) -> Tensor<4> {
    let [_, channels, _, _] = input.dims();
    let shape = [1, channels, 1, 1];
    raised(input, |input| {
        let y = input * scale.reshape(shape) + shift.reshape(shape);
        if rectified { relu(y) } else { y }
    })
}

/// Stock form of [`Maps::add_relu`](super::Maps::add_relu).
pub fn add_relu(one: Tensor<4>, other: Tensor<4>) -> Tensor<4> {
    relu(one + other)
}

/// Stock form of [`Maps::max_pool2d`](super::Maps::max_pool2d).
pub fn max_pool2d(input: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    let options = MaxPoolOptions::new([kernel; 2])
        .with_stride([stride; 2])
        .with_padding([padding; 2]);
    module::max_pool2d(input, options)
}

fn avg_pool2d(x: Tensor<4>) -> Tensor<4> {
    module::avg_pool2d(x, AvgPoolOptions::new([2, 2]))
}

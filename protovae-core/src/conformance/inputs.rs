//! Numbers to try plugins with, and what is read off their outputs.

use burn::tensor::{Device, Tensor, TensorData};

use super::SEED;
use crate::image_shape::ImageShape;
use crate::random::{Purpose, normal_rows, stream};

pub(super) fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// Values in `[-1, 1)` without a pattern.
pub(super) fn uniform(count: usize, index: u64) -> Vec<f32> {
    use rand::RngExt;
    let mut generator = stream(SEED, 0, index, Purpose::Plugin);
    (0..count)
        .map(|_| generator.random_range(-1.0f32..1.0))
        .collect()
}

pub(super) fn images(samples: usize, shape: ImageShape, device: &Device) -> Tensor<4> {
    let dims = [samples, shape.channels, shape.height, shape.width];
    let values = uniform(samples * shape.values(), 1);
    Tensor::from_data(TensorData::new(values, dims), device)
}

pub(super) fn latents(samples: usize, width: usize, device: &Device) -> Tensor<2> {
    let indices: Vec<u64> = (0..samples as u64).collect();
    normal_rows(SEED, 0, &indices, width, Purpose::Posterior, device)
}

/// A weighted sum with a weight of its own for each element, so that no gradient cancels by symmetry.
pub(super) fn weighted_sum<const D: usize>(output: &Tensor<D>) -> Tensor<1> {
    let shape = output.dims();
    let weights = uniform(shape.iter().product(), 2);
    let weights = Tensor::from_data(TensorData::new(weights, shape), &output.device());
    (output.clone() * weights).sum()
}

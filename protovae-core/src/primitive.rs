//! Between burn's tensors and slices of `f32` on the CPU backend.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData};

/// A tensor of the CPU backend.
pub(crate) type Plain = FloatTensor<Flex>;

/// The CPU backend with autodiff, in the form that devices have by default.
pub(crate) type Differentiable = Autodiff<Flex, NoCheckpointing>;

/// A tensor of the CPU backend with autodiff.
pub(crate) type Tracked = FloatTensor<Differentiable>;

/// Another handle on the tensor's values; none if it is on another device, has autodiff, or is not of `f32`.
pub(crate) fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<Plain> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// Another handle on the tensor and its place in the graph; none if it is on another device, has no autodiff, or is not of
/// `f32`.
pub(crate) fn tracked<const D: usize>(tensor: &Tensor<D>) -> Option<Tracked> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<Differentiable>().ok()
}

/// The tensor with its values in order and without gaps; no copy if they are.
///
/// Takes the handle, so that values with a single owner still have a single one.
pub(crate) fn contiguous(tensor: Plain) -> Plain {
    tensor.to_contiguous()
}

/// The values of a tensor from [`contiguous`].
pub(crate) fn values(tensor: &Plain) -> &[f32] {
    // Only reached with contiguous tensors of `f32`, for which there always is a slice.
    tensor.as_slice::<f32>().unwrap_or_default()
}

/// A tensor of these values.
pub(crate) fn from_values(values: Vec<f32>, shape: &[usize]) -> Plain {
    Flex::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
}

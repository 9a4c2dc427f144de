//! Between burn's tensors and slices of `f32`.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Bytes, DType, Tensor, TensorData};

/// A tensor of the CPU backend.
pub type Plain = FloatTensor<Flex>;

/// The CPU backend with autodiff, in the form that devices have by default.
pub type Differentiable = Autodiff<Flex, NoCheckpointing>;

/// A tensor of the CPU backend with autodiff.
pub type Tracked = FloatTensor<Differentiable>;

/// The three inputs of an operation, if the kernels can work on them.
pub enum Inputs {
    /// On the CPU, with autodiff.
    Tracked([Tracked; 3]),
    /// On the CPU, without autodiff.
    Plain([Plain; 3]),
}

impl Inputs {
    /// None if any of the three is on another device or not of `f32`. With autodiff if `a` is; then `b` and `c` need not be: a
    /// network in evaluation can be asked for the gradient of its input.
    pub fn new<const A: usize, const B: usize>(
        a: &Tensor<A>,
        b: &Tensor<B>,
        c: &Tensor<1>,
    ) -> Option<Self> {
        if a.dtype() != DType::F32 || b.dtype() != DType::F32 || c.dtype() != DType::F32 {
            return None;
        }
        if a.device().is_autodiff() {
            Some(Self::Tracked([
                a.clone().try_into_primitive::<Differentiable>().ok()?,
                lifted(b).try_into_primitive::<Differentiable>().ok()?,
                lifted(c).try_into_primitive::<Differentiable>().ok()?,
            ]))
        } else {
            Some(Self::Plain([
                a.clone().try_into_primitive::<Flex>().ok()?,
                b.clone().try_into_primitive::<Flex>().ok()?,
                c.clone().try_into_primitive::<Flex>().ok()?,
            ]))
        }
    }
}

/// The tensor on a device with autodiff, as a constant if it was not.
fn lifted<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() {
        tensor.clone()
    } else {
        Tensor::from_inner(tensor.clone())
    }
}

/// The tensor with its values in order and without gaps; no copy if they are.
pub fn contiguous(tensor: &Plain) -> Plain {
    tensor.to_contiguous()
}

/// The values of a tensor from [`contiguous`].
pub fn values(tensor: &Plain) -> &[f32] {
    // Only reached with contiguous tensors of `f32`, for which there always is a slice.
    tensor.as_slice::<f32>().unwrap_or_default()
}

/// A tensor of these values, written by a kernel.
pub fn plain(values: Bytes, shape: &[usize]) -> Plain {
    let data = TensorData::from_bytes(values, shape.to_vec(), DType::F32);
    Flex::float_from_data(data, &Default::default())
}

/// A tensor of one dimension.
pub fn vector(values: Vec<f32>) -> Plain {
    let length = values.len();
    plain(Bytes::from_elems(values), &[length])
}

//! The decoders' first layer.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::random::Initializer;

use super::{BatchNorm, Linear};
use crate::kernels::Maps;

/// Fully connected layer, ReLU and batch normalisation of each unit, in this order.
#[derive(Module, Debug)]
pub struct FullyConnectedNorm {
    /// The fully connected layer.
    pub linear: Linear,
    /// The normalisation after the ReLU.
    pub normalization: BatchNorm,
}

impl FullyConnectedNorm {
    /// From `inputs` to `outputs` units.
    pub fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self {
            linear: Linear::new(inputs, outputs, init),
            normalization: BatchNorm::new(outputs, init),
        }
    }

    /// `[N, in]` to `[N, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let [samples, _] = input.dims();
        let [_, outputs] = self.linear.weight.dims();
        self.forward_maps(input)
            .into_images()
            .reshape([samples, outputs])
    }

    /// [`forward`](Self::forward) with the result as maps `[N, out, 1, 1]`.
    pub fn forward_maps(&self, input: Tensor<2>) -> Maps {
        let units = self.linear.forward(input);
        let [samples, outputs] = units.dims();
        let maps = Maps::new(units.reshape([samples, outputs, 1, 1]));
        self.normalization.maps_after_relu(maps, false)
    }
}

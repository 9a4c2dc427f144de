//! The decoders' first layer.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::random::Initializer;

use super::{BatchNorm, Linear};

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
        let units = self.linear.forward(input);
        let [samples, outputs] = units.dims();
        self.normalization
            .after_relu(units.reshape([samples, outputs, 1, 1]), false)
            .reshape([samples, outputs])
    }
}

//! Fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use super::UNIFORM_BOUND;
use crate::kernels;

/// `x·weight + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer with weights `U(-0.08, 0.08)` and bias 0.
    pub fn new(inputs: usize, outputs: usize, init: &mut Initializer) -> Self {
        Self {
            weight: init.uniform([inputs, outputs], -UNIFORM_BOUND, UNIFORM_BOUND),
            bias: init.constant([outputs], 0.0),
        }
    }

    /// `[N, in]` to `[N, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        kernels::linear(input, self.weight.val(), self.bias.val())
    }

    /// The layer as relevance propagation sees it.
    pub fn layer_view(&self) -> LayerView {
        LayerView::Linear {
            weight: self.weight.val().without_autodiff(),
            bias: Some(self.bias.val().without_autodiff()),
        }
    }
}

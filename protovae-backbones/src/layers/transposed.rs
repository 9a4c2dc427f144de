//! Transposed convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::random::Initializer;

use super::UNIFORM_BOUND;
use crate::kernels::Maps;

/// A transposed convolution with square kernels: the adjoint of a convolution, used to enlarge.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// `[I, O, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[O]`.
    pub bias: Param<Tensor<1>>,
    /// Pixels of the output from one window to the next.
    pub stride: usize,
    /// Pixels cut off each side of the output.
    pub padding: usize,
}

impl ConvTranspose2d {
    /// A transposed convolution from `channels[0]` to `channels[1]` channels, weights `U(-0.08, 0.08)`, bias 0.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        init: &mut Initializer,
    ) -> Self {
        let [inputs, outputs] = channels;
        Self {
            weight: init.uniform(
                [inputs, outputs, kernel, kernel],
                -UNIFORM_BOUND,
                UNIFORM_BOUND,
            ),
            bias: init.constant([outputs], 0.0),
            stride,
            padding,
        }
    }

    /// `[N, I, H, W]` to `[N, O, H', W']` with `H' = (H − 1)·stride + k − 2·padding`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_maps(Maps::new(input)).into_images()
    }

    /// [`forward`](Self::forward) on maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        input.conv_transpose2d(
            self.weight.val(),
            self.bias.val(),
            self.stride,
            self.padding,
        )
    }
}

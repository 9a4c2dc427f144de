//! Convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use super::UNIFORM_BOUND;
use crate::kernels::Maps;

/// From what initial convolution weights are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvolutionWeights {
    /// `U(-0.08, 0.08)`, as in the encoders.
    Uniform,
    /// Kaiming's normal over the outgoing connections, as in the decoders.
    KaimingFanOut,
}

/// A convolution with square kernels and zero padding.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[O, I, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[O]`.
    pub bias: Param<Tensor<1>>,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}

impl Conv2d {
    /// A convolution from `channels[0]` to `channels[1]` channels, its bias 0.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        weights: ConvolutionWeights,
        init: &mut Initializer,
    ) -> Self {
        let [inputs, outputs] = channels;
        let shape = [outputs, inputs, kernel, kernel];
        Self {
            weight: match weights {
                ConvolutionWeights::Uniform => init.uniform(shape, -UNIFORM_BOUND, UNIFORM_BOUND),
                ConvolutionWeights::KaimingFanOut => init.kaiming_normal_fan_out(shape),
            },
            bias: init.constant([outputs], 0.0),
            stride,
            padding,
        }
    }

    /// `[N, I, H, W]` to `[N, O, H', W']` with `H' = (H + 2·padding − k) / stride + 1`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_maps(Maps::new(input)).into_images()
    }

    /// [`forward`](Self::forward) on maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        input.conv2d(
            self.weight.val(),
            self.bias.val(),
            self.stride,
            self.padding,
        )
    }

    /// The layer as relevance propagation sees it.
    pub fn layer_view(&self) -> LayerView {
        LayerView::Conv2d {
            weight: self.weight.val().without_autodiff(),
            bias: Some(self.bias.val().without_autodiff()),
            stride: [self.stride; 2],
            padding: [self.padding; 2],
        }
    }
}

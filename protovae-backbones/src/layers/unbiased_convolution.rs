//! Convolution without a bias, and the normalisation that takes the bias's place.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use super::BatchNorm;
use crate::kernels::Maps;

/// A convolution with square kernels, zero padding and no bias, as it stands before a batch normalisation.
#[derive(Module, Debug)]
pub struct UnbiasedConv2d {
    /// `[O, I, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}

impl UnbiasedConv2d {
    /// A convolution from `channels[0]` to `channels[1]` channels, its weights from Kaiming's normal over the outgoing
    /// connections.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        init: &mut Initializer,
    ) -> Self {
        let [inputs, outputs] = channels;
        Self {
            weight: init.kaiming_normal_fan_out([outputs, inputs, kernel, kernel]),
            stride,
            padding,
        }
    }

    /// The weights for inputs of so many channels: those that there are, or, for maps of one channel that stand for
    /// equal ones, their sum over the inputs, `[O, 1, k, k]`.
    fn weight_for(&self, channels: usize) -> Tensor<4> {
        let weight = self.weight.val();
        if channels == 1 && weight.dims()[1] != 1 {
            weight.sum_dim(1)
        } else {
            weight
        }
    }

    /// Convolution, normalisation, then ReLU if `relu`. Maps of one channel count as equal maps in all channels.
    pub fn normalized(&self, normalization: &BatchNorm, input: Maps, relu: bool) -> Maps {
        let weight = self.weight_for(input.dims()[1]);
        let bias = Tensor::zeros([weight.dims()[0]], &weight.device());
        if normalization.trains_on(&input) {
            let maps = input.conv2d(weight, bias, self.stride, self.padding);
            return normalization.forward_maps(maps, relu);
        }
        let (scale, shift) = normalization.scale_and_shift();
        let geometry = [self.stride, self.padding];
        input.convolution_affine((weight, bias), geometry, [scale, shift], relu)
    }

    /// The layer as relevance propagation sees it, for inputs of so many channels.
    pub fn layer_view(&self, channels: usize) -> LayerView {
        LayerView::Conv2d {
            weight: self.weight_for(channels).without_autodiff(),
            bias: None,
            stride: [self.stride; 2],
            padding: [self.padding; 2],
        }
    }
}

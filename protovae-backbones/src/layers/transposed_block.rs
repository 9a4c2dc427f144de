//! The decoders' enlarging block.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::random::Initializer;

use crate::kernels::Maps;

use super::{BatchNorm, ConvTranspose2d};

/// Transposed convolution, ReLU and batch normalisation, in this order.
#[derive(Module, Debug)]
pub struct TransposeBlock {
    /// The transposed convolution.
    pub convolution: ConvTranspose2d,
    /// The normalisation after the ReLU.
    pub normalization: BatchNorm,
}

impl TransposeBlock {
    /// A block from `channels[0]` to `channels[1]` channels that doubles height and width: kernel 4, stride 2, padding 1.
    pub fn doubling(channels: [usize; 2], init: &mut Initializer) -> Self {
        Self {
            convolution: ConvTranspose2d::new(channels, 4, 2, 1, init),
            normalization: BatchNorm::new(channels[1], init),
        }
    }

    /// `[N, I, H, W]` to `[N, O, H', W']`, sizes as the transposed convolution has them.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_maps(Maps::new(input)).into_images()
    }

    /// [`forward`](Self::forward) on maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        if !self.normalization.trains_on(&input) {
            let ConvTranspose2d {
                stride, padding, ..
            } = self.convolution;
            let (weight, bias) = (self.convolution.weight.val(), self.convolution.bias.val());
            let (scale, shift) = self.normalization.scale_and_shift();
            let geometry = [stride, padding];
            return input.convolution_relu_affine((weight, bias), geometry, true, [scale, shift]);
        }
        let maps = self.convolution.forward_maps(input);
        self.normalization.maps_after_relu(maps, false)
    }
}

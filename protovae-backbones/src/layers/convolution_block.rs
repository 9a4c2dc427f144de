//! The encoders' and decoders' convolution block.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use crate::kernels::Maps;

use super::{BatchNorm, Conv2d, ConvolutionWeights};

/// Convolution, ReLU, batch normalisation and, if asked for, 2×2 average pooling, in this order.
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub convolution: Conv2d,
    /// The normalisation after the ReLU.
    pub normalization: BatchNorm,
    /// Whether pooling follows.
    pub pool: bool,
}

impl ConvBlock {
    /// A block from `channels[0]` to `channels[1]` channels, without pooling.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        weights: ConvolutionWeights,
        init: &mut Initializer,
    ) -> Self {
        Self {
            convolution: Conv2d::new(channels, kernel, stride, padding, weights, init),
            normalization: BatchNorm::new(channels[1], init),
            pool: false,
        }
    }

    /// The block with pooling.
    pub fn pooled(self) -> Self {
        Self { pool: true, ..self }
    }

    /// `[N, I, H, W]` to `[N, O, H', W']`, sizes as the convolution has them, halved (rounded down) by pooling.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_maps(Maps::new(input)).into_images()
    }

    /// [`forward`](Self::forward) on maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        if !self.pool && !self.normalization.trains_on(&input) {
            let Conv2d {
                stride, padding, ..
            } = self.convolution;
            let (weight, bias) = (self.convolution.weight.val(), self.convolution.bias.val());
            let (scale, shift) = self.normalization.scale_and_shift();
            let geometry = [stride, padding];
            return input.convolution_relu_affine((weight, bias), geometry, false, [scale, shift]);
        }
        let maps = self.convolution.forward_maps(input);
        self.normalization.maps_after_relu(maps, self.pool)
    }

    /// The block's layers as relevance propagation sees them.
    pub fn layer_views(&self) -> Vec<LayerView> {
        let mut views = vec![
            self.convolution.layer_view(),
            LayerView::Relu,
            self.normalization.layer_view(),
        ];
        if self.pool {
            views.push(LayerView::AvgPool2d {
                kernel: [2, 2],
                stride: [2, 2],
            });
        }
        views
    }
}

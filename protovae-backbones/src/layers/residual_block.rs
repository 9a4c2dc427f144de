//! The basic block of residual networks.

use burn::module::Module;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use super::{BatchNorm, UnbiasedConv2d};
use crate::kernels::Maps;

/// Two 3×3 convolutions, each with batch normalisation and the first with a ReLU, added to the input, then a ReLU.
///
/// Where the block changes the shape of its maps, the input goes through a 1×1 convolution and a normalisation of its own.
/// Fields are named as in torchvision's `BasicBlock`.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    /// The first convolution; its stride is the block's.
    pub conv1: UnbiasedConv2d,
    /// After the first convolution.
    pub bn1: BatchNorm,
    /// The second convolution.
    pub conv2: UnbiasedConv2d,
    /// After the second convolution.
    pub bn2: BatchNorm,
    /// For the input, if it does not fit the sum.
    pub downsample: Option<(UnbiasedConv2d, BatchNorm)>,
}

impl ResidualBlock {
    /// A block from `channels[0]` to `channels[1]` channels whose maps shrink by `stride`; `normalization` makes the
    /// normalisation of so many channels.
    pub fn new(
        channels: [usize; 2],
        stride: usize,
        normalization: impl Fn(usize, &mut Initializer) -> BatchNorm,
        init: &mut Initializer,
    ) -> Self {
        let [inputs, outputs] = channels;
        Self {
            conv1: UnbiasedConv2d::new(channels, 3, stride, 1, init),
            bn1: normalization(outputs, init),
            conv2: UnbiasedConv2d::new([outputs, outputs], 3, 1, 1, init),
            bn2: normalization(outputs, init),
            downsample: (stride != 1 || inputs != outputs).then(|| {
                let convolution = UnbiasedConv2d::new(channels, 1, stride, 0, init);
                (convolution, normalization(outputs, init))
            }),
        }
    }

    /// `[N, I, H, W]` to `[N, O, H', W']` with `H' = ⌈H / stride⌉`.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        let shortcut = match &self.downsample {
            Some((convolution, normalization)) => {
                convolution.normalized(normalization, input.clone(), false)
            }
            None => input.clone(),
        };
        let body = self.conv1.normalized(&self.bn1, input, true);
        let body = self.conv2.normalized(&self.bn2, body, false);
        body.add_relu(shortcut)
    }

    /// The block's layers as relevance propagation sees them: a [`LayerView::Residual`] and the ReLU after it.
    pub fn layer_views(&self) -> Vec<LayerView> {
        let view = |convolution: &UnbiasedConv2d| {
            let [_, inputs, ..] = convolution.weight.dims();
            convolution.layer_view(inputs)
        };
        let body = vec![
            view(&self.conv1),
            self.bn1.layer_view(),
            LayerView::Relu,
            view(&self.conv2),
            self.bn2.layer_view(),
        ];
        let shortcut = match &self.downsample {
            Some((convolution, normalization)) => {
                vec![view(convolution), normalization.layer_view()]
            }
            None => Vec::new(),
        };
        vec![LayerView::Residual { body, shortcut }, LayerView::Relu]
    }
}

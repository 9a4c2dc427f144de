//! The small encoders of Figure 1: blocks of convolutions, then two fully connected layers.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::plugin::{
    BoxEncoder, Encoder, EncoderConfig, EncoderSpec, LayerView, Posterior,
};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::kernels::Maps;
use crate::layers::{ConvBlock, ConvolutionWeights, PosteriorTail};

/// Convolution blocks, then the fully connected tail: what both recipes of this module build.
#[derive(Module, Debug)]
pub struct ConvEncoder {
    blocks: Vec<ConvBlock>,
    tail: PosteriorTail,
}

impl ConvEncoder {
    /// An encoder of blocks and a tail that fit each other.
    pub fn new(blocks: Vec<ConvBlock>, tail: PosteriorTail) -> Self {
        Self { blocks, tail }
    }

    /// Whether pooling follows each block.
    pub fn pooled(&self) -> Vec<bool> {
        self.blocks.iter().map(|block| block.pool).collect()
    }
}

impl Encoder for ConvEncoder {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        let maps = self
            .blocks
            .iter()
            .fold(Maps::new(images), |maps, block| block.forward_maps(maps));
        self.tail.forward(maps.into_images().flatten(1, 3))
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        let mut views: Vec<_> = self
            .blocks
            .iter()
            .flat_map(ConvBlock::layer_views)
            .collect();
        views.push(LayerView::Flatten);
        views.extend(self.tail.layer_views());
        Some(views)
    }

    fn takes_lower_precision(&self) -> bool {
        true
    }
}

/// The recipe of an encoder that halves its maps by average pooling, tag `conv-pool`.
///
/// For each width a block of 3×3 convolution, ReLU, batch normalisation and 2×2 average pooling. The encoders of MNIST,
/// Fashion-MNIST, QuickDraw and CIFAR-10 are of this kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PooledEncoderConfig {
    /// Channels after each block, default `[32, 64]`.
    pub widths: Vec<usize>,
}

impl Default for PooledEncoderConfig {
    fn default() -> Self {
        Self {
            widths: vec![32, 64],
        }
    }
}

#[typetag::serde(name = "conv-pool")]
impl EncoderConfig for PooledEncoderConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        build(&self.widths, spec, init, |channels, init| {
            let block = ConvBlock::new(channels, 3, 1, 1, ConvolutionWeights::Uniform, init);
            vec![block.pooled()]
        })
    }
}

/// The recipe of an encoder that halves its maps by strided convolutions, tag `conv-stride`.
///
/// For each width two blocks of convolution, ReLU and batch normalisation: one with kernel 3, then one with kernel 4 and
/// stride 2. The encoder of SVHN is of this kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StridedEncoderConfig {
    /// Channels after each pair of blocks, default `[32, 64, 128, 256]`.
    pub widths: Vec<usize>,
}

impl Default for StridedEncoderConfig {
    fn default() -> Self {
        Self {
            widths: vec![32, 64, 128, 256],
        }
    }
}

#[typetag::serde(name = "conv-stride")]
impl EncoderConfig for StridedEncoderConfig {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        build(&self.widths, spec, init, |channels, init| {
            let weights = ConvolutionWeights::Uniform;
            let outputs = channels[1];
            vec![
                ConvBlock::new(channels, 3, 1, 1, weights, init),
                ConvBlock::new([outputs, outputs], 4, 2, 1, weights, init),
            ]
        })
    }
}

const WIDTHS: &str = "model.encoder.widths";

/// An encoder whose maps are halved once for each of `widths`, by the blocks that `halving` makes.
fn build(
    widths: &[usize],
    spec: &EncoderSpec,
    init: &mut Initializer,
    halving: impl Fn([usize; 2], &mut Initializer) -> Vec<ConvBlock>,
) -> Result<BoxEncoder> {
    check::spec(spec.image, spec.latent_dimensions)?;
    let features = features(widths, spec)?;
    let mut blocks = Vec::new();
    let mut inputs = spec.image.channels;
    for width in widths {
        blocks.extend(halving([inputs, *width], init));
        inputs = *width;
    }
    let tail = PosteriorTail::new(features, spec.latent_dimensions, init);
    Ok(BoxEncoder::new(ConvEncoder::new(blocks, tail)))
}

/// Checks the widths; the number of values a sample that the tail gets.
fn features(widths: &[usize], spec: &EncoderSpec) -> Result<usize> {
    let Some(last) = widths.last() else {
        return Err(Error::config(
            WIDTHS,
            "must not be empty: each width is a block of the encoder",
        ));
    };
    for width in widths {
        check::width(WIDTHS, *width)?;
    }
    let image = spec.image;
    let most = image.height.min(image.width).ilog2() as usize;
    if widths.len() > most {
        return Err(Error::config(
            WIDTHS,
            format!(
                "{} widths halve the image {} times, but {image} images can be halved {most} times; give {most} widths \
                 or fewer",
                widths.len(),
                widths.len()
            ),
        ));
    }
    let (height, width) = (image.height >> widths.len(), image.width >> widths.len());
    for (halvings, width) in widths.iter().enumerate() {
        let (rows, columns) = (image.height >> halvings, image.width >> halvings);
        check::tensor(WIDTHS, &[*width, rows, columns])?;
    }
    check::tensor(WIDTHS, &[*last, height, width, 2, spec.latent_dimensions])?;
    check::tensor(
        "model.latent_dimensions",
        &[4, spec.latent_dimensions, spec.latent_dimensions],
    )?;
    Ok(last * height * width)
}

//! The small encoders of Figure 1: blocks of convolutions, then two fully connected layers.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::plugin::{
    BoxEncoder, BoxFeatures, Encoder, EncoderConfig, EncoderSpec, FeatureExtractor, LayerView,
    Posterior,
};
use protovae_core::random::Initializer;
use protovae_core::{Error, ImageShape, Result};
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

/// The convolution blocks of a [`ConvEncoder`] alone; a stage is what halves the maps.
#[derive(Module, Debug)]
pub struct ConvFeatures {
    blocks: Vec<ConvBlock>,
    /// Blocks a stage.
    per_stage: usize,
}

impl FeatureExtractor for ConvFeatures {
    fn channels(&self) -> Vec<usize> {
        let stages = self.blocks.chunks(self.per_stage.max(1));
        stages
            .filter_map(|blocks| Some(blocks.last()?.convolution.bias.val().dims()[0]))
            .collect()
    }

    fn maps(&self, images: Tensor<4>, first: usize) -> Vec<Tensor<4>> {
        let stages = self.blocks.chunks(self.per_stage.max(1));
        let first = first.min(stages.len().saturating_sub(1));
        let mut maps = Maps::new(images);
        let mut wanted = Vec::new();
        for (stage, blocks) in stages.enumerate() {
            maps = blocks
                .iter()
                .fold(maps, |maps, block| block.forward_maps(maps));
            if stage >= first {
                wanted.push(maps.clone().into_images());
            }
        }
        wanted
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        Some(
            self.blocks
                .iter()
                .flat_map(ConvBlock::layer_views)
                .collect(),
        )
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
        build(&self.widths, spec, init, pooled_halving)
    }

    fn build_features(&self, image: ImageShape, init: &mut Initializer) -> Result<BoxFeatures> {
        build_features(&self.widths, image, init, pooled_halving)
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
        build(&self.widths, spec, init, strided_halving)
    }

    fn build_features(&self, image: ImageShape, init: &mut Initializer) -> Result<BoxFeatures> {
        build_features(&self.widths, image, init, strided_halving)
    }
}

const WIDTHS: &str = "model.encoder.widths";

/// The block of a [`PooledEncoderConfig`] that halves the maps.
fn pooled_halving(channels: [usize; 2], init: &mut Initializer) -> Vec<ConvBlock> {
    let block = ConvBlock::new(channels, 3, 1, 1, ConvolutionWeights::Uniform, init);
    vec![block.pooled()]
}

/// The blocks of a [`StridedEncoderConfig`] that halve the maps.
fn strided_halving(channels: [usize; 2], init: &mut Initializer) -> Vec<ConvBlock> {
    let weights = ConvolutionWeights::Uniform;
    let outputs = channels[1];
    vec![
        ConvBlock::new(channels, 3, 1, 1, weights, init),
        ConvBlock::new([outputs, outputs], 4, 2, 1, weights, init),
    ]
}

/// An encoder whose maps are halved once for each of `widths`, by the blocks that `halving` makes.
fn build(
    widths: &[usize],
    spec: &EncoderSpec,
    init: &mut Initializer,
    halving: impl Fn([usize; 2], &mut Initializer) -> Vec<ConvBlock>,
) -> Result<BoxEncoder> {
    check::spec(spec.image, spec.latent_dimensions)?;
    let [channels, height, width] = check_maps(widths, spec.image)?;
    let latent_dimensions = spec.latent_dimensions;
    check::weights(
        WIDTHS,
        init,
        &[&[channels, height, width, 2, latent_dimensions]],
    )?;
    check::weights(
        "model.latent_dimensions",
        init,
        &[&[4, latent_dimensions, latent_dimensions]],
    )?;
    let blocks = blocks(widths, spec.image, init, halving)?.concat();
    let features = channels * height * width;
    let tail = PosteriorTail::new(features, spec.latent_dimensions, init);
    Ok(BoxEncoder::new(ConvEncoder::new(blocks, tail)))
}

/// The same blocks without the tail.
fn build_features(
    widths: &[usize],
    image: ImageShape,
    init: &mut Initializer,
    halving: impl Fn([usize; 2], &mut Initializer) -> Vec<ConvBlock>,
) -> Result<BoxFeatures> {
    check::image(image)?;
    check_maps(widths, image)?;
    let stages = blocks(widths, image, init, halving)?;
    Ok(BoxFeatures::new(ConvFeatures {
        per_stage: stages.first().map_or(1, Vec::len),
        blocks: stages.concat(),
    }))
}

/// The blocks of each stage.
fn blocks(
    widths: &[usize],
    image: ImageShape,
    init: &mut Initializer,
    halving: impl Fn([usize; 2], &mut Initializer) -> Vec<ConvBlock>,
) -> Result<Vec<Vec<ConvBlock>>> {
    let mut inputs = image.channels;
    for width in widths {
        // What both kinds of blocks have at least.
        check::weights(WIDTHS, init, &[&[*width, inputs, 3, 3]])?;
        inputs = *width;
    }
    let mut inputs = image.channels;
    let mut stages = Vec::with_capacity(widths.len());
    for width in widths {
        stages.push(halving([inputs, *width], init));
        inputs = *width;
    }
    Ok(stages)
}

/// Checks the widths; channels, rows and columns of the last maps.
fn check_maps(widths: &[usize], image: ImageShape) -> Result<[usize; 3]> {
    let Some(last) = widths.last() else {
        return Err(Error::config(
            WIDTHS,
            "must not be empty: each width is a block of the encoder",
        ));
    };
    for width in widths {
        check::width(WIDTHS, *width)?;
    }
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
    Ok([*last, height, width])
}

//! The decoders of Figure 1: a fully connected layer makes small maps, transposed convolutions enlarge them.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{Device, Tensor};
use protovae_core::plugin::{BoxDecoder, Decoder, DecoderConfig, DecoderSpec};
use protovae_core::random::Initializer;
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::kernels::{self, Maps};
use crate::layers::{Conv2d, ConvBlock, ConvolutionWeights, FullyConnectedNorm, TransposeBlock};

/// `Linear → ReLU → BatchNorm` to maps, stages of convolutions and transposed convolutions, then `Conv → tanh`.
#[derive(Module, Debug)]
pub struct UpsamplingDecoder {
    start: FullyConnectedNorm,
    stages: Vec<DecoderStage>,
    output: Conv2d,
    #[module(skip)]
    start_shape: [usize; 3],
}

impl Decoder for UpsamplingDecoder {
    fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
        let maps = self.start.forward_maps(latents).unflatten(self.start_shape);
        let maps = self
            .stages
            .iter()
            .fold(maps, |maps, stage| stage.forward_maps(maps));
        kernels::tanh(self.output.forward_maps(maps).into_images())
    }

    fn takes_lower_precision(&self) -> bool {
        true
    }
}

/// One stage of an [`UpsamplingDecoder`].
///
/// A module of its own making: the derived one would put the variant's name into the path of every parameter.
#[derive(Debug, Clone)]
pub enum DecoderStage {
    /// Keeps the size of the maps, or changes it by its padding.
    Convolution(ConvBlock),
    /// Doubles it.
    Transpose(TransposeBlock),
}

impl DecoderStage {
    /// `[N, I, H, W]` to `[N, O, H', W']`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Convolution(block) => block.forward(input),
            Self::Transpose(block) => block.forward(input),
        }
    }

    /// [`forward`](Self::forward) on maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps) -> Maps {
        match self {
            Self::Convolution(block) => block.forward_maps(input),
            Self::Transpose(block) => block.forward_maps(input),
        }
    }
}

/// Applies a method of the block inside and wraps the result again.
macro_rules! in_stage {
    ($stage:expr, $block:ident => $result:expr) => {
        match $stage {
            DecoderStage::Convolution($block) => DecoderStage::Convolution($result),
            DecoderStage::Transpose($block) => DecoderStage::Transpose($result),
        }
    };
}

impl Module for DecoderStage {
    fn collect_devices(&self, devices: Devices) -> Devices {
        match self {
            Self::Convolution(block) => block.collect_devices(devices),
            Self::Transpose(block) => block.collect_devices(devices),
        }
    }
    fn fork(self, device: &Device) -> Self {
        in_stage!(self, block => block.fork(device))
    }
    fn to_device(self, device: &Device) -> Self {
        in_stage!(self, block => block.to_device(device))
    }
    fn train(self) -> Self {
        in_stage!(self, block => block.train())
    }
    fn valid(&self) -> Self {
        in_stage!(self, block => block.valid())
    }
    fn materialize(self) -> Self {
        in_stage!(self, block => block.materialize())
    }
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match self {
            Self::Convolution(block) => block.visit(visitor),
            Self::Transpose(block) => block.visit(visitor),
        }
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        in_stage!(self, block => block.map(mapper))
    }
}

impl ModuleDisplayDefault for DecoderStage {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Convolution(block) => block.content(content),
            Self::Transpose(block) => block.content(content),
        }
    }
    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for DecoderStage {}

/// The recipe of an [`UpsamplingDecoder`], tag `conv-transpose`; by default the decoder of MNIST.
///
/// ```
/// use protovae_backbones::decoders::{DecoderStageConfig, UpsamplingDecoderConfig};
/// let recipe: UpsamplingDecoderConfig = serde_json::from_str(
///     r#"{"start": [16, 7, 7], "stages": [{"conv": 8}, {"transpose": 8}, {"conv": 8, "padding": 2}]}"#,
/// )?;
/// assert_eq!(recipe.stages[1], DecoderStageConfig::Transpose { channels: 8 });
/// assert_eq!(recipe.size(), Some([16, 16]));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpsamplingDecoderConfig {
    /// Channels, height and width of the maps that the fully connected layer makes, default `[64, 7, 7]`.
    pub start: [usize; 3],
    /// The stages in order.
    pub stages: Vec<DecoderStageConfig>,
}

impl Default for UpsamplingDecoderConfig {
    fn default() -> Self {
        let (conv, transpose) = (DecoderStageConfig::conv, DecoderStageConfig::transpose);
        Self {
            start: [64, 7, 7],
            stages: vec![conv(32), transpose(32), conv(32), transpose(32)],
        }
    }
}

/// One stage: `{"conv": channels}`, `{"conv": channels, "padding": zeros}` or `{"transpose": channels}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StageFile", into = "StageFile")]
pub enum DecoderStageConfig {
    /// A 3×3 convolution, ReLU and batch normalisation.
    Conv {
        /// Channels of the result.
        channels: usize,
        /// Zeros added on each side, 0 to 2; with 1 height and width stay, with 2 they grow by 2.
        padding: usize,
    },
    /// A 4×4 transposed convolution with stride 2, ReLU and batch normalisation: height and width double.
    Transpose {
        /// Channels of the result.
        channels: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conv: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transpose: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    padding: Option<usize>,
}

impl TryFrom<StageFile> for DecoderStageConfig {
    type Error = &'static str;

    fn try_from(file: StageFile) -> std::result::Result<Self, Self::Error> {
        match (file.conv, file.transpose, file.padding) {
            (Some(channels), None, padding) => Ok(Self::Conv {
                channels,
                padding: padding.unwrap_or(SAME_SIZE),
            }),
            (None, Some(channels), None) => Ok(Self::Transpose { channels }),
            (None, Some(_), Some(_)) => Err("a `transpose` stage takes no `padding`"),
            _ => Err("a stage has either `conv` or `transpose`, the number of its channels"),
        }
    }
}

impl From<DecoderStageConfig> for StageFile {
    fn from(stage: DecoderStageConfig) -> Self {
        let (conv, transpose, padding) = match stage {
            DecoderStageConfig::Conv { channels, padding } => {
                let padding = (padding != SAME_SIZE).then_some(padding);
                (Some(channels), None, padding)
            }
            DecoderStageConfig::Transpose { channels } => (None, Some(channels), None),
        };
        Self {
            conv,
            transpose,
            padding,
        }
    }
}

/// The padding with which a 3×3 convolution keeps height and width.
const SAME_SIZE: usize = 1;
/// The largest padding with which every window of a 3×3 convolution sees a pixel.
const LARGEST_PADDING: usize = 2;

impl DecoderStageConfig {
    /// A convolution that keeps height and width.
    pub const fn conv(channels: usize) -> Self {
        Self::Conv {
            channels,
            padding: SAME_SIZE,
        }
    }

    /// A transposed convolution.
    pub const fn transpose(channels: usize) -> Self {
        Self::Transpose { channels }
    }

    fn channels(self) -> usize {
        match self {
            Self::Conv { channels, .. } | Self::Transpose { channels } => channels,
        }
    }

    /// The shape of its weights after so many channels, in some order.
    fn weights(self, inputs: usize) -> [usize; 4] {
        match self {
            Self::Conv { channels, .. } => [channels, inputs, 3, 3],
            Self::Transpose { channels } => [channels, inputs, 4, 4],
        }
    }

    /// What becomes of a height or width; `None` if nothing is left or it overflows.
    fn size(self, side: usize) -> Option<usize> {
        let side = match self {
            Self::Conv { padding, .. } => {
                padding.checked_mul(2)?.checked_add(side)?.checked_sub(2)?
            }
            Self::Transpose { .. } => side.checked_mul(2)?,
        };
        (side > 0).then_some(side)
    }

    fn build(self, inputs: usize, init: &mut Initializer) -> DecoderStage {
        match self {
            Self::Conv { channels, padding } => DecoderStage::Convolution(ConvBlock::new(
                [inputs, channels],
                3,
                1,
                padding,
                ConvolutionWeights::KaimingFanOut,
                init,
            )),
            Self::Transpose { channels } => {
                DecoderStage::Transpose(TransposeBlock::doubling([inputs, channels], init))
            }
        }
    }
}

const START: &str = "model.decoder.start";
const STAGES: &str = "model.decoder.stages";

impl UpsamplingDecoderConfig {
    /// Height and width of the images that come out; `None` if nothing is left of them or they overflow.
    pub fn size(&self) -> Option<[usize; 2]> {
        let [_, height, width] = self.start;
        let grown = |side| {
            self.stages
                .iter()
                .try_fold(side, |side, stage| stage.size(side))
        };
        Some([grown(height)?, grown(width)?])
    }

    fn check(&self, spec: &DecoderSpec) -> Result<()> {
        let [channels, height, width] = self.start;
        if height == 0 || width == 0 {
            return Err(Error::config(
                START,
                format!("height and width must be at least 1, not {height}×{width}"),
            ));
        }
        check::width(START, channels)?;
        check::tensor(START, &[channels, height, width, spec.latent_dimensions])?;
        for stage in &self.stages {
            check::width(STAGES, stage.channels())?;
            if let DecoderStageConfig::Conv { padding, .. } = stage
                && *padding > LARGEST_PADDING
            {
                return Err(Error::config(
                    STAGES,
                    format!("`padding` must lie between 0 and {LARGEST_PADDING}, not {padding}"),
                ));
            }
        }
        let wanted = [spec.image.height, spec.image.width];
        let made = self.size();
        if made != Some(wanted) {
            let made = match made {
                Some([height, width]) => format!("{height}×{width}"),
                None => "no".to_string(),
            };
            return Err(Error::config(
                STAGES,
                format!(
                    "the stages make {made} pixels of {height}×{width}, but the images have {}×{}; each `transpose` \
                     doubles, each `conv` adds 2·padding − 2",
                    wanted[0], wanted[1]
                ),
            ));
        }
        let mut sides = [height, width];
        for stage in &self.stages {
            sides = sides.map(|side| stage.size(side).unwrap_or(usize::MAX));
            check::tensor(STAGES, &[stage.channels(), sides[0], sides[1]])?;
        }
        Ok(())
    }

    /// Announces the weights of all layers.
    fn reserve(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<()> {
        let [mut channels, height, width] = self.start;
        let start = [channels, height, width, spec.latent_dimensions];
        check::weights(START, init, &[&start])?;
        for stage in &self.stages {
            check::weights(STAGES, init, &[&stage.weights(channels)])?;
            channels = stage.channels();
        }
        let output = [spec.image.channels, channels, 3, 3];
        check::weights("model.decoder", init, &[&output])
    }
}

#[typetag::serde(name = "conv-transpose")]
impl DecoderConfig for UpsamplingDecoderConfig {
    fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder> {
        check::spec(spec.image, spec.latent_dimensions)?;
        self.check(spec)?;
        self.reserve(spec, init)?;
        let [mut channels, height, width] = self.start;
        let start =
            FullyConnectedNorm::new(spec.latent_dimensions, channels * height * width, init);
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            stages.push(stage.build(channels, init));
            channels = stage.channels();
        }
        let output = Conv2d::new(
            [channels, spec.image.channels],
            3,
            1,
            1,
            ConvolutionWeights::KaimingFanOut,
            init,
        );
        Ok(BoxDecoder::new(UpsamplingDecoder {
            start,
            stages,
            output,
            start_shape: self.start,
        }))
    }
}

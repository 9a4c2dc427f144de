//! ResNet-18 (He et al. 2016), in torchvision's layout.

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
use crate::layers::{BatchNorm, PosteriorTail, ResidualBlock, UnbiasedConv2d};

/// Channels of the four groups of blocks.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// ResNet-18 with the fully connected tail of the small encoders in place of its classifier.
///
/// A 7×7 convolution with stride 2, batch normalisation, ReLU, 3×3 max pooling with stride 2, four groups of two
/// [`ResidualBlock`]s with 64, 128, 256 and 512 channels, of which all but the first halve their maps, the mean of each map, and
/// [`PosteriorTail`].
///
/// Parameters are named as torchvision names them, except for what burn calls otherwise: the `weight` and `bias` of a
/// `bn1`, `bn2` or `downsample.1` are `gamma` and `beta` here (burn's adapter for PyTorch's weights knows), and in place of
/// `fc` there is `tail`.
///
/// | torchvision | here |
/// |---|---|
/// | `conv1.weight`, `layer1.0.conv1.weight`, `layer2.0.downsample.0.weight` | the same |
/// | `bn1.weight`, `bn1.bias`, `layer2.0.downsample.1.weight` | `bn1.gamma`, `bn1.beta`, `layer2.0.downsample.1.gamma` |
/// | `bn1.running_mean`, `bn1.running_var` | the same |
/// | `bn1.num_batches_tracked`, `fc.weight`, `fc.bias` | none |
#[derive(Module, Debug)]
pub struct ResNet18 {
    conv1: UnbiasedConv2d,
    bn1: BatchNorm,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    tail: PosteriorTail,
    /// Of the images: 1 or 3.
    channels: usize,
}

/// ResNet-18 up to the maps of its last group, without tail; its parameters have the same names.
#[derive(Module, Debug)]
pub struct ResNet18Features {
    conv1: UnbiasedConv2d,
    bn1: BatchNorm,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    /// Of the images: 1 or 3.
    channels: usize,
}

/// What the network with and the one without tail share.
struct Trunk<'a> {
    conv1: &'a UnbiasedConv2d,
    bn1: &'a BatchNorm,
    groups: [&'a Vec<ResidualBlock>; 4],
    /// Of the images.
    channels: usize,
}

impl Trunk<'_> {
    /// The maps after the first convolution and pooling.
    fn begin(&self, images: Tensor<4>) -> Maps {
        let maps = self.conv1.normalized(self.bn1, Maps::new(images), true);
        maps.max_pool2d(3, 2, 1)
    }

    /// The maps after each group.
    fn stages(&self, images: Tensor<4>) -> impl Iterator<Item = Maps> {
        let mut maps = self.begin(images);
        self.groups.into_iter().map(move |blocks| {
            let blocks = blocks.iter();
            maps = blocks.fold(maps.clone(), |maps, block| block.forward_maps(maps));
            maps.clone()
        })
    }

    fn layer_views(&self) -> Vec<LayerView> {
        let mut views = vec![
            self.conv1.layer_view(self.channels),
            self.bn1.layer_view(),
            LayerView::Relu,
            LayerView::MaxPool2d {
                kernel: [3, 3],
                stride: [2, 2],
                padding: [1, 1],
            },
        ];
        let blocks = self.groups.into_iter().flatten();
        views.extend(blocks.flat_map(ResidualBlock::layer_views));
        views
    }
}

impl ResNet18Features {
    fn new(config: &ResNet18Config, image: ImageShape, init: &mut Initializer) -> Self {
        let normalization = |channels: usize, init: &mut Initializer| {
            let normalization = BatchNorm::new(channels, init);
            match config.normalization {
                NormalizationMode::Trained => normalization,
                NormalizationMode::Frozen => normalization.frozen(),
            }
        };
        let conv1 = UnbiasedConv2d::new([3, WIDTHS[0]], 7, 2, 3, init);
        let bn1 = normalization(WIDTHS[0], init);
        let mut inputs = WIDTHS[0];
        let mut group = |width: usize| {
            let stride = if width == WIDTHS[0] { 1 } else { 2 };
            let first = ResidualBlock::new([inputs, width], stride, normalization, init);
            inputs = width;
            let second = ResidualBlock::new([width, width], 1, normalization, init);
            vec![first, second]
        };
        let [layer1, layer2, layer3, layer4] = WIDTHS.map(&mut group);
        Self {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            channels: image.channels,
        }
    }

    fn trunk(&self) -> Trunk<'_> {
        Trunk {
            conv1: &self.conv1,
            bn1: &self.bn1,
            groups: [&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            channels: self.channels,
        }
    }
}

impl FeatureExtractor for ResNet18Features {
    fn channels(&self) -> Vec<usize> {
        WIDTHS.to_vec()
    }

    fn maps(&self, images: Tensor<4>, first: usize) -> Vec<Tensor<4>> {
        let first = first.min(WIDTHS.len() - 1);
        let stages: Vec<Maps> = self.trunk().stages(images).collect();
        stages
            .into_iter()
            .skip(first)
            .map(Maps::into_images)
            .collect()
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        Some(self.trunk().layer_views())
    }
}

impl ResNet18 {
    fn new(config: &ResNet18Config, spec: &EncoderSpec, init: &mut Initializer) -> Self {
        let ResNet18Features {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            channels,
        } = ResNet18Features::new(config, spec.image, init);
        Self {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            tail: PosteriorTail::new(WIDTHS[3], spec.latent_dimensions, init),
            channels,
        }
    }

    fn trunk(&self) -> Trunk<'_> {
        Trunk {
            conv1: &self.conv1,
            bn1: &self.bn1,
            groups: [&self.layer1, &self.layer2, &self.layer3, &self.layer4],
            channels: self.channels,
        }
    }

    /// The 512 features that the tail gets, `[N, 512]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let trunk = self.trunk();
        let blocks = trunk.groups.into_iter().flatten();
        let maps = blocks.fold(trunk.begin(images), |maps, block| block.forward_maps(maps));
        maps.global_average()
    }
}

impl Encoder for ResNet18 {
    fn encode(&self, images: Tensor<4>) -> Posterior {
        self.tail.forward(self.features(images))
    }

    fn layers(&self) -> Option<Vec<LayerView>> {
        let mut views = self.trunk().layer_views();
        views.extend([LayerView::GlobalAvgPool, LayerView::Flatten]);
        views.extend(self.tail.layer_views());
        Some(views)
    }

    fn takes_lower_precision(&self) -> bool {
        true
    }
}

/// What batch normalisation does in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizationMode {
    /// It normalises by the statistics of the batch, which the running ones follow; scale and shift are trained.
    #[default]
    Trained,
    /// It is the affine map of its running statistics, and nothing of it changes: what suits imported weights and small
    /// batches. With fresh weights it is the identity.
    Frozen,
}

/// The recipe of a ResNet-18, tag `resnet18`.
///
/// Images of any size with 1 or 3 channels; a grey image counts as three equal channels. The maps of an image smaller than
/// 33×33 end as single pixels. Convolutions start from Kaiming's normal distribution over the outgoing connections,
/// normalisations as the identity, as in torchvision, and the tail as in the small encoders.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::ImageShape;
/// use protovae_core::plugin::{EncoderConfig, EncoderSpec};
/// use protovae_core::random::Initializer;
/// # use protovae_backbones as _;
///
/// let recipe: Box<dyn EncoderConfig> = serde_json::from_str(r#"{"type": "resnet18"}"#)?;
/// let spec = EncoderSpec { image: ImageShape::new(3, 32, 32), latent_dimensions: 16 };
/// let device = Device::flex();
/// let encoder = recipe.build(&spec, &mut Initializer::new(0, &device))?;
/// assert_eq!(encoder.encode(Tensor::zeros([1, 3, 32, 32], &device)).mean.dims(), [1, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResNet18Config {
    /// What batch normalisation does in training, default `trained`.
    pub normalization: NormalizationMode,
}

#[typetag::serde(name = "resnet18")]
impl EncoderConfig for ResNet18Config {
    fn build(&self, spec: &EncoderSpec, init: &mut Initializer) -> Result<BoxEncoder> {
        check::spec(spec.image, spec.latent_dimensions)?;
        check_image(spec.image)?;
        let latent_dimensions = spec.latent_dimensions;
        check::weights(
            "model.latent_dimensions",
            init,
            &[
                &[2, WIDTHS[3], latent_dimensions],
                &[4, latent_dimensions, latent_dimensions],
            ],
        )?;
        Ok(BoxEncoder::new(ResNet18::new(self, spec, init)))
    }

    fn build_features(&self, image: ImageShape, init: &mut Initializer) -> Result<BoxFeatures> {
        check_image(image)?;
        Ok(BoxFeatures::new(ResNet18Features::new(self, image, init)))
    }
}

/// Images of any size with 1 or 3 channels, whose maps fit into memory.
fn check_image(image: ImageShape) -> Result<()> {
    check::image(image)?;
    let ImageShape {
        channels,
        height,
        width,
    } = image;
    if channels != 1 && channels != 3 {
        let reason = format!("takes images of 1 or 3 channels, not {image}");
        return Err(Error::config("model.encoder", reason));
    }
    let sides = [height, width].map(|side| side.div_ceil(2));
    check::tensor("model.encoder", &[WIDTHS[0], sides[0], sides[1]])
}

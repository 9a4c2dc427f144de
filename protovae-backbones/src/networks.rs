//! The paper's networks, one a data set: the small ones of Figure 1, and the one for faces (S6.10).

use std::fmt;
use std::str::FromStr;

use protovae_core::ImageShape;
use protovae_core::plugin::{DecoderConfig, EncoderConfig};

use crate::decoders::{DecoderStageConfig, UpsamplingDecoderConfig};
use crate::encoders::{PooledEncoderConfig, ResNet18Config, StridedEncoderConfig};

/// A data set of the paper, and with it the networks that go with it.
///
/// ```
/// use protovae_backbones::networks::Network;
/// let network: Network = "svhn".parse()?;
/// assert_eq!(network.image().to_string(), "3×32×32");
/// let recipe = serde_json::to_string(&network.encoder())?;
/// assert_eq!(recipe, r#"{"type":"conv-stride","widths":[32,64,128,256]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// Handwritten digits, 1×28×28.
    Mnist,
    /// Clothes, 1×28×28; the networks are those of MNIST.
    FashionMnist,
    /// Ten classes of doodles, 1×28×28.
    QuickDraw,
    /// Ten classes of photographs, 3×32×32.
    Cifar10,
    /// House numbers, 3×32×32; the decoder is that of CIFAR-10.
    Svhn,
    /// Faces, female or male, 3×224×224: ResNet-18, and CIFAR-10's decoder extended to 224×224 (S6.10).
    Celeba,
}

impl Network {
    /// Those of Figure 1, with small encoders, in the order of the paper's tables.
    pub const SMALL: [Self; 5] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::QuickDraw,
        Self::Cifar10,
        Self::Svhn,
    ];

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::QuickDraw,
        Self::Cifar10,
        Self::Svhn,
        Self::Celeba,
    ];

    /// The name of the data set, as presets have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::QuickDraw => "quickdraw",
            Self::Cifar10 => "cifar-10",
            Self::Svhn => "svhn",
            Self::Celeba => "celeba",
        }
    }

    /// The shape of the images.
    pub const fn image(self) -> ImageShape {
        match self {
            Self::Mnist | Self::FashionMnist | Self::QuickDraw => ImageShape::new(1, 28, 28),
            Self::Cifar10 | Self::Svhn => ImageShape::new(3, 32, 32),
            Self::Celeba => ImageShape::new(3, 224, 224),
        }
    }

    /// Classes of the data set.
    pub const fn classes(self) -> usize {
        match self {
            Self::Celeba => 2,
            _ => 10,
        }
    }

    /// `L`. The paper does not say it for faces; theirs is that of the other images in colour.
    pub const fn latent_dimensions(self) -> usize {
        match self {
            Self::Mnist | Self::FashionMnist => 256,
            Self::QuickDraw | Self::Cifar10 | Self::Svhn | Self::Celeba => 512,
        }
    }

    /// `M`.
    pub const fn prototypes_per_class(self) -> usize {
        match self {
            Self::Mnist | Self::Svhn => 5,
            Self::FashionMnist | Self::QuickDraw | Self::Cifar10 => 10,
            Self::Celeba => 20,
        }
    }

    /// The recipe of the encoder.
    pub fn encoder(self) -> Box<dyn EncoderConfig> {
        let widths = match self {
            Self::Mnist | Self::FashionMnist => vec![32, 64],
            Self::QuickDraw => vec![32, 64, 128],
            Self::Cifar10 | Self::Svhn => vec![32, 64, 128, 256],
            Self::Celeba => return Box::new(ResNet18Config::default()),
        };
        match self {
            Self::Svhn => Box::new(StridedEncoderConfig { widths }),
            _ => Box::new(PooledEncoderConfig { widths }),
        }
    }

    /// The recipe of the decoder.
    pub fn decoder(self) -> Box<dyn DecoderConfig> {
        let (conv, transpose) = (DecoderStageConfig::conv, DecoderStageConfig::transpose);
        Box::new(match self {
            Self::Mnist | Self::FashionMnist => UpsamplingDecoderConfig {
                start: [64, 7, 7],
                stages: vec![conv(32), transpose(32), conv(32), transpose(32)],
            },
            // 3 → 6 → 12 → 14 → 28: the padding of 2 makes up for what the encoder's poolings rounded off.
            Self::QuickDraw => UpsamplingDecoderConfig {
                start: [128, 3, 3],
                stages: vec![
                    conv(64),
                    transpose(64),
                    conv(32),
                    transpose(32),
                    DecoderStageConfig::Conv {
                        channels: 32,
                        padding: 2,
                    },
                    transpose(32),
                ],
            },
            Self::Cifar10 | Self::Svhn => UpsamplingDecoderConfig {
                start: [256, 2, 2],
                stages: vec![
                    conv(128),
                    transpose(128),
                    conv(64),
                    transpose(64),
                    conv(32),
                    transpose(32),
                    conv(32),
                    transpose(32),
                ],
            },
            // 7 → 14 → 28 → 56 → 112 → 224: CIFAR-10's, with one doubling more at its end.
            Self::Celeba => UpsamplingDecoderConfig {
                start: [256, 7, 7],
                stages: vec![
                    conv(128),
                    transpose(128),
                    conv(64),
                    transpose(64),
                    conv(32),
                    transpose(32),
                    conv(32),
                    transpose(32),
                    conv(32),
                    transpose(32),
                ],
            },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No network has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownNetwork(String);

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Network::ALL.map(Network::name).join(", ");
        write!(f, "no network is named `{}`; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownNetwork {}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|network| network.name() == name)
            .ok_or_else(|| UnknownNetwork(name.to_string()))
    }
}

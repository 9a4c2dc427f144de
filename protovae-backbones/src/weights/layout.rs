//! Whose names and layouts a file of weights has.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How tensors are named and laid out in a file of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layout {
    /// Model files of this project: its own names, matrices as `[in, out]`.
    Protovae,
    /// The same modules as a PyTorch program would name and lay them out: `weight` and `bias` of normalisations, matrices
    /// as `[out, in]`. Every model has this layout.
    Pytorch,
    /// The checkpoints of the authors' released code: `features.N`, `decoder_layers.N`, `prototype_vectors`,
    /// `last_layer.weight`. The small networks have this layout.
    Reference2022,
    /// torchvision's `resnet18`: the ResNet-18 encoder without its tail, also where a model is built on its feature maps.
    Torchvision,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Protovae,
        Self::Pytorch,
        Self::Reference2022,
        Self::Torchvision,
    ];

    /// The name on the command line and in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protovae => "protovae",
            Self::Pytorch => "pytorch",
            Self::Reference2022 => "reference2022",
            Self::Torchvision => "torchvision",
        }
    }

    /// The layout of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// The layout that a file with these names has, if it is one that is known.
    ///
    /// ```
    /// use protovae_backbones::weights::Layout;
    /// let names = ["features.0.weight", "prototype_vectors", "last_layer.weight"];
    /// assert_eq!(Layout::of_names(names), Some(Layout::Reference2022));
    /// assert_eq!(Layout::of_names(["a", "b"]), None);
    /// ```
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let [mut own, mut pytorch, mut stem, mut block, mut reference] = [false; 5];
        for name in names {
            let here = ["encoder.", "decoder.", "head."]
                .iter()
                .any(|part| name.starts_with(part));
            own |= here && (name.ends_with(".gamma") || name.ends_with(".beta"));
            pytorch |= here;
            stem |= name == "conv1.weight";
            block |= name.starts_with("layer1.0.");
            reference |= name == "prototype_vectors"
                || name == "last_layer.weight"
                || name.starts_with("decoder_layers.");
        }
        match () {
            () if reference => Some(Self::Reference2022),
            () if stem && block => Some(Self::Torchvision),
            () if own => Some(Self::Protovae),
            () if pytorch => Some(Self::Pytorch),
            () => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The part of a model that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// Everything.
    All,
    /// The encoder with its tail.
    Encoder,
    /// The encoder without its tail, or the feature maps that a model is built on: what was trained on other images and other
    /// classes.
    Backbone,
}

impl Part {
    /// The part that a file of this layout holds.
    pub const fn of(layout: Layout) -> Self {
        match layout {
            Layout::Torchvision => Self::Backbone,
            _ => Self::All,
        }
    }

    /// Whether a parameter of ours is in this part.
    pub fn contains(self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Encoder => path.starts_with("encoder."),
            Self::Backbone => {
                let encoder = path.starts_with("encoder.") && !path.starts_with("encoder.tail.");
                encoder || path.split('.').rev().skip(1).any(|part| part == "features")
            }
        }
    }

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Encoder => "encoder",
            Self::Backbone => "backbone",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

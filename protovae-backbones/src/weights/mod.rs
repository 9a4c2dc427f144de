//! Weights in and out: other programs' files read into models, models written as others name and lay them out.
//!
//! | layout | what it is | holds |
//! |---|---|---|
//! | `protovae` | model files of this project | every model |
//! | `pytorch` | the same modules as PyTorch names and lays them out | every model |
//! | `reference2022` | checkpoints of the authors' released code | the small networks |
//! | `torchvision` | torchvision's `resnet18` without its classifier | the encoder `resnet18` without its tail, or its feature maps |
//!
//! Files are safetensors or PyTorch's own (`.pth`, of any age), read as plain tensors: no code in a file is run. Loading is
//! all or nothing. Values may be in 16, 32 or 64 bits; they become 32 bits.
//!
//! Between the layouts lie these differences: PyTorch keeps the matrix of a fully connected layer as `[out, in]`, burn as
//! `[in, out]`; what PyTorch calls `weight` and `bias` of a normalisation burn calls `gamma` and `beta`; in a `nn.Sequential`
//! layers without parameters count. Convolutions, the order in which maps are flattened (channel by channel), running
//! variances (unbiased) and the order of mean and log variance are the same everywhere.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use protovae_backbones::weights::{self, Layout, Part, StateDict};
//! use protovae_core::ImageShape;
//! use protovae_core::model::{ModelConfig, ModelSpec};
//! use protovae_core::random::Initializer;
//!
//! let recipe: Box<dyn ModelConfig> = serde_json::from_str(r#"{
//!     "type": "protovae", "latent_dimensions": 2, "prototypes_per_class": 1,
//!     "encoder": {"type": "conv-pool", "widths": [2]},
//!     "decoder": {"type": "conv-transpose", "start": [2, 2, 2], "stages": [{"transpose": 2}]},
//!     "head": {"type": "prototype"}
//! }"#)?;
//! let spec = ModelSpec { image: ImageShape::new(1, 4, 4), classes: 2 };
//! let model = |seed| recipe.build(&spec, &mut Initializer::new(seed, &Device::flex()));
//!
//! // One model's weights under the reference's names ...
//! let tensors = weights::export(&model(1)?, Layout::Reference2022)?;
//! let file = std::env::temp_dir().join(format!("protovae-doc-{}.safetensors", std::process::id()));
//! std::fs::write(&file, weights::to_safetensors(&tensors, None)?)?;
//!
//! // ... and into another one.
//! let stored = StateDict::open(&file)?;
//! assert_eq!(stored.layout()?, Layout::Reference2022);
//! let (loaded, report) = weights::load(model(2)?, &stored, Layout::Reference2022, Part::All)?;
//! assert_eq!(report.left_out, ["ones"]);
//! let images = Tensor::ones([1, 1, 4, 4], &Device::flex());
//! let logits = |model: protovae_core::model::BoxModel| model.predict(images.clone()).logits.into_data();
//! assert_eq!(logits(loaded), logits(model(1)?));
//! # std::fs::remove_file(&file)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod file;
mod layout;
mod matching;
mod names;
mod parameters;
mod write;

use burn::module::Module;
use protovae_core::model::BoxModel;

use crate::encoders::{ConvEncoder, ResNet18};

pub use error::{Problem, WeightsError};
pub use file::StateDict;
pub use layout::{Layout, Part};
pub use names::{Slot, Structure, is_surplus, slots};
pub use parameters::{Parameter, parameters};
pub use write::{NamedTensor, export, to_safetensors};

/// What was loaded and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The paths of the parameters and running statistics that came from the file.
    pub loaded: Vec<String>,
    /// Those that kept their values, because the file or the part has none for them.
    pub kept: Vec<String>,
    /// The names in the file that nothing was taken from.
    pub left_out: Vec<String>,
}

/// The model with the weights of a file: of the whole model, or of a part of it.
///
/// Integer and boolean parameters, which only plugins may have, keep their values.
///
/// # Errors
/// [`WeightsError::Unsuited`] if the model cannot have this layout; [`WeightsError::Mismatch`] with every tensor that is
/// missing, unknown, misshapen, of a wrong type, or holds values that are not finite.
pub fn load(
    model: BoxModel,
    stored: &StateDict,
    layout: Layout,
    part: Part,
) -> Result<(BoxModel, Loaded), WeightsError> {
    let parameters = parameters(&model);
    let slots = slots(&parameters, layout, &Structure::of(&model))?;
    let matched = matching::matched(stored, &slots, layout, part)?;
    if matched.values.is_empty() {
        return Err(WeightsError::Unsuited {
            layout,
            reason: format!("it has no parameters in the part `{part}`"),
        });
    }
    let (mut loaded, mut kept) = (Vec::new(), Vec::new());
    for Parameter { path, .. } in parameters {
        match matched.values.contains_key(&path) {
            true => loaded.push(path),
            false => kept.push(path),
        }
    }
    let report = Loaded {
        loaded,
        kept,
        left_out: matched.left_out,
    };
    Ok((parameters::with_values(model, matched.values), report))
}

/// Whether names, shapes and types of a file are those of the model, or of a part of it. No values are read.
pub fn fits(model: &BoxModel, stored: &StateDict, layout: Layout, part: Part) -> bool {
    let slots = slots(&parameters(model), layout, &Structure::of(model));
    slots.is_ok_and(|slots| {
        let plan = matching::plan(stored, &slots, layout, part);
        plan.problems.is_empty()
    })
}

impl Structure {
    /// What the names of a model's parameters do not tell.
    pub fn of(model: &BoxModel) -> Self {
        let encoder = model.encoder();
        Self {
            pooled: encoder
                .and_then(|encoder| encoder.downcast_ref::<ConvEncoder>())
                .map(ConvEncoder::pooled),
            resnets: match encoder {
                Some(encoder) if encoder.downcast_ref::<ResNet18>().is_some() => {
                    vec!["encoder.".to_string()]
                }
                Some(_) => Vec::new(),
                // Its feature maps are its own affair; the names tell.
                None => names::resnet_features(&parameters(model)),
            },
        }
    }
}

/// Parameters and running statistics with their values, of a model as it evaluates.
fn evaluated(model: &BoxModel) -> Vec<(Parameter, Vec<f32>)> {
    // `valid` brings running statistics up to date, also in plugins that use burn's own layers.
    parameters::values(&model.valid())
}

//! What each layout calls a parameter of ours, and how it lays it out. Pure functions; no tensor is touched here.

use super::error::WeightsError;
use super::layout::Layout;
use super::parameters::Parameter;

/// What the names of the reference's `nn.Sequential`s depend on besides the parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    /// For each block of a small encoder, whether pooling follows; `None` for any other encoder.
    pub pooled: Option<Vec<bool>>,
    /// What the paths of the ResNet-18s in it begin with: `encoder.`, or `features.` in a model that is built on feature maps.
    pub resnets: Vec<String>,
}

/// A parameter of ours and its place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Our path.
    pub path: String,
    /// The name in the file.
    pub name: String,
    /// The shape in the file.
    pub shape: Vec<usize>,
    /// Whether the file holds the matrix the other way round.
    pub transposed: bool,
}

/// Modules in which burn says `gamma` and `beta` for PyTorch's `weight` and `bias`.
const NORMALIZATIONS: [&str; 5] = [
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "InstanceNorm",
    "RmsNorm",
];

/// The places of all parameters that a layout has; a layout that holds a part of a model has those of this part.
///
/// # Errors
/// [`WeightsError::Unsuited`] if the model is of a kind that this layout cannot hold.
pub fn slots(
    parameters: &[Parameter],
    layout: Layout,
    structure: &Structure,
) -> Result<Vec<Slot>, WeightsError> {
    let mut slots = Vec::with_capacity(parameters.len());
    let sequential = match layout {
        Layout::Reference2022 => Some(Sequential::of(parameters, structure)?),
        Layout::Torchvision if structure.resnets.is_empty() => {
            let reason = "its encoder is no ResNet-18 (`\"encoder\": {\"type\": \"resnet18\"}`)";
            return Err(unsuited(layout, reason));
        }
        _ => None,
    };
    for parameter in parameters {
        let name = match (layout, &sequential) {
            (Layout::Protovae, _) => parameter.path.clone(),
            (Layout::Torchvision, _) => {
                let Some(name) = torchvision(parameter, &structure.resnets) else {
                    continue;
                };
                name
            }
            (_, Some(sequential)) => sequential.name(parameter)?,
            (_, None) => pytorch(parameter),
        };
        let transposed = layout != Layout::Protovae && is_matrix_of_linear(parameter);
        let mut shape = parameter.shape.clone();
        if transposed {
            shape.reverse();
        }
        slots.push(Slot {
            path: parameter.path.clone(),
            name,
            shape,
            transposed,
        });
    }
    Ok(slots)
}

/// Names that a layout's files may hold besides: counters, constants and the classifier of another task.
///
/// ```
/// use protovae_backbones::weights::{Layout, is_surplus};
/// assert!(is_surplus(Layout::Reference2022, "ones"));
/// assert!(is_surplus(Layout::Torchvision, "bn1.num_batches_tracked"));
/// assert!(!is_surplus(Layout::Pytorch, "fc.weight"));
/// ```
pub fn is_surplus(layout: Layout, name: &str) -> bool {
    match layout {
        Layout::Protovae => false,
        _ if name.ends_with(".num_batches_tracked") => true,
        Layout::Reference2022 => name == "ones",
        Layout::Torchvision => name == "fc.weight" || name == "fc.bias",
        Layout::Pytorch => false,
    }
}

fn unsuited(layout: Layout, reason: impl Into<String>) -> WeightsError {
    WeightsError::Unsuited {
        layout,
        reason: reason.into(),
    }
}

fn is_matrix_of_linear(parameter: &Parameter) -> bool {
    parameter.module == "Linear" && parameter.shape.len() == 2 && last(&parameter.path) == "weight"
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A path with the last name as PyTorch has it.
fn pytorch(parameter: &Parameter) -> String {
    let path = &parameter.path;
    if !NORMALIZATIONS.contains(&parameter.module.as_str()) {
        return path.clone();
    }
    let (before, name) = path.rsplit_once('.').unwrap_or(("", path));
    match (before, norm(name)) {
        ("", name) => name.to_string(),
        (before, name) => format!("{before}.{name}"),
    }
}

fn norm(name: &str) -> &str {
    match name {
        "gamma" => "weight",
        "beta" => "bias",
        name => name,
    }
}

/// torchvision's name of a parameter of a backbone.
fn torchvision(parameter: &Parameter, resnets: &[String]) -> Option<String> {
    let name = pytorch(parameter);
    let mut prefixes = resnets.iter();
    let name = prefixes.find_map(|prefix| name.strip_prefix(prefix.as_str()))?;
    (!name.starts_with("tail.")).then(|| name.to_string())
}

/// The beginnings `…features.` of paths below which the parameters of a ResNet-18 are.
///
/// Feature maps of other encoders have no such names: their layers are in `blocks`.
pub(super) fn resnet_features(parameters: &[Parameter]) -> Vec<String> {
    let has = |path: &str| parameters.iter().any(|parameter| parameter.path == path);
    let stems = parameters.iter().filter_map(|parameter| {
        let prefix = parameter.path.strip_suffix("conv1.weight")?;
        let features = prefix == "features." || prefix.ends_with(".features.");
        let whole = [
            "bn1.gamma",
            "layer1.0.conv1.weight",
            "layer4.1.conv2.weight",
        ];
        let whole = || whole.iter().all(|name| has(&format!("{prefix}{name}")));
        (features && whole()).then(|| prefix.to_string())
    });
    stems.collect()
}

/// The two `nn.Sequential`s of the reference, in which every layer counts, those without parameters too.
struct Sequential {
    /// Where each block of the encoder begins.
    blocks: Vec<usize>,
    /// The place of the layer that flattens the encoder's maps.
    flatten: usize,
    /// The place of the decoder's last convolution.
    output: usize,
}

/// Layers of a block: convolution, ReLU, normalisation.
const BLOCK: usize = 3;
/// Layers before the decoder's stages: linear, ReLU, normalisation, reshaping.
const START: usize = 4;

impl Sequential {
    fn of(parameters: &[Parameter], structure: &Structure) -> Result<Self, WeightsError> {
        let layout = Layout::Reference2022;
        let Some(pooled) = &structure.pooled else {
            let reason = "it is that of the small encoders `conv-pool` and `conv-stride`; \
                          layout pytorch holds every model";
            return Err(unsuited(layout, reason));
        };
        let mut flatten = 0;
        let blocks = pooled.iter().map(|pooled| {
            let begin = flatten;
            flatten += BLOCK + usize::from(*pooled);
            begin
        });
        let blocks = blocks.collect();
        let stage = |parameter: &Parameter| -> Option<usize> {
            let number = parameter.path.strip_prefix("decoder.stages.")?;
            number.split('.').next()?.parse().ok()
        };
        let stages = parameters.iter().filter_map(stage).max();
        Ok(Self {
            blocks,
            flatten,
            output: START + BLOCK * stages.map_or(0, |last| last + 1),
        })
    }

    fn name(&self, parameter: &Parameter) -> Result<String, WeightsError> {
        let parts: Vec<&str> = parameter.path.split('.').collect();
        self.find(&parts).ok_or_else(|| {
            let reason = format!(
                "it has no place for {}: it is that of a ProtoVAE with a `conv-transpose` decoder and a `prototype` \
                 head; layout pytorch holds every model",
                parameter.path
            );
            unsuited(Layout::Reference2022, reason)
        })
    }

    fn find(&self, parts: &[&str]) -> Option<String> {
        Some(match parts {
            ["encoder", "blocks", block, layer, name] => {
                let begin = *self.blocks.get(block.parse::<usize>().ok()?)?;
                format!("features.{}.{}", begin + within(layer)?, norm(name))
            }
            ["encoder", "tail", "hidden", name] => format!("features.{}.{name}", self.flatten + 1),
            ["encoder", "tail", "posterior", name] => {
                format!("features.{}.{name}", self.flatten + 3)
            }
            ["decoder", "start", "linear", name] => format!("decoder_layers.0.{name}"),
            ["decoder", "start", "normalization", name] => {
                format!("decoder_layers.2.{}", norm(name))
            }
            ["decoder", "stages", stage, layer, name] => {
                let begin = BLOCK.checked_mul(stage.parse().ok()?)?.checked_add(START)?;
                format!("decoder_layers.{}.{}", begin + within(layer)?, norm(name))
            }
            ["decoder", "output", name] => format!("decoder_layers.{}.{name}", self.output),
            ["head", "prototypes"] => "prototype_vectors".to_string(),
            ["head", "class_weights"] => "last_layer.weight".to_string(),
            _ => return None,
        })
    }
}

/// The place of a layer in its block.
fn within(layer: &str) -> Option<usize> {
    match layer {
        "convolution" => Some(0),
        "normalization" => Some(2),
        _ => None,
    }
}

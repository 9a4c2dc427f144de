//! Explainers by name: our own, those of linked plugins, and any of them by its recipe.

use std::fmt;

use protovae_core::plugin::{Explainer, ExplainerConfig};
use protovae_core::{Error, Result};
use serde::Deserialize;
use serde::de::value::MapDeserializer;

use super::{GradientTimesInput, IntegratedGradients, Occlusion, RandomMap, SmoothGrad};
use crate::relevance::PrototypicalRelevance;

/// The names of this crate's own explainers that serve every model whose layers are known, the default first and the baseline
/// last. `similarity-map` is not among them: it serves models that compare patches.
pub const NAMES: [&str; 13] = [
    "prp",
    "prp:inverse-distance",
    "prp:epsilon",
    "prp:epsilon-plus-flat",
    "prp:epsilon-gamma-box",
    "prp:alpha2-beta1",
    "prp:z-plus",
    "gradient-times-input",
    "integrated-gradients",
    "smooth-grad",
    "smooth-grad:times-input",
    "occlusion",
    "random",
];

/// An explainer by name or by recipe:
///
/// * one of [`NAMES`], with its default settings; after `prp:` stands the name of a
///   [`Composite`](crate::relevance::Composite), or `inverse-distance` for the [`Sharing`](crate::relevance::Sharing) of PRP's
///   publication;
/// * `similarity-map`, for models that compare patches;
/// * the tag of a plugin's [`ExplainerConfig`], with that recipe's defaults;
/// * a recipe as JSON, such as `{"type": "occlusion", "window": 6}`.
///
/// The crate of a plugin must be referred to once (`use my_plugin as _;`), or the linker drops it from the program.
///
/// # Errors
/// [`Error::Config`] for a name that nothing has, listing [`known_names`], for text that is no recipe, and for a recipe whose
/// settings are missing or cannot be used.
pub fn named(name: &str) -> Result<Box<dyn Explainer>> {
    match name {
        "prp" => PrototypicalRelevance::default().build(),
        "prp:inverse-distance" => PrototypicalRelevance::with_inverse_distance().build(),
        "gradient-times-input" => GradientTimesInput::default().build(),
        "integrated-gradients" => IntegratedGradients::default().build(),
        "smooth-grad" => SmoothGrad::default().build(),
        "smooth-grad:times-input" => SmoothGrad {
            times_input: true,
            ..SmoothGrad::default()
        }
        .build(),
        "occlusion" => Occlusion::default().build(),
        "random" => RandomMap::default().build(),
        recipe if recipe.trim_start().starts_with('{') => from_json(recipe),
        other => match other.strip_prefix("prp:") {
            Some(composite) if NAMES.contains(&other) => {
                PrototypicalRelevance::with_composite(composite).build()
            }
            _ if tags().contains(&other) => from_tag(other),
            _ => Err(unknown(other)),
        },
    }
}

/// Every name that [`named`] takes in this program: [`NAMES`], and the tags of linked plugins in alphabetical order before the
/// baseline. Plugins whose recipe has no default for some setting are among them; they need a recipe as JSON.
///
/// ```
/// let names = protovae_explain::explainers::known_names();
/// assert_eq!((names[0], names[names.len() - 1]), ("prp", "random"));
/// ```
pub fn known_names() -> Vec<&'static str> {
    let mut names = NAMES.to_vec();
    let baseline = names.pop();
    names.extend(tags().into_iter().filter(|tag| !NAMES.contains(tag)));
    names.extend(baseline);
    names
}

fn unknown(name: &str) -> Error {
    let known: Vec<String> = known_names()
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    Error::config(
        "method",
        format!(
            "`{name}` is none of {}, and no recipe such as {{\"type\": \"occlusion\", \"window\": 6}}",
            known.join(", ")
        ),
    )
}

fn from_tag(tag: &str) -> Result<Box<dyn Explainer>> {
    let recipe = serde_json::json!({ "type": tag });
    let config: Box<dyn ExplainerConfig> = serde_json::from_value(recipe).map_err(|error| {
        Error::config(
            "method",
            format!("`{tag}` needs a recipe, {{\"type\": \"{tag}\", ...}}: {error}"),
        )
    })?;
    config.build()
}

fn from_json(recipe: &str) -> Result<Box<dyn Explainer>> {
    let config: Box<dyn ExplainerConfig> = serde_json::from_str(recipe)
        .map_err(|error| Error::config("method", format!("recipe {recipe}: {error}")))?;
    config.build()
}

/// The tags of all linked recipes, sorted.
fn tags() -> Vec<&'static str> {
    // The registry is private to typetag, but its complaint about an unknown tag lists all of them.
    let unknown = MapDeserializer::<_, KnownTags>::new([("type", "\0")].into_iter());
    let mut tags = match <Box<dyn ExplainerConfig>>::deserialize(unknown) {
        Err(KnownTags(tags)) => tags,
        Ok(_) => Vec::new(),
    };
    tags.sort_unstable();
    tags
}

/// A deserialisation error that keeps only the list of known tags.
#[derive(Debug)]
struct KnownTags(Vec<&'static str>);

impl fmt::Display for KnownTags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "known: {}", self.0.join(", "))
    }
}

impl std::error::Error for KnownTags {}

impl serde::de::Error for KnownTags {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Vec::new())
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected.to_vec())
    }
}

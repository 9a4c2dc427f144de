//! The configuration of a run: where it comes from, how sources are laid over each other, and what is wrong with it.

use std::path::{Path, PathBuf};

use protovae_core::loss::CONVENTION_KEYS;
use protovae_core::model::ModelConfig;
use protovae_core::train::TrainingConfig;
use protovae_data::{AugmentationConfig, CueConfig, DataConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::args::ConfigSource;
use crate::error::{CliError, Result};
use crate::initial_weights::InitialWeights;
use crate::{diagnose, files, presets};

/// Everything that decides the result of a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The seed of everything random; default 0.
    #[serde(default)]
    pub seed: u64,
    /// Folder with the data sets, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The data set.
    pub data: Box<dyn DataConfig>,
    /// A spurious cue that is planted in training images, before they are changed at random; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cue: Option<CueConfig>,
    /// How training images are changed at random; default not at all.
    #[serde(default)]
    pub augmentation: AugmentationConfig,
    /// The model.
    pub model: Box<dyn ModelConfig>,
    /// Weights that it starts from in place of drawn ones, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// How it is trained.
    #[serde(default)]
    pub training: TrainingConfig,
}

/// A configuration and the name that a run of it gets.
#[derive(Debug)]
pub struct Named {
    /// The configuration.
    pub config: RunConfig,
    /// The preset's name or the file's stem.
    pub name: String,
}

const DEFAULT_PRESET: &str = "mnist-5k";

/// Lays the sources over each other (preset, file, `--set`, flags) and reads the result.
///
/// # Errors
/// [`CliError::Config`] naming the key and the nearest right name.
pub fn load(source: &ConfigSource) -> Result<Named> {
    layered(source, None, None)
}

/// As [`load`], with the weights of a file for the start: what preset and file have of `initial_weights` gives way to it, and `--set`
/// may name its part, layout or digest.
///
/// # Errors
/// As [`load`].
pub fn load_with_weights(source: &ConfigSource, weights: Option<&Path>) -> Result<Named> {
    layered(source, None, weights)
}

/// As [`load`]; if the sources name neither preset nor file, they are laid over `base`, a configuration and where it is from.
///
/// # Errors
/// As [`load`].
pub fn load_over(source: &ConfigSource, base: Option<(Value, &str)>) -> Result<Named> {
    layered(source, base, None)
}

fn layered(
    source: &ConfigSource,
    base: Option<(Value, &str)>,
    weights: Option<&Path>,
) -> Result<Named> {
    let mut origins = Vec::new();
    let mut name = None;
    let base = base.filter(|_| source.preset.is_none() && source.config.is_none());
    let preset = match (&source.preset, &source.config) {
        (None, Some(_)) => None,
        (Some(preset), _) => Some(preset.clone()),
        (None, None) if base.is_some() => None,
        (None, None) => Some(preset_of_data(&source.set)?),
    };
    let preset = preset.as_deref();
    let mut merged = Value::Object(Map::new());
    if let Some((base, origin)) = base {
        merged = base;
        origins.push(origin.to_string());
    }
    if let Some(preset) = preset {
        merged = presets::find(preset)?.config;
        origins.push(format!("preset {preset}"));
        name = Some(preset.to_string());
    }
    if let Some(path) = &source.config {
        overlay(&mut merged, named_json(path)?);
        origins.push(path.display().to_string());
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        name = stem.or(name);
    }
    if let (Some(path), Value::Object(map)) = (weights, &mut merged) {
        let weights = serde_json::json!({"path": path.display().to_string()});
        map.insert("initial_weights".to_string(), weights);
        origins.push(format!("--init {}", path.display()));
    }
    for assignment in &source.set {
        overlay(&mut merged, parse_assignment(assignment)?);
        origins.push(format!("--set {assignment}"));
    }
    if let Value::Object(map) = &mut merged {
        if let Some(seed) = source.seed {
            map.insert("seed".to_string(), seed.into());
        }
        if let Some(directory) = &source.data_dir {
            map.insert(
                "data_dir".to_string(),
                Value::String(directory.display().to_string()),
            );
        }
    }
    if let Some(epochs) = source.epochs {
        overlay(
            &mut merged,
            serde_json::json!({"training": {"epochs": epochs}}),
        );
    }
    Ok(Named {
        config: parse_run(merged, &origins.join(" + "))?,
        name: name.unwrap_or_else(|| "run".to_string()),
    })
}

/// The preset for `--set data.type=NAME`, if there is one of that name; else the default one.
fn preset_of_data(assignments: &[String]) -> Result<String> {
    let mut chosen = DEFAULT_PRESET.to_string();
    for assignment in assignments {
        let Value::Object(map) = parse_assignment(assignment)? else {
            continue;
        };
        let named = map.get("data").and_then(|data| data["type"].as_str());
        if let Some(name) = named.filter(|name| presets::find(name).is_ok()) {
            chosen = name.to_string();
        }
    }
    Ok(chosen)
}

/// The configuration of a data set of some type, with overrides such as `data.path=FOLDER`.
///
/// # Errors
/// [`CliError::Config`] naming the key and the nearest right name.
pub fn data(kind: &str, assignments: &[String]) -> Result<Box<dyn DataConfig>> {
    let mut merged = serde_json::json!({"data": {"type": kind}});
    let mut origins = vec![format!("data set {kind}")];
    for assignment in assignments {
        overlay(&mut merged, parse_assignment(assignment)?);
        origins.push(format!("--set {assignment}"));
    }
    let only: OnlyData = parse(merged, &origins.join(" + "))?;
    Ok(only.data)
}

/// A configuration of which nothing but the data matters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyData {
    data: Box<dyn DataConfig>,
}

/// Another data set for a configuration, by assignments such as `data.type=mnist-5k`. A cue is planted in the run's own alone.
///
/// # Errors
/// [`CliError::Config`] naming the key and the nearest right name; [`CliError::Usage`] for keys that are not the data's.
pub fn with_data(mut config: RunConfig, assignments: &[String]) -> Result<RunConfig> {
    if assignments.is_empty() {
        return Ok(config);
    }
    let mut merged = serde_json::json!({"data": config.to_json()?["data"]});
    let mut origins = vec!["the run's data".to_string()];
    for assignment in assignments {
        if !assignment.starts_with("data.") {
            return Err(CliError::Usage(format!(
                "--set {assignment}: only keys of the data can be set here, such as data.type=mnist-5k"
            )));
        }
        overlay(&mut merged, parse_assignment(assignment)?);
        origins.push(format!("--set {assignment}"));
    }
    let only: OnlyData = parse(merged, &origins.join(" + "))?;
    config.data = only.data;
    config.cue = None;
    Ok(config)
}

/// Reads a complete configuration, such as the `config.json` of a run.
///
/// # Errors
/// [`CliError::Read`], [`CliError::Config`].
pub fn load_file(path: &Path) -> Result<RunConfig> {
    parse_run(read_json(path)?, &path.display().to_string())
}

/// As [`load_file`], from the text of a file that messages call `origin`.
///
/// # Errors
/// [`CliError::Config`].
pub fn parse_text(text: &str, origin: &str) -> Result<RunConfig> {
    parse_run(json_of(text, origin)?, origin)
}

/// The object in a file that the command line names: one that is not there is the command line's fault.
fn named_json(path: &Path) -> Result<Value> {
    match read_json(path) {
        Err(error @ CliError::Read { .. }) => Err(CliError::Usage(format!("--config: {error}"))),
        read => read,
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = files::read(path)?;
    let origin = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => json_of(&text, &origin),
        Err(_) => Err(CliError::Config {
            origin,
            message: "is no JSON in UTF-8".to_string(),
        }),
    }
}

fn json_of(text: &str, origin: &str) -> Result<Value> {
    // Some editors put a byte order mark before it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|error| CliError::Config {
        origin: origin.to_string(),
        message: format!("is no JSON: {error}"),
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(CliError::Config {
            origin: origin.to_string(),
            message: "must hold a JSON object".to_string(),
        })
    }
}

/// `a.b=3` as `{"a": {"b": 3}}`; a value that is no JSON is a string, and so is whatever a `path` is said to be.
fn parse_assignment(assignment: &str) -> Result<Value> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(CliError::Usage(format!(
            "--set {assignment}: must be KEY=VALUE, such as model.prototypes_per_class=20"
        )));
    };
    if key.split('.').any(str::is_empty) {
        return Err(CliError::Usage(format!(
            "--set {assignment}: `{key}` is no dotted key"
        )));
    }
    let is_path = key.rsplit('.').next() == Some("path");
    let value = match serde_json::from_str(value) {
        Ok(read @ (Value::String(_) | Value::Null)) => read,
        Ok(read) if !is_path => read,
        _ if is_path => Value::String(at_home(value)),
        _ => Value::String(value.to_string()),
    };
    Ok(key.rsplit('.').fold(value, |inner, part| {
        Value::Object(Map::from_iter([(part.to_string(), inner)]))
    }))
}

/// A path whose `~/` the shell has left, since it stands after a `=`.
fn at_home(path: &str) -> String {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest).display().to_string(),
        _ => path.to_string(),
    }
}

/// Lays `above` over `below`, object by object.
///
/// Three kinds of keys take others with them: another `type` replaces the whole object, since the keys of one plugin mean
/// nothing to another; another `convention` replaces the choices that a convention makes; and the two ways to say the
/// number of prototypes replace each other.
fn overlay(below: &mut Value, above: Value) {
    let (Value::Object(base), Value::Object(over)) = (&mut *below, &above) else {
        *below = above;
        return;
    };
    let replaced = |key: &str| over.contains_key(key);
    if over
        .get("type")
        .is_some_and(|tag| base.get("type") != Some(tag))
    {
        base.clear();
    }
    if replaced("convention") {
        base.retain(|key, _| !CONVENTION_KEYS.contains(&key.as_str()));
    }
    if replaced("prototypes") {
        base.remove("prototypes_per_class");
    }
    if replaced("prototypes_per_class") {
        base.remove("prototypes");
    }
    let Value::Object(over) = above else { return };
    for (key, value) in over {
        match base.get_mut(&key) {
            Some(inner) => overlay(inner, value),
            None => {
                base.insert(key, value);
            }
        }
    }
}

fn parse_run(value: Value, origin: &str) -> Result<RunConfig> {
    let config: RunConfig = parse(value, origin)?;
    config.training.check("training")?;
    Ok(config)
}

fn parse<T: DeserializeOwned>(value: Value, origin: &str) -> Result<T> {
    serde_path_to_error::deserialize(&value).map_err(|error| CliError::Config {
        origin: origin.to_string(),
        message: diagnose::explain(
            &value,
            &error.path().to_string(),
            &error.inner().to_string(),
            |other| Some(T::deserialize(other).err()?.to_string()),
        ),
    })
}

impl RunConfig {
    /// As JSON with all defaults.
    ///
    /// # Errors
    /// [`CliError::Usage`] if a plugin's recipe cannot be written.
    pub fn to_json(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| {
            CliError::Usage(format!("the configuration cannot be written: {error}"))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_type_replaces_the_object_and_the_same_type_does_not() {
        let mut base = json!({"data": {"type": "mnist", "path": "x"}});
        overlay(
            &mut base,
            json!({"data": {"type": "mnist", "train_limit": 5}}),
        );
        assert_eq!(
            base["data"],
            json!({"type": "mnist", "path": "x", "train_limit": 5})
        );
        overlay(&mut base, json!({"data": {"type": "mnist-5k"}}));
        assert_eq!(base["data"], json!({"type": "mnist-5k"}));
    }

    #[test]
    fn another_convention_replaces_its_choices_alone() {
        let mut base = json!({"loss": {"convention": "paper", "latent": "mean",
            "weights": {"kl": 0}, "similarity_epsilon": 1e-3}});
        overlay(&mut base, json!({"loss": {"convention": "reference2022"}}));
        assert_eq!(
            base["loss"],
            json!({"convention": "reference2022", "similarity_epsilon": 1e-3})
        );
        overlay(&mut base, json!({"loss": {"weights": {"kl": 0}}}));
        assert_eq!(base["loss"]["weights"], json!({"kl": 0}));
    }

    #[test]
    fn assignments_are_json_or_text() {
        assert_eq!(parse_assignment("a.b=3").unwrap(), json!({"a": {"b": 3}}));
        assert_eq!(parse_assignment("a=x=y").unwrap(), json!({"a": "x=y"}));
        assert_eq!(parse_assignment("a=[1]").unwrap(), json!({"a": [1]}));
        assert_eq!(
            parse_assignment("data.path=2024").unwrap(),
            json!({"data": {"path": "2024"}})
        );
        assert_eq!(
            parse_assignment("path=null").unwrap(),
            json!({"path": null})
        );
        if let Ok(home) = std::env::var("HOME") {
            let photos = json!({"path": format!("{home}/photos")});
            assert_eq!(parse_assignment("path=~/photos").unwrap(), photos);
        }
        assert!(parse_assignment("a").is_err());
        assert!(parse_assignment("a..b=1").is_err());
    }
}

//! Which runs stand beside a number of the paper.

use protovae_explain::side_by_side::Published;
use serde_json::Value;

use super::{Run, settings};
use crate::args::ConfigSource;
use crate::config::{self, RunConfig};
use crate::error::Result;
use crate::{paper, presets, session};

/// What the paper has for a run that was trained as it says: with the settings of a preset, on the whole set, whatever its seed and the
/// weights that it started from. A variant of a system is not what was published.
pub fn published(run: &Run, config: &RunConfig) -> Result<Option<Published>> {
    let json = config.to_json()?;
    let variant = run.system.starts_with("panvae") || answers_otherwise(&json);
    let changed = config.cue.is_some() || !run.card.removed_prototypes.is_empty();
    if variant || changed || !of_a_preset(run, config)? {
        return Ok(None);
    }
    let encoder = json["model"]["encoder"]["type"].as_str().unwrap_or("");
    Ok(paper::accuracy(run.model.kind(), encoder, &run.data.name))
}

/// Whether FLINT's predictor answers: the published number is the interpreter's.
fn answers_otherwise(config: &Value) -> bool {
    config["model"]["type"] == "flint" && config["model"]["answer"] == "predictor"
}

/// Whether a preset's settings are those of the run.
fn of_a_preset(run: &Run, config: &RunConfig) -> Result<bool> {
    let kind = &config.to_json()?["data"]["type"];
    let own = comparable(config)?;
    let spec = session::model_spec(&run.data);
    for preset in presets::all() {
        if preset.config["data"]["type"] != *kind {
            continue;
        }
        let source = ConfigSource {
            preset: Some(preset.name),
            ..ConfigSource::default()
        };
        let mut other = config::load(&source)?.config;
        other.model = other.model.resolved(&spec)?;
        if comparable(&other)? == own {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The settings that decide what a run is, without where its data and first weights lie.
fn comparable(config: &RunConfig) -> Result<Value> {
    let mut settings: Value = serde_json::from_str(&settings(config)?)?;
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("initial_weights");
        if let Some(data) = settings.get_mut("data").and_then(Value::as_object_mut) {
            data.remove("path");
        }
    }
    Ok(settings)
}

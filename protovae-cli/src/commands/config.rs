//! `protovae config`.

use protovae_core::model::{ModelSpec, trainable_values};
use protovae_core::random::Initializer;
use serde_json::json;

use crate::args::{ConfigAction, ConfigArgs, ConfigSource};
use crate::error::Result;
use crate::output::Voice;
use crate::{config, presets, session};

pub fn run(arguments: &ConfigArgs, voice: Voice) -> Result<()> {
    match &arguments.action {
        ConfigAction::Show { source } if names_nothing(source) => list(voice),
        ConfigAction::Show { source } => {
            let json = config::load(source)?.config.to_json()?;
            voice.object(&json)?;
            voice.line(format!("{json:#}"))
        }
        ConfigAction::Check { source } => check(source, voice),
    }
}

fn names_nothing(source: &ConfigSource) -> bool {
    let ConfigSource {
        preset,
        config,
        set,
        seed,
        epochs,
        data_dir,
    } = source;
    let unnamed = preset.is_none() && config.is_none() && set.is_empty();
    unnamed && seed.is_none() && epochs.is_none() && data_dir.is_none()
}

fn list(voice: Voice) -> Result<()> {
    for preset in presets::all() {
        voice.object(&json!({"preset": preset.name, "about": preset.about}))?;
        voice.line(format!("{:<24} {}", preset.name, preset.about))?;
    }
    voice.line("\n`protovae config show --preset NAME` prints one with all defaults")
}

/// Reads the configuration, the data and builds the model, all without writing.
fn check(source: &ConfigSource, voice: Voice) -> Result<()> {
    let config = config::load(source)?.config;
    let data = session::data(&config, None)?;
    session::check_augmentation(&config, &data)?;
    let spec: ModelSpec = session::model_spec(&data);
    let model = config.model.resolved(&spec)?;
    let device = burn::tensor::Device::flex().autodiff();
    let built = model.build(&spec, &mut Initializer::new(config.seed, &device))?;
    config.training.check_model(&built)?;
    let parameters = trainable_values(&built);
    if let Some(weights) = &config.initial_weights {
        weights.open()?.load(built)?;
    }
    voice.object(&json!({
        "valid": true,
        "reported_as": model.reported_as(),
        "data": data.name,
        "train": data.train.len(),
        "test": data.test.len(),
        "classes": data.classes,
        "parameters": parameters,
    }))?;
    voice.line(format!(
        "valid: {} on {} ({} + {} images of {}, {} classes), {parameters} parameters",
        model.reported_as(),
        data.name,
        data.train.len(),
        data.test.len(),
        spec.image,
        spec.classes,
    ))
}

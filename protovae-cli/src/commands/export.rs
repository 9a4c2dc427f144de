//! `protovae export`.

use std::path::Path;

use protovae_backbones::weights::{self, Layout};
use protovae_core::Precision;
use protovae_core::model::BoxModel;
use protovae_core::train::{ModelCard, save_model_as, write_atomically};
use serde_json::{Value, json};

use crate::args::{ExportArgs, ExportFormat};
use crate::config::RunConfig;
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;

/// The key of what an exported file says of itself; not that of model files, which no exported file is.
pub const METADATA: &str = "protovae-export";

pub fn run(arguments: &ExportArgs, voice: Voice) -> Result<()> {
    let ExportFormat::Safetensors = arguments.format;
    let layout = arguments.layout;
    let source = ModelSource::named(&arguments.run)?;
    if arguments.precision.is_lower() && layout != Layout::Protovae {
        return Err(CliError::Usage(format!(
            "--precision {}: the layout {layout} is written in f32; add --layout protovae for a model file in fewer bits",
            arguments.precision.name()
        )));
    }
    let stem = match layout {
        Layout::Protovae => arguments.precision.name().to_string(),
        layout => layout.to_string(),
    };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| source.beside(&format!("model-{stem}.safetensors")));
    source.check_apart(&out)?;
    if out.exists() && !arguments.overwrite {
        return Err(CliError::Usage(format!(
            "{} exists; choose another --out, or add --overwrite to replace it",
            out.display()
        )));
    }
    let (model, card) = source.load(&burn::tensor::Device::flex())?;
    if layout == Layout::Protovae {
        return model_file(&source, &model, card, arguments.precision, &out, voice);
    }
    let tensors = weights::export(&model, layout)?;
    let metadata = describe(layout, &card, configuration(&source)).to_string();
    let bytes = weights::to_safetensors(&tensors, Some((METADATA, &metadata)))?;
    write_atomically(&out, &bytes)?;
    let values: usize = tensors.iter().map(|tensor| tensor.values.len()).sum();
    voice.object(&json!({
        "file": out,
        "format": "safetensors",
        "layout": layout,
        "tensors": tensors.len(),
        "values": values,
        "bytes": bytes.len(),
    }))?;
    voice.line(format!(
        "{}: {} tensors, {values} values, layout {layout}",
        out.display(),
        tensors.len()
    ))?;
    if !voice.quiet {
        voice.line(format!(
            "in Python: safetensors.torch.load_file({:?}) is a state dict",
            out.display().to_string()
        ))?;
    }
    Ok(())
}

/// Writes a model file.
fn model_file(
    source: &ModelSource,
    model: &BoxModel,
    card: ModelCard,
    precision: Precision,
    out: &Path,
    voice: Voice,
) -> Result<()> {
    let card = card_with_detector(source, card)?;
    save_model_as(out, model, &card, precision)?;
    let bytes = std::fs::metadata(out).map_or(0, |file| file.len());
    voice.object(&json!({
        "file": out,
        "format": "safetensors",
        "layout": Layout::Protovae,
        "precision": precision,
        "bytes": bytes,
        "abstains": card.strangeness.is_some(),
    }))?;
    voice.line(format!(
        "{}: a model file of {:.1} MB, weights in {}",
        out.display(),
        bytes as f64 / 1e6,
        precision.name()
    ))
}

/// The card with what tells strange images, so that a file alone is enough for `predict`.
pub fn card_with_detector(source: &ModelSource, mut card: ModelCard) -> Result<ModelCard> {
    if let Some(detector) = source.detector(&card)? {
        card.strangeness = Some(serde_json::to_value(&detector)?);
    }
    Ok(card)
}

/// What the file says of itself: enough for `import` to make a run of it again.
fn describe(layout: Layout, card: &ModelCard, configuration: Option<Value>) -> Value {
    json!({"layout": layout, "card": card, "config": configuration})
}

/// The configuration of the run, if the model is of one.
fn configuration(source: &ModelSource) -> Option<Value> {
    portable(&source.config().ok()?)
}

/// A configuration without what is true on this machine alone.
pub fn portable(config: &RunConfig) -> Option<Value> {
    let mut json = config.to_json().ok()?;
    let keys = json.as_object_mut()?;
    keys.remove("data_dir");
    keys.remove("initial_weights");
    if let Some(data) = keys.get_mut("data").and_then(Value::as_object_mut) {
        data.remove("path");
    }
    Some(json)
}

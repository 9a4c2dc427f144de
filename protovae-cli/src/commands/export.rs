//! `protovae export`.

use protovae_backbones::weights::{self, Layout};
use protovae_core::train::{ModelCard, RunDirectory, load_model, write_atomically};
use serde_json::{Value, json};

use crate::args::{ExportArgs, ExportFormat};
use crate::config;
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::session;

/// The key of what an exported file says of itself; not that of model files, which no exported file is.
pub const METADATA: &str = "protovae-export";

pub fn run(arguments: &ExportArgs, voice: Voice) -> Result<()> {
    let ExportFormat::Safetensors = arguments.format;
    let layout = arguments.layout;
    let path = session::model_path(&arguments.run);
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| path.with_file_name(format!("model-{layout}.safetensors")));
    if out.exists() && !arguments.overwrite {
        return Err(CliError::Usage(format!(
            "{} exists; choose another --out, or add --overwrite to replace it",
            out.display()
        )));
    }
    let (model, card) = load_model(&path, &burn::tensor::Device::flex())?;
    let tensors = weights::export(&model, layout)?;
    let metadata = describe(layout, &card, configuration(arguments)).to_string();
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

/// What the file says of itself: enough for `import` to make a run of it again.
fn describe(layout: Layout, card: &ModelCard, configuration: Option<Value>) -> Value {
    json!({"layout": layout, "card": card, "config": configuration})
}

/// The configuration of the run, if the model lies in one, without what is true on this machine alone.
fn configuration(arguments: &ExportArgs) -> Option<Value> {
    let directory = RunDirectory::open(&arguments.run).ok()?;
    let config = config::load_file(&directory.config()).ok()?;
    let mut json = config.to_json().ok()?;
    let keys = json.as_object_mut()?;
    keys.remove("data_dir");
    keys.remove("initial_weights");
    if let Some(data) = keys.get_mut("data").and_then(Value::as_object_mut) {
        data.remove("path");
    }
    Some(json)
}

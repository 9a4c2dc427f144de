//! `protovae prototypes`.

use protovae_core::train::{MetricsLine, PrototypeHealth, RunDirectory, load_model};
use protovae_explain::pictures::{prototype_grid, save_png};
use protovae_explain::views::has_concepts;
use serde_json::json;

use crate::args::PrototypesArgs;
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::session;

pub fn run(arguments: &PrototypesArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    let model_path = session::model_path(&arguments.run);
    let (model, card) = load_model(&model_path, &device)?;
    if has_concepts(&model) {
        return Err(CliError::Core(protovae_core::Error::Unsupported {
            model: model.kind().to_string(),
            what: "prototypes: it explains itself by concepts, which `protovae report` and the run's concepts.png show",
        }));
    }
    let picture = prototype_grid(&model)?;
    let path = arguments
        .out
        .clone()
        .unwrap_or_else(|| model_path.with_file_name("prototypes.png"));
    save_png(&picture, &path)?;
    let health = last_health(arguments);
    voice.object(&json!({
        "picture": path,
        "classes": card.class_names,
        "per_class": model.prototypes().map(|bank| bank.per_class),
        "health": health,
    }))?;
    voice.line(format!("{} (a row a class, in this order)", path.display()))?;
    for (class, name) in card.class_names.iter().enumerate() {
        let mut line = name.clone();
        if let Some(health) = &health {
            let usage = health.usage.get(class).cloned().unwrap_or_default();
            let usage: Vec<String> = usage.iter().map(u64::to_string).collect();
            line = format!(
                "{name:<12} nearest of its class for {} test images; distances between them {:.2} to {:.2}",
                usage.join(", "),
                health
                    .smallest_distance
                    .get(class)
                    .copied()
                    .unwrap_or_default(),
                health
                    .largest_distance
                    .get(class)
                    .copied()
                    .unwrap_or_default(),
            );
        }
        voice.line(line)?;
    }
    for warning in health
        .iter()
        .flat_map(|health| health.warnings(&card.class_names))
    {
        voice.line(format!("warning: {warning}"))?;
    }
    Ok(())
}

/// The health at the end of the run, if the model lies in its run directory.
fn last_health(arguments: &PrototypesArgs) -> Option<PrototypeHealth> {
    let directory = RunDirectory::open(&arguments.run).ok()?;
    let lines = directory.read_metrics().ok()?;
    lines.into_iter().rev().find_map(|line| match line {
        MetricsLine::Epoch(record) => record.prototypes,
        _ => None,
    })
}

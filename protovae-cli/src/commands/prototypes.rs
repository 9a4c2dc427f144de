//! `protovae prototypes`.

use protovae_core::train::{EpochRecord, MetricsLine, PrototypeHealth};
use protovae_explain::measures::unused_rows;
use protovae_explain::pictures::{prototype_grid, save_png};
use protovae_explain::views::{has_concepts, place_in_words};
use serde_json::json;

use super::remove;
use crate::args::PrototypesArgs;
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::{session, tables};

pub fn run(arguments: &PrototypesArgs, voice: Voice) -> Result<()> {
    let removal = &arguments.removal;
    if let (Some(named), Some(out)) = (&removal.remove, &removal.out_run) {
        return remove::run(arguments, named, out, voice);
    }
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let (model, card) = source.load(&device)?;
    if has_concepts(&model) {
        return Err(CliError::Core(protovae_core::Error::Unsupported {
            model: model.kind().to_string(),
            what: "prototypes: they explain themselves by concepts, which `protovae report` and the run's concepts.png show",
        }));
    }
    let places = model.provenance();
    let picture = match &places {
        Some(_) => {
            let data = session::training_data(&source, arguments.data_dir.as_deref(), &card)
                .map_err(without_images)?;
            let images = tables::prototype_images(&model, data.train.as_ref(), &device)?;
            match images {
                Some(images) => images.sheet()?.into(),
                None => prototype_grid(&model)?,
            }
        }
        None => prototype_grid(&model)?,
    };
    let per_class = model.prototypes().map(|bank| bank.per_class);
    let path = arguments
        .out
        .clone()
        .unwrap_or_else(|| source.beside("prototypes.png"));
    source.check_apart(&path)?;
    save_png(&picture, &path)?;
    let last = last_epoch(&source);
    let health = last.as_ref().and_then(|last| last.prototypes.as_ref());
    let unused = unused_rows(&model);
    voice.object(&json!({
        "picture": path,
        "classes": card.class_names,
        "per_class": per_class,
        "provenance": places,
        "unused": unused,
        "health": health,
    }))?;
    let beside = match places
        .iter()
        .flatten()
        .flatten()
        .any(|place| place.patch.is_some())
    {
        true => "; each prototype is what is in the box, shown alone beside its image",
        false => "",
    };
    voice.line(format!(
        "{} (a row a class, in this order{beside})",
        path.display()
    ))?;
    for (class, name) in card.class_names.iter().enumerate() {
        let mut line = name.clone();
        if let Some(health) = health {
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
        let per_class = per_class.unwrap_or(0);
        let of_class = places
            .iter()
            .flatten()
            .skip(class * per_class)
            .take(per_class);
        for (index, place) in of_class.enumerate() {
            let from = place.map_or_else(
                || "from no training image".to_string(),
                |place| place_in_words(&place, card.image),
            );
            voice.line(format!("  #{index:<3} {from}"))?;
        }
        let own = class * per_class..(class + 1) * per_class;
        let unused = unused.iter().filter(|row| own.contains(row));
        let unused: Vec<String> = unused.map(|row| format!("#{}", row - own.start)).collect();
        if !unused.is_empty() {
            voice.line(format!(
                "  counts for nothing, pruned or removed: {}",
                unused.join(", ")
            ))?;
        }
    }
    for warning in last.iter().flat_map(|last| {
        let warnings =
            |health: &PrototypeHealth| health.warnings(&card.class_names, &last.test.terms);
        last.prototypes.as_ref().map(warnings).unwrap_or_default()
    }) {
        voice.line(format!("warning: {warning}"))?;
    }
    Ok(())
}

/// Prototypes that come from training images cannot be shown without these.
fn without_images(error: CliError) -> CliError {
    let said = format!(
        "its prototypes are parts of training images, which are needed to show them: {error}"
    );
    match error {
        CliError::Usage(_) => CliError::Usage(said),
        error => error,
    }
}

/// The record of the run's last epoch, if its log is there.
fn last_epoch(source: &ModelSource) -> Option<Box<EpochRecord>> {
    let lines = source.metrics().ok()?;
    lines.into_iter().rev().find_map(|line| match line {
        MetricsLine::Epoch(record) => Some(record),
        _ => None,
    })
}

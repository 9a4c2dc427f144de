//! `protovae prototypes --remove`: a run whose model does without some of its prototypes.

use std::path::Path;

use burn::tensor::Device;
use protovae_core::model::BoxModel;
use protovae_core::train::{
    Evaluation, MetricsLine, RunDirectory, StagedRun, evaluate, save_model, write_atomically,
};
use protovae_data::DataSplits;
use protovae_explain::measures::unused_rows;
use protovae_explain::views::PrototypeChoice;
use serde_json::json;

use super::train::{draw, wrong_out};
use crate::args::PrototypesArgs;
use crate::config::RunConfig;
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::{files, session, tables};

/// Takes the prototypes that `named` says out of a run's model; the result is the run `out`.
pub fn run(arguments: &PrototypesArgs, named: &str, out: &Path, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let overwrite = arguments.removal.overwrite;
    RunDirectory::check_free(out, overwrite).map_err(wrong_out)?;
    if files::same(out, &arguments.run) {
        return Err(CliError::Usage(
            "--out-run names the run itself, which is to stay as it is".to_string(),
        ));
    }
    let config = source.config()?;
    let (model, mut card) = source.load(&device)?;
    let bank = model.prototypes().ok_or_else(|| {
        CliError::Core(protovae_core::Error::Unsupported {
            model: model.kind().to_string(),
            what: "prototypes that could be removed",
        })
    })?;
    let per_class = bank.per_class;
    let rows = rows(named, &card.class_names, per_class)?;
    let left = model.without_prototypes(&rows)?;
    let data = session::training_data(&source, arguments.data_dir.as_deref(), &card)?;
    let before = evaluated(&model, &config, &data, &device)?;
    let after = evaluated(&left, &config, &data, &device)?;

    // Everything fits; only now is anything written.
    let staged = StagedRun::new(out, overwrite)?;
    let new = staged.directory();
    new.write_config(&config.to_json()?)?;
    write_atomically(&new.metrics(), metrics(&source, &after)?.as_bytes())?;
    card.removed_prototypes.extend(rows.iter().copied());
    card.removed_prototypes.sort_unstable();
    card.removed_prototypes.dedup();
    save_model(&new.model(), &left, &card)?;
    draw(&left, &data, new, voice)?;
    let device = device.without_autodiff();
    let learned = tables::latent_table(&left, data.test.as_ref(), &device)
        .and_then(|table| tables::learn_strangeness(&table, &new.model()));
    if let Err(error) = learned {
        voice.note(format!(
            "note: `predict` will not notice images unlike the training set's: {error}"
        ));
    }
    let new = staged.finish()?;

    let unused = unused_rows(&left);
    let is_empty = |class: &usize| {
        let mut own = class * per_class..(class + 1) * per_class;
        own.all(|row| unused.contains(&row))
    };
    let empty: Vec<usize> = (0..left.classes()).filter(is_empty).collect();
    let names: Vec<String> = rows
        .iter()
        .map(|row| session::prototype_name(*row, per_class))
        .collect();
    voice.object(&json!({
        "run": new.path(),
        "removed": names,
        "rows": rows,
        "accuracy_before": before.figures.accuracy,
        "accuracy": after.figures.accuracy,
        "classes_without_prototypes": empty,
    }))?;
    for class in empty {
        let name = card.class_names.get(class).map_or("", String::as_str);
        voice.note(format!(
            "warning: class {class} ({name}) has no prototype left that counts; it can hardly be predicted"
        ));
    }
    voice.line(format!(
        "without {} test accuracy is {:.2} %, {:.2} % before (on {} images)",
        names.join(", "),
        100.0 * after.figures.accuracy,
        100.0 * before.figures.accuracy,
        after.figures.samples
    ))?;
    voice.line(format!("model        {}", new.model().display()))
}

fn rows(named: &str, class_names: &[String], per_class: usize) -> Result<Vec<usize>> {
    let wrong = |reason: String| CliError::Usage(format!("--remove {named}: {reason}"));
    // What else names prototypes depends on an image.
    if let Some(word) = named.split(',').find(|word| !word.contains(':')) {
        let reason = format!("`{word}` is no CLASS:NUMBER, as in 3:0,3:4");
        return Err(wrong(reason));
    }
    let mut rows = match PrototypeChoice::parse(named, class_names, per_class) {
        Ok(PrototypeChoice::Rows(rows)) => rows,
        Err(protovae_core::Error::Config { reason, .. }) => return Err(wrong(reason)),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(wrong("names no prototypes".to_string())),
    };
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}

fn evaluated(
    model: &BoxModel,
    config: &RunConfig,
    data: &DataSplits,
    device: &Device,
) -> Result<Evaluation> {
    let training = &config.training;
    let source = session::loader(
        &data.test,
        training.batch_size,
        training.loader_threads,
        None,
    )?;
    Ok(evaluate(model, &source, None, device)?)
}

/// The metrics of the run that the prototypes were removed from, but for the last epoch's figures of the test set, which are those
/// of the new model.
fn metrics(source: &ModelSource, found: &Evaluation) -> Result<String> {
    let mut lines = source.metrics()?;
    let last = lines.iter_mut().rev().find_map(|line| match line {
        MetricsLine::Epoch(record) => Some(record),
        _ => None,
    });
    if let Some(record) = last {
        record.test = found.figures.clone();
        record.prototypes = found.prototypes.clone();
    }
    let mut text = String::new();
    for line in &lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    Ok(text)
}

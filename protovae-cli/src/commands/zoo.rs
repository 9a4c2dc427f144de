//! `protovae zoo`.

use std::fs;
use std::path::Path;

use protovae_core::train::{
    Evaluation, MetricsLine, ModelCard, RunDirectory, StagedRun, evaluate, load_model,
    save_model_as, write_atomically,
};
use protovae_data::{DataSplits, Dataset};
use protovae_explain::pictures::save_png;
use serde_json::json;

use super::export::{card_with_detector, portable};
use super::train::wrong_out;
use crate::args::{PackArgs, ZooAction, ZooArgs};
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::zoo::{MODELS, digest};
use crate::{files, session};

pub fn run(arguments: &ZooArgs, voice: Voice) -> Result<()> {
    match &arguments.action {
        None | Some(ZooAction::List) => list(voice),
        Some(ZooAction::Pack(arguments)) => pack(arguments, voice),
    }
}

fn list(voice: Voice) -> Result<()> {
    for entry in &MODELS {
        let mut object = serde_json::to_value(entry)?;
        object["bytes"] = json!(entry.model.len());
        voice.object(&object)?;
        voice.line(format!(
            "{}  {}, {:.2} % of the test images right, {}",
            entry.origin(),
            entry.summary,
            100.0 * entry.accuracy,
            megabytes(entry.model.len())
        ))?;
        voice.line(format!(
            "  made by  {}  (commit {})",
            entry.command, entry.commit
        ))?;
        voice.line(format!("  images   {}: {}", entry.data, entry.licence))?;
    }
    if let (false, Some(first)) = (voice.quiet, MODELS.first()) {
        let name = first.origin();
        voice.line(format!(
            "Commands take them as they take runs: `protovae explain {name}` at once, `protovae predict {name} picture.png`."
        ))?;
    }
    Ok(())
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn pack(arguments: &PackArgs, voice: Voice) -> Result<()> {
    let source = ModelSource::named(&arguments.run)?;
    let config = source.config()?;
    RunDirectory::check_free(&arguments.out, arguments.overwrite).map_err(wrong_out)?;
    if files::same(&arguments.out, &arguments.run) {
        return Err(CliError::Usage(
            "--out names the run itself, which is to stay as it is".to_string(),
        ));
    }
    let device = session::device(&arguments.device, voice)?;
    let (model, card) = source.load(&device)?;
    let data = session::data(&config, arguments.data_dir.as_deref())?;
    if card.knows_other_data(&data.digest) {
        return Err(CliError::Usage(format!(
            "the {} data here are not those that the model was trained on; name their folder with --data-dir",
            data.name
        )));
    }
    let test = session::loader(&data.test, config.training.batch_size, 1, None)?;
    let before = evaluate(&model, &test, None, &device)?;

    let mut epochs = String::new();
    for line in source.metrics()? {
        if let MetricsLine::Epoch(_) = line {
            epochs += &serde_json::to_string(&line)?;
            epochs.push('\n');
        }
    }
    let card = card_with_detector(&source, card)?;

    // Everything is read and fits; only now is anything written.
    let staged = StagedRun::new(&arguments.out, arguments.overwrite)?;
    let directory = staged.directory();
    if let Some(config) = portable(&config) {
        directory.write_config(&config)?;
    }
    write_atomically(&directory.metrics(), epochs.as_bytes())?;
    save_model_as(&directory.model(), &model, &card, arguments.precision)?;
    samples(&data, &directory.path().join("samples.png"))?;

    let (stored, _) = load_model(&directory.model(), &device)?;
    let after = evaluate(&stored, &test, None, &device)?;
    let directory = staged.finish()?;
    say(arguments, &directory, &card, &before, &after, voice)
}

fn say(
    arguments: &PackArgs,
    directory: &RunDirectory,
    card: &ModelCard,
    before: &Evaluation,
    after: &Evaluation,
    voice: Voice,
) -> Result<()> {
    let path = directory.model();
    let bytes = fs::read(&path).map_err(|source| CliError::Read {
        path: path.clone(),
        source,
    })?;
    let sha256 = digest(&bytes);
    let (exact, stored) = (before.figures.accuracy, after.figures.accuracy);
    let changed = changed(&before.confusion, &after.confusion);
    voice.object(&json!({
        "folder": arguments.out,
        "data": card.data,
        "precision": arguments.precision,
        "accuracy_f32": exact,
        "accuracy": stored,
        "changed_at_least": changed,
        "sha256": sha256,
        "bytes": bytes.len(),
        "abstains": card.strangeness.is_some(),
    }))?;
    voice.line(format!(
        "{}: {}, weights in {}",
        arguments.out.display(),
        megabytes(bytes.len()),
        arguments.precision.name()
    ))?;
    voice.line(format!("accuracy_f32: {exact}"))?;
    voice.line(format!("accuracy: {stored}"))?;
    voice.line(format!("sha256: {sha256}"))?;
    if card.strangeness.is_none() {
        voice.note(
            "note: the run has no strangeness.json, so `predict` will not notice strange images",
        );
    }
    Ok(())
}

/// How many entries of two confusion matrices differ, in images: a lower bound of the predictions that changed.
fn changed(before: &[Vec<u64>], after: &[Vec<u64>]) -> u64 {
    let pairs = before.iter().flatten().zip(after.iter().flatten());
    pairs.map(|(one, other)| one.abs_diff(*other)).sum::<u64>() / 2
}

/// Draws the first test image of each class, side by side.
fn samples(data: &DataSplits, path: &Path) -> Result<()> {
    let shape = data.shape;
    let test: &dyn Dataset = data.test.as_ref();
    let classes = data.classes.len();
    let mut first = vec![None; classes];
    for index in 0..test.len() {
        if let Some(first @ None) = first.get_mut(test.label(index)?) {
            *first = Some(index);
        }
        if first.iter().all(Option::is_some) {
            break;
        }
    }
    let width = shape.width * classes;
    let mut strip = vec![0u8; shape.height * width * shape.channels];
    let mut pixels = vec![0f32; shape.pixels()];
    for (class, index) in first.into_iter().enumerate() {
        let Some(index) = index else {
            return Err(CliError::Usage(format!(
                "there is no test image of class {}",
                data.classes[class]
            )));
        };
        test.image(index, &mut pixels)?;
        for (place, value) in pixels.iter().enumerate() {
            let (channel, inside) = (
                place / (shape.height * shape.width),
                place % (shape.height * shape.width),
            );
            let (row, column) = (inside / shape.width, inside % shape.width);
            let at = (row * width + class * shape.width + column) * shape.channels + channel;
            // Back from [-1, 1] to the byte that it was.
            strip[at] = ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        }
    }
    let (width, height) = (width as u32, shape.height as u32);
    let picture = match shape.channels {
        1 => image::GrayImage::from_raw(width, height, strip).map(image::DynamicImage::from),
        3 => image::RgbImage::from_raw(width, height, strip).map(image::DynamicImage::from),
        _ => None,
    };
    let picture = picture.ok_or_else(|| {
        CliError::Usage(format!("images of {shape} cannot be drawn as a picture"))
    })?;
    Ok(save_png(&picture, path)?)
}

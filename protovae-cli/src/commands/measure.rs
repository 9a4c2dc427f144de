//! `protovae measure`.

use protovae_core::plugin::Explainer;
use protovae_core::train::write_atomically;
use protovae_data::permutation;
use protovae_explain::explainers;
use protovae_explain::measures::{Keep, Measure, Noise, Settings, compare};
use serde_json::{Value, json};

use crate::args::{KeepName, MeasureArgs, MeasureName, NoiseName, Split};
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::{session, tables};

pub fn run(arguments: &MeasureArgs, voice: Voice) -> Result<()> {
    if arguments.images == 0 {
        return Err(CliError::Usage("--images must be at least 1".to_string()));
    }
    // Wrong names are told before anything is loaded.
    let mut methods = methods(arguments)?;
    let settings = settings(arguments);
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let config = source.config()?;
    let (model, card) = source.load(&device)?;
    if arguments.methods.is_empty() && explainers::suited(&model) == PATCHES {
        methods.insert(0, explainers::named(PATCHES)?);
    }
    let data = session::data(&config, arguments.data_dir.as_deref())?;
    for note in &data.notes {
        voice.note(format!("note: {note}"));
    }
    if card.knows_other_data(&data.digest) {
        voice.note("warning: these are not the data that the model was trained on");
    }
    let (dataset, split) = match arguments.split {
        Split::Train => (&data.train, "train"),
        Split::Test => (&data.test, "test"),
    };
    let mut chosen = permutation(arguments.seed, 0, dataset.len());
    chosen.truncate(arguments.images);
    if chosen.len() < arguments.images {
        voice.note(format!(
            "note: there are only {} {split} images",
            chosen.len()
        ));
    }
    let (images, labels) = tables::images(dataset.as_ref(), &chosen, &device.without_autodiff())?;
    let found = compare(&model, &images, &labels, methods, settings, &mut |next| {
        voice.note(format!("measuring {next}"));
    })?;

    let mut object = json!({
        "run": arguments.run,
        "model": model.kind(),
        "reported_as": card.reported_as,
        "data": data.name,
        "data_digest": data.digest,
        "split": split,
        "seed": arguments.seed,
        "classes": data.classes,
    });
    let all = serde_json::to_value(&found).map_err(std::io::Error::other)?;
    if let (Value::Object(object), Value::Object(all)) = (&mut object, all) {
        object.extend(all);
    }
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?;
        write_atomically(path, (text + "\n").as_bytes())?;
        voice.note(format!("wrote {}", path.display()));
    }
    // A line for other programs; the values of each image are for the file.
    if let Some(object) = object.as_object_mut() {
        object.remove("measured");
    }
    voice.object(&object)?;
    let text = if arguments.markdown {
        found.markdown()
    } else {
        found.text()
    };
    voice.line(format!(
        "{} ({}) on {} {split} images of {}\n",
        model.kind(),
        card.reported_as,
        found.images,
        data.name
    ))?;
    voice.line(text.trim_end())
}

/// What serves models that compare patches, and no others.
const PATCHES: &str = "similarity-map";

/// The explainers that are asked for, each once.
fn methods(arguments: &MeasureArgs) -> Result<Vec<Box<dyn Explainer>>> {
    let mut names: Vec<&str> = Vec::new();
    for name in &arguments.methods {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        // A plugin that needs settings of its user's cannot be meant by "all".
        let known = explainers::known_names().into_iter();
        let known = known.filter(|name| *name != PATCHES).map(explainers::named);
        return Ok(known.filter_map(protovae_core::Result::ok).collect());
    }
    let built: protovae_core::Result<Vec<_>> = names.into_iter().map(explainers::named).collect();
    Ok(built?)
}

fn settings(arguments: &MeasureArgs) -> Settings {
    let mut settings = Settings::with_seed(arguments.seed);
    settings.masking.keep = match arguments.keep {
        KeepName::Most => Keep::Most,
        KeepName::Least => Keep::Least,
    };
    let noise = match arguments.noise {
        NoiseName::Uniform => Noise::Uniform,
        NoiseName::Shuffled => Noise::Shuffled,
    };
    settings.masking.noise = noise;
    settings.ordering.noise = noise;
    if !arguments.measures.is_empty() {
        let measures = arguments.measures.iter().map(|name| match name {
            MeasureName::Masking => Measure::Masking,
            MeasureName::Ordering => Measure::Ordering,
            MeasureName::Robustness => Measure::Robustness,
            MeasureName::Diversity => Measure::Diversity,
            MeasureName::Attacks => Measure::Attacks,
        });
        settings.measures = measures.collect();
    }
    settings
}

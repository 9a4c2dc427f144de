//! `protovae measure`.

mod cue;

pub use cue::{CueAsked, cue};
use protovae_core::plugin::Explainer;
use protovae_core::train::write_atomically;
use protovae_explain::explainers;
use protovae_explain::measures::{CueMeasure, Keep, Measure, Noise, Settings, compare};
use serde_json::{Value, json};

use crate::args::{KeepName, MeasureArgs, MeasureName, NoiseName, Split};
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::{files, session, tables};

pub fn run(arguments: &MeasureArgs, voice: Voice) -> Result<()> {
    if arguments.images == Some(0) {
        return Err(CliError::Usage("--images must be at least 1".to_string()));
    }
    // Wrong names are told before anything is loaded.
    let mut methods = methods(arguments)?;
    let settings = settings(arguments);
    let planted = arguments.measures.contains(&MeasureName::Cue);
    if planted && arguments.split != Split::Test {
        return Err(CliError::Usage(
            "--measure cue is taken on test images, which have no cue yet; leave --split out"
                .to_string(),
        ));
    }
    let asked = CueAsked {
        measure: CueMeasure {
            threshold: arguments.cue.cue_threshold,
            ..CueMeasure::default()
        },
        images: arguments.images,
        seed: arguments.seed,
    };
    asked.measure.check()?;
    arguments
        .out
        .as_deref()
        .map(files::check_place)
        .transpose()?;
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let config = source.config()?;
    let (model, card) = source.load(&device)?;
    if arguments.methods.is_empty() && explainers::suited(&model) == PATCHES {
        methods.insert(0, explainers::named(PATCHES)?);
    }
    let data = session::data(&config, arguments.data_dir.as_deref())?;
    session::check_fits(&data, &card)?;
    for note in &data.notes {
        voice.note(format!("note: {note}"));
    }
    if card.knows_other_data(&data.digest) {
        voice.note("warning: these are not the data that the model was trained on");
    }
    let cue = match planted {
        true => {
            self::cue::planted(&config, &arguments.run)?;
            voice.note("measuring the cue");
            let data_dir = arguments.data_dir.as_deref();
            Some(cue(&arguments.run, &device, data_dir, &asked)?)
        }
        false => None,
    };
    let (dataset, split) = match arguments.split {
        Split::Train => (&data.train, "train"),
        Split::Test => (&data.test, "test"),
    };
    let found = match settings.measures.is_empty() {
        true => None,
        false => {
            let wanted = arguments.images.unwrap_or(IMAGES);
            let chosen = tables::drawn(arguments.seed, dataset.len(), wanted);
            if chosen.len() < wanted {
                voice.note(format!(
                    "note: there are only {} {split} images",
                    chosen.len()
                ));
            }
            let device = device.without_autodiff();
            let (images, labels) = tables::images(dataset.as_ref(), &chosen, &device)?;
            let mut say = |next: &str| voice.note(format!("measuring {next}"));
            Some(compare(
                &model, &images, &labels, methods, settings, &mut say,
            )?)
        }
    };

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
    let all = serde_json::to_value(&found)?;
    if let (Value::Object(object), Value::Object(all)) = (&mut object, all) {
        object.extend(all);
    }
    if let Some(cue) = &cue {
        object["cue"] = serde_json::to_value(cue)?;
    }
    if let Some(path) = &arguments.out {
        let text = serde_json::to_string_pretty(&object)?;
        write_atomically(path, (text + "\n").as_bytes())?;
        voice.note(format!("wrote {}", path.display()));
    }
    // A line for other programs; the values of each image are for the file.
    if let Some(object) = object.as_object_mut() {
        object.remove("measured");
    }
    voice.object(&object)?;
    let title = |images: usize| {
        format!(
            "{} ({}) on {images} {split} images of {}\n",
            model.kind(),
            card.reported_as,
            data.name
        )
    };
    if let Some(found) = &found {
        voice.line(title(found.images))?;
        let text = match arguments.markdown {
            true => found.markdown(),
            false => found.text(),
        };
        voice.line(text.trim_end())?;
    }
    if let Some(cue) = &cue {
        voice.line(title(cue.effect.accuracy.images))?;
        let text = match arguments.markdown {
            true => cue.markdown(&data.classes),
            false => cue.text(&data.classes),
        };
        voice.line(text.trim_end())?;
    }
    Ok(())
}

/// Images that are measured unless another number is asked for.
const IMAGES: usize = 500;

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
        let measures = arguments.measures.iter().filter_map(|name| match name {
            MeasureName::Masking => Some(Measure::Masking),
            MeasureName::Ordering => Some(Measure::Ordering),
            MeasureName::Robustness => Some(Measure::Robustness),
            MeasureName::Diversity => Some(Measure::Diversity),
            MeasureName::Attacks => Some(Measure::Attacks),
            MeasureName::Cue => None,
        });
        settings.measures = measures.collect();
    }
    settings
}

//! `protovae eval`.

use protovae_core::train::evaluate;
use serde_json::json;

use crate::args::{EvalArgs, Split};
use crate::config;
use crate::error::Result;
use crate::model_source::ModelSource;
use crate::output::Voice;
use crate::session;

pub fn run(arguments: &EvalArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    let source = ModelSource::named(&arguments.run)?;
    let config = config::with_data(source.config()?, &arguments.set)?;
    let (model, card) = source.load(&device)?;
    let data = session::data(&config, arguments.data_dir.as_deref())?;
    session::check_fits(&data, &card)?;
    let mut notes = data.notes.clone();
    let per_class = model.prototypes().map(|bank| bank.per_class);
    notes.extend(session::card_notes(&card, per_class));
    for note in &notes {
        voice.note(format!("note: {note}"));
    }
    let (dataset, split) = match arguments.split {
        Split::Train => (&data.train, "train"),
        Split::Test => (&data.test, "test"),
    };
    if card.knows_other_data(&data.digest) {
        voice.note(format!(
            "warning: these are not the data that the model was trained on (digest {} now, {} then)",
            short(&data.digest),
            short(&card.data_digest)
        ));
    }
    let training = &config.training;
    let batches = session::loader(dataset, training.batch_size, training.loader_threads, None)?;
    let found = evaluate(&model, &batches, None, &device)?;
    let mut object = json!({
        "run": arguments.run,
        "model": model.kind(),
        "reported_as": card.reported_as,
        "data": data.name,
        "notes": notes,
        "data_digest": data.digest,
        "split": split,
        "samples": found.figures.samples,
        "accuracy": found.figures.accuracy,
        "loss": found.figures.loss,
        "terms": found.figures.terms,
        "confusion": found.confusion,
    });
    if let Some(health) = &found.prototypes {
        object["prototypes"] = json!(health);
    }
    voice.object(&object)?;
    voice.line(format!(
        "{} ({}) on {} {} images of {}",
        model.kind(),
        card.reported_as,
        found.figures.samples,
        split,
        data.name
    ))?;
    voice.line(format!(
        "accuracy         {:.2} %",
        100.0 * found.figures.accuracy
    ))?;
    voice.line(format!("loss             {:.6}", found.figures.loss))?;
    for (name, value) in &found.figures.terms {
        voice.line(format!("  {name:<14} {value:.6}"))?;
    }
    if let Some(health) = &found.prototypes {
        voice.line(format!("unused prototypes {}", health.dead))?;
        for warning in health.warnings(&data.classes, &found.figures.terms) {
            voice.line(format!("warning: {warning}"))?;
        }
    }
    Ok(())
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

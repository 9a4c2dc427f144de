//! `protovae data`.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use protovae_data::{
    DataConfig, DataSearch, FetchOptions, Progress, PublishedSet, Step, Verification, catalogue,
    contact_sheet, fetch, published, save_png, statistics, take_from, verify,
};
use serde_json::{Value, json};

use crate::args::{DataAction, DataArgs, Split};
use crate::config;
use crate::error::{CliError, Result};
use crate::output::{Transfer, Voice};

pub fn run(arguments: &DataArgs, voice: Voice) -> Result<()> {
    match &arguments.action {
        DataAction::List => list(voice),
        DataAction::Fetch {
            sets,
            from,
            mirror,
            data_dir,
        } => {
            let options = FetchOptions {
                mirror: mirror.clone(),
                ..FetchOptions::default()
            };
            let source = match from {
                Some(from) => Source::Folder(from),
                None => Source::Network(&options),
            };
            // A wrong name is found before the first hundred megabytes.
            let sets = known(sets)?;
            for set in sets {
                get(set, &source, data_dir.as_deref(), voice)?;
            }
            Ok(())
        }
        DataAction::Verify { sets, data_dir } => {
            let search = search(data_dir.as_deref());
            let mut failed = 0;
            for set in known(sets)? {
                let found = verify(set.name, &search)?;
                report(&found, voice)?;
                failed += usize::from(!found.complete);
            }
            if failed > 0 {
                return Err(CliError::Unverified {
                    failed,
                    all: sets.len(),
                });
            }
            Ok(())
        }
        DataAction::Stats {
            set,
            overrides,
            split,
            out,
            columns,
            data_dir,
        } => {
            let config = config::data(set, overrides)?;
            let out = out
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("{set}.png")));
            let search = search(data_dir.as_deref());
            stats(config.as_ref(), &search, *split, &out, *columns, voice)
        }
    }
}

fn search(data_dir: Option<&Path>) -> DataSearch {
    DataSearch {
        data_dir: data_dir.map(Path::to_path_buf),
    }
}

fn known(sets: &[String]) -> Result<Vec<&'static PublishedSet>> {
    sets.iter().map(|set| Ok(published(set)?)).collect()
}

fn list(voice: Voice) -> Result<()> {
    for set in catalogue() {
        voice.object(&json!({
            "set": set.name,
            "title": set.title,
            "homepage": set.homepage,
            "citation": set.citation,
            "licence": set.licence,
            "train": set.train,
            "test": set.test,
            "shape": set.shape,
            "classes": set.classes,
            "bytes": set.length(),
        }))?;
        voice.line(format!(
            "{:<14} {} + {} images of {}, {}: {}",
            set.name,
            set.train,
            set.test,
            set.shape,
            HumanBytes(set.length()),
            set.title,
        ))?;
        voice.line(format!("{:<14} {}; {}", "", set.homepage, set.licence))?;
    }
    voice.line(
        "\n`protovae data fetch SET` gets one; mnist-5k is part of the program; image-folder reads pictures of your own",
    )
}

/// Where files come from.
enum Source<'a> {
    Folder(&'a Path),
    Network(&'a FetchOptions),
}

fn get(
    set: &PublishedSet,
    source: &Source<'_>,
    data_dir: Option<&Path>,
    voice: Voice,
) -> Result<()> {
    let into = search(data_dir).destination(set.name).ok_or_else(|| {
        CliError::Usage(
            "there is no home folder to keep data sets in; name a folder with --data-dir"
                .to_string(),
        )
    })?;
    let mut transfer = Transfer::new(voice);
    let mut progress = |progress: Progress<'_>| match progress.step {
        Step::Downloading | Step::Copying | Step::Checking => {
            transfer.at(progress.file, progress.done, progress.length);
        }
        Step::Failed => transfer.say(&format!("{}: {}", progress.address, progress.reason)),
        Step::Present => transfer.say(&format!("{} is there already", progress.file)),
        Step::Finished => transfer.say(&format!("{} is in place", progress.file)),
        _ => {}
    };
    let files = match source {
        Source::Folder(from) => take_from(set, from, &into, &mut progress),
        Source::Network(options) => fetch(set, &into, options, &mut progress),
    };
    transfer.finish();
    let files = files?;
    voice.object(&json!({"set": set.name, "folder": into, "files": files}))?;
    voice.line(format!("{} is in {}", set.name, into.display()))
}

fn report(found: &Verification, voice: Voice) -> Result<()> {
    voice.object(found)?;
    let verdict = if found.complete {
        "is the published set"
    } else {
        "is NOT the published set, or not shown to be"
    };
    voice.line(format!("{} {verdict}", found.set))?;
    for check in &found.checks {
        if check.ok {
            voice.line(format!("  right  {}: {}", check.what, check.found))?;
        } else {
            voice.line(format!(
                "  WRONG  {}: {}, not {}",
                check.what, check.found, check.expected
            ))?;
        }
    }
    for note in &found.notes {
        voice.line(format!("  note: {note}"))?;
    }
    Ok(())
}

fn stats(
    config: &dyn DataConfig,
    search: &DataSearch,
    split: Split,
    out: &Path,
    columns: usize,
    voice: Voice,
) -> Result<()> {
    let data = config.load(search)?;
    let (dataset, name) = match split {
        Split::Train => (&data.train, "training"),
        Split::Test => (&data.test, "test"),
    };
    let figures = statistics(dataset.as_ref(), data.classes.len())?;
    save_png(
        &contact_sheet(dataset.as_ref(), data.classes.len(), columns)?,
        out,
    )?;
    let mut object = serde_json::to_value(&figures).unwrap_or(Value::Null);
    object["set"] = json!(data.name);
    object["split"] = json!(name);
    object["classes"] = json!(data.classes);
    object["digest"] = json!(data.digest);
    object["folder"] = json!(data.folder);
    object["notes"] = json!(data.notes);
    object["contact_sheet"] = json!(out);
    voice.object(&object)?;
    voice.line(format!(
        "{}: {} {name} images of {}",
        data.name, figures.images, figures.shape
    ))?;
    if let Some(folder) = &data.folder {
        voice.line(format!("folder         {}", folder.display()))?;
    }
    for (class, count) in data.classes.iter().zip(&figures.per_class) {
        voice.line(format!("{class:<14} {count}"))?;
    }
    for (channel, (mean, deviation)) in figures.mean.iter().zip(&figures.deviation).enumerate() {
        voice.line(format!(
            "channel {channel}      mean {mean:.4}, deviation {deviation:.4} (of pixels in [0, 1])"
        ))?;
    }
    for note in &data.notes {
        voice.line(format!("note: {note}"))?;
    }
    voice.line(format!("contact sheet  {}", out.display()))
}

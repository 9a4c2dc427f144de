//! `protovae import`.

use std::path::{Path, PathBuf};

use protovae_backbones::weights::{Layout, Loaded};
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelSpec};
use protovae_core::random::Initializer;
use protovae_core::train::{ModelCard, RunDirectory, StagedRun, save_model, write_atomically};
use protovae_data::{DataError, DataSplits};
use serde::Deserialize;
use serde_json::{Value, json};

use super::export::METADATA;
use super::train::{draw, wrong_out};
use crate::args::ImportArgs;
use crate::config::{self, RunConfig};
use crate::error::{CliError, Result};
use crate::initial_weights::{InitialWeights, Opened};
use crate::output::Voice;
use crate::{presets, session, tables};

/// What a file that `export` wrote says of itself.
#[derive(Debug, Deserialize)]
struct Exported {
    card: ModelCard,
    config: Option<Value>,
}

/// What a model is of: the shape of its images and the names of its classes.
struct Subject {
    spec: ModelSpec,
    class_names: Vec<String>,
    /// `None` if the data are not on this machine.
    data: Option<DataSplits>,
}

pub fn run(arguments: &ImportArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    let weights = InitialWeights {
        layout: arguments.layout,
        ..InitialWeights::of_file(&arguments.file)
    };
    let opened = weights.open()?;
    let exported = exported(&opened, &arguments.file)?;
    let mut config = configuration(arguments, &opened, exported.as_ref())?;
    let out = arguments.out.clone().unwrap_or_else(|| {
        let stem = arguments.file.file_stem().unwrap_or_default();
        Path::new("runs").join(stem)
    });
    RunDirectory::check_free(&out, arguments.overwrite).map_err(wrong_out)?;

    let subject = subject(&config, arguments, exported.as_ref())?;
    config.model = config.model.resolved(&subject.spec)?;
    let mut init = Initializer::new(config.seed, &device);
    device.seed(config.seed); // For plugins that use burn's own initialisers.
    let model = config.model.build(&subject.spec, &mut init)?;
    let (model, report) = opened.load(model)?;
    config.initial_weights = Some(opened.resolved.clone());

    // Everything fits; only now is anything written.
    let staged = StagedRun::new(&out, arguments.overwrite)?;
    let directory = staged.directory();
    let json = config.to_json()?;
    directory.write_config(&json)?;
    // No epoch was trained here; `report` reads the file all the same.
    write_atomically(&directory.metrics(), b"")?;
    let mut card = ModelCard::new(
        json["model"].clone(),
        config.model.reported_as(),
        subject.spec.image,
    );
    card.class_names = subject.class_names.clone();
    card.seed = config.seed;
    card.data = data_name(&json);
    if let Some(exported) = exported.filter(|_| names_no_configuration(arguments)) {
        card.data = exported.card.data;
        card.data_digest = exported.card.data_digest;
        card.epochs = exported.card.epochs;
        card.data_changes = exported.card.data_changes;
        card.removed_prototypes = exported.card.removed_prototypes;
    }
    card.initial_weights = config.initial_weights.as_ref().map(InitialWeights::origin);
    save_model(&directory.model(), &model, &card)?;
    if report.kept.is_empty() {
        look(&model, &subject, directory, voice)?;
    }
    let directory = staged.finish()?;
    conclude(&directory, &config, &opened, &report, voice)
}

fn names_no_configuration(arguments: &ImportArgs) -> bool {
    arguments.source.preset.is_none() && arguments.source.config.is_none()
}

fn exported(opened: &Opened, path: &Path) -> Result<Option<Exported>> {
    let Some(text) = opened.stored.metadata(METADATA) else {
        return Ok(None);
    };
    let read = serde_json::from_str(text).map_err(|error| {
        CliError::Core(protovae_core::Error::Damaged {
            path: path.to_path_buf(),
            reason: format!("what it says of itself cannot be read: {error}"),
        })
    });
    read.map(Some)
}

/// The configuration that the command line names, or the one in the file.
fn configuration(
    arguments: &ImportArgs,
    opened: &Opened,
    exported: Option<&Exported>,
) -> Result<RunConfig> {
    let inside = exported.and_then(|exported| exported.config.clone());
    if inside.is_none() && names_no_configuration(arguments) {
        let fitting = fitting_presets(opened);
        let fitting = match fitting.as_slice() {
            [] => "no preset has tensors like these".to_string(),
            names => format!("its tensors fit {}", names.join(", ")),
        };
        return Err(CliError::Usage(format!(
            "{} does not say what model its weights are of; name it with --preset or --config ({fitting})",
            arguments.file.display()
        )));
    }
    let origin = arguments.file.display().to_string();
    let base = inside.map(|config| (config, origin.as_str()));
    Ok(config::load_over(&arguments.source, base)?.config)
}

/// The presets whose models have the file's tensors, those of the released code first for its own checkpoints.
fn fitting_presets(opened: &Opened) -> Vec<String> {
    let device = burn::tensor::Device::flex();
    let fits = |preset: &presets::Preset| {
        let config = serde_json::from_value::<RunConfig>(preset.config.clone()).ok()?;
        let model = config
            .model
            .build(&preset.spec, &mut Initializer::new(0, &device))
            .ok()?;
        opened.fits(&model).then(|| preset.name.clone())
    };
    let mut names: Vec<String> = presets::all().iter().filter_map(fits).collect();
    if opened.layout() == Layout::Reference2022 {
        names.sort_by_key(|name| !name.ends_with("-reference2022"));
    }
    names
}

/// From the file if it tells, else from the data, else from what was published of them.
fn subject(
    config: &RunConfig,
    arguments: &ImportArgs,
    exported: Option<&Exported>,
) -> Result<Subject> {
    let data = session::data(config, None);
    if let Some(exported) = exported.filter(|_| names_no_configuration(arguments)) {
        return Ok(Subject {
            spec: ModelSpec {
                image: exported.card.image,
                classes: exported.card.class_names.len(),
            },
            class_names: exported.card.class_names.clone(),
            data: data.ok(),
        });
    }
    match data {
        Ok(data) => Ok(Subject {
            spec: session::model_spec(&data),
            class_names: data.classes.clone(),
            data: Some(data),
        }),
        Err(CliError::Data(DataError::NotFound { set, .. }))
            if protovae_data::published(&set).is_ok() =>
        {
            let published = protovae_data::published(&set)?;
            let class_names: Vec<String> = published
                .classes
                .iter()
                .map(|name| (*name).to_string())
                .collect();
            let shape = published.shape;
            Ok(Subject {
                spec: ModelSpec {
                    image: ImageShape::new(shape.channels, shape.height, shape.width),
                    classes: class_names.len(),
                },
                class_names,
                data: None,
            })
        }
        Err(error) => Err(error),
    }
}

fn data_name(config: &Value) -> String {
    let kind = config["data"]["type"].as_str();
    kind.unwrap_or_default().to_string()
}

/// Pictures and the detector of strange images, as after a training, as far as the data are there.
fn look(
    model: &BoxModel,
    subject: &Subject,
    directory: &RunDirectory,
    voice: Voice,
) -> Result<Vec<PathBuf>> {
    let Some(data) = &subject.data else {
        voice.note(
            "note: the data are not on this machine, so `predict` will not notice images unlike them",
        );
        return Ok(Vec::new());
    };
    let pictures = draw(model, data, directory, voice)?;
    let device = match burn::module::Module::devices(model).first() {
        Some(device) => device.clone().without_autodiff(),
        None => return Ok(pictures),
    };
    let learned = tables::latent_table(model, data.test.as_ref(), &device)
        .and_then(|table| tables::learn_strangeness(&table, &directory.model()));
    if let Err(error) = learned {
        voice.note(format!(
            "note: `predict` will not notice images unlike the training set's: {error}"
        ));
    }
    Ok(pictures)
}

fn conclude(
    directory: &RunDirectory,
    config: &RunConfig,
    opened: &Opened,
    report: &Loaded,
    voice: Voice,
) -> Result<()> {
    let run = directory.path().display();
    let resolved = &opened.resolved;
    voice.object(&json!({
        "run": directory.path(),
        "file": resolved.path,
        "sha256": resolved.sha256,
        "layout": resolved.layout,
        "part": resolved.part,
        "loaded": report.loaded.len(),
        "kept": report.kept,
        "left_out": report.left_out,
    }))?;
    if voice.quiet {
        return Ok(());
    }
    voice.line(opened.describe(report, config.seed))?;
    if !report.left_out.is_empty() {
        voice.line(format!("left out     {}", named(&report.left_out)))?;
    }
    voice.line(format!("model        {}", directory.model().display()))?;
    voice.line("\nnext:")?;
    if report.kept.is_empty() {
        voice.line(format!(
            "  protovae eval {run}                  accuracy and losses"
        ))?;
        voice.line(format!(
            "  protovae predict {run} IMAGE.png     classify a picture, with reasons"
        ))
    } else {
        voice.line(format!(
            "  protovae train --config {} --out OTHER     train it from here",
            directory.config().display()
        ))
    }
}

/// Names in a sentence; PyTorch's counters of batches, of which there is one a normalisation, as their number.
fn named(names: &[String]) -> String {
    let counts = |name: &&String| name.ends_with("num_batches_tracked");
    let mut words: Vec<String> = names.iter().filter(|name| !counts(name)).cloned().collect();
    match names.iter().filter(counts).count() {
        0 => {}
        counters => words.push(format!("{counters} counters (num_batches_tracked)")),
    }
    words.join(", ")
}

//! `protovae train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use protovae_backbones::kernels::release_memory;
use protovae_core::model::{BoxModel, trainable_values};
use protovae_core::random::Initializer;
use protovae_core::train::{
    EpochRecord, MetricsLine, ModelCard, RunDirectory, Trainer, newest_checkpoint, read_card,
    save_model,
};
use protovae_data::DataSplits;
use protovae_explain::pictures::{concept_panel, prototype_grid, reconstruction_grid, save_png};
use serde_json::json;

use crate::args::TrainArgs;
use crate::config::{self, RunConfig};
use crate::error::{CliError, Result};
use crate::initial_weights::InitialWeights;
use crate::output::{Progress, Voice, counted};
use crate::{session, tables};

/// Where the run goes and whether it goes on.
enum Place {
    New { path: PathBuf, overwrite: bool },
    Resumed(PathBuf),
    Temporary,
}

pub fn run(arguments: &TrainArgs, voice: Voice) -> Result<()> {
    let (device, helpers) = session::devices(&arguments.device, &arguments.devices, voice)?;
    let (mut config, place) = plan(arguments)?;
    session::check_precision(&arguments.device, config.training.precision)?;
    if let Place::New { path, overwrite } = &place {
        RunDirectory::check_free(path, *overwrite).map_err(wrong_out)?;
    }
    if arguments.sanity_check {
        config.training.epochs = 1;
        config.training.max_batches = Some(2);
    }

    // Everything that can be wrong with data and model shows before anything is written.
    let data = session::data(&config, arguments.source.data_dir.as_deref())?;
    session::check_augmentation(&config, &data)?;
    let spec = session::model_spec(&data);
    config.model = config.model.resolved(&spec)?;
    let device = device.autodiff();
    let helpers: Vec<Device> = helpers.into_iter().map(Device::autodiff).collect();
    let mut init = Initializer::new(config.seed, &device);
    device.seed(config.seed); // For plugins that use burn's own initialisers.
    let model = config.model.build(&spec, &mut init)?;
    config.training.check_model(&model)?;
    let (model, loaded) = start(model, &mut config, &place)?;

    let temporary = Temporary::new(&place);
    let (directory, resumed) = match &place {
        Place::New { path, overwrite } => (RunDirectory::create(path, *overwrite)?, false),
        Place::Temporary => (RunDirectory::create(temporary.path(), true)?, false),
        Place::Resumed(path) => {
            let directory = RunDirectory::open(path)?;
            directory.check_idle()?;
            (directory, true)
        }
    };
    if resumed && newest_checkpoint(&directory)?.is_none() {
        voice.note("note: there is no checkpoint yet, so that training begins anew");
    }
    let json = config.to_json()?;
    directory.write_config(&json)?;
    // What an earlier run learned is not true of the new model.
    let _ = std::fs::remove_file(tables::strangeness_path(&directory.model()));
    introduce(&config, &data, &model, voice, &json);
    if let Some(loaded) = loaded {
        voice.note(loaded);
    }

    let begun = Instant::now();
    let training = &config.training;
    let threads = training.loader_threads;
    let train = session::training_loader(&config, &data)?;
    let unchanged = session::loader(&data.train, training.batch_size, threads, None)?;
    let test = session::loader(&data.test, training.batch_size, threads, None)?;
    let mut progress = Progress::new(voice);
    let trained = Trainer {
        config: training,
        seed: config.seed,
        device: &device,
        helpers: &helpers,
        train: &train,
        unchanged: &unchanged,
        test: &test,
        class_names: &data.classes,
        data_digest: &data.digest,
        run: Some(&directory),
        observer: &mut progress,
    }
    .fit(model, resumed);
    progress.finish();
    let trained = trained?;
    let last = match trained.last {
        Some(record) => record,
        None => last_record(&directory)?,
    };

    let mut card = ModelCard::new(
        json["model"].clone(),
        config.model.reported_as(),
        spec.image,
    );
    card.class_names = data.classes.clone();
    card.data = data.name.clone();
    card.data_digest = data.digest.clone();
    card.seed = config.seed;
    card.epochs = last.epoch;
    card.initial_weights = config.initial_weights.as_ref().map(InitialWeights::origin);
    let cue = config.cue.iter().filter(|cue| cue.share > 0.0);
    card.data_changes = cue.map(|cue| cue.words(&data.classes)).collect();
    save_model(&directory.model(), &trained.model, &card)?;
    // What the steps used is not to stand beside what the pictures need.
    release_memory();
    let pictures = draw(&trained.model, &data, &directory, voice)?;
    let table = tables::latent_table(
        &trained.model,
        data.test.as_ref(),
        &device.clone().without_autodiff(),
    )?;
    // The model is done and stays, whatever becomes of this.
    if let Err(error) = tables::learn_strangeness(&table, &directory.model()) {
        voice.note(format!(
            "note: `predict` will not notice images unlike the training set's: {error}"
        ));
    }

    let seconds = begun.elapsed().as_secs_f64();
    conclude(
        &directory, &config, &last, &pictures, seconds, &place, voice,
    )
}

/// The model with the initial weights that the configuration names, and what is to be said of them.
///
/// A run that goes on from a checkpoint has its weights from there, and the file may be gone.
fn start(
    model: BoxModel,
    config: &mut RunConfig,
    place: &Place,
) -> Result<(BoxModel, Option<String>)> {
    if let Place::Resumed(path) = place
        && newest_checkpoint(&RunDirectory::open(path)?)?.is_some()
    {
        return Ok((model, None));
    }
    let Some(weights) = &config.initial_weights else {
        return Ok((model, None));
    };
    let opened = weights.open()?;
    let (model, report) = opened.load(model)?;
    let said = opened.describe(&report, config.seed);
    config.initial_weights = Some(opened.resolved);
    Ok((model, Some(said)))
}

/// A folder that cannot take the run is a wrong `--out`.
pub(super) fn wrong_out(error: protovae_core::Error) -> CliError {
    match error {
        protovae_core::Error::Damaged { .. } => CliError::Usage(error.to_string()),
        error => error.into(),
    }
}

fn plan(arguments: &TrainArgs) -> Result<(RunConfig, Place)> {
    if let Some(path) = &arguments.resume {
        let directory = RunDirectory::open(path)?;
        check_resumable(&directory)?;
        let mut config = config::load_file(&directory.config())?;
        if let Some(epochs) = arguments.source.epochs {
            let done = last_record(&directory).map_or(0, |record| record.epoch);
            if epochs < done {
                return Err(CliError::Usage(format!(
                    "--epochs {epochs}: this run has done {done} already; name at least as many"
                )));
            }
            config.training.epochs = epochs;
        }
        config.training.check("training")?;
        return Ok((config, Place::Resumed(path.clone())));
    }
    let mut named = config::load_with_weights(&arguments.source, arguments.init.as_deref())?;
    if let Some(precision) = arguments.precision {
        named.config.training.precision = precision;
    }
    let place = if arguments.sanity_check {
        Place::Temporary
    } else {
        Place::New {
            path: arguments
                .out
                .clone()
                .unwrap_or_else(|| Path::new("runs").join(&named.name)),
            overwrite: arguments.overwrite,
        }
    };
    Ok((named.config, place))
}

/// Refuses to go on where training would start anew in the place of a model that is there: one that prototypes were taken out of, and
/// one without checkpoints, such as an imported one.
fn check_resumable(directory: &RunDirectory) -> Result<()> {
    match read_card(&directory.model()) {
        Ok(card) if !card.removed_prototypes.is_empty() => Err(CliError::Usage(format!(
            "{} holds a model that prototypes were taken out of after its training; --resume the run that they were removed from",
            directory.path().display()
        ))),
        _ if directory.model().is_file() && newest_checkpoint(directory)?.is_none() => {
            Err(CliError::Usage(format!(
                "{0} has a model but no checkpoint to go on from, and training from the beginning would replace the model; train a new run: \
                 `protovae train --config {0}/config.json --out NEW`, with `--init {0}` from these weights",
                directory.path().display()
            )))
        }
        // No model yet: training writes it.
        _ => Ok(()),
    }
}

/// A folder of its own for `--sanity-check`, removed when done.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn new(place: &Place) -> Self {
        Self(matches!(place, Place::Temporary).then(|| {
            std::env::temp_dir().join(format!("protovae-sanity-check-{}", std::process::id()))
        }))
    }

    fn path(&self) -> PathBuf {
        self.0.clone().unwrap_or_default()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn introduce(
    config: &RunConfig,
    data: &DataSplits,
    model: &BoxModel,
    voice: Voice,
    json: &serde_json::Value,
) {
    voice.note(format!(
        "{} on {}: {} training and {} test images of {}, {} classes; {} ({} parameters), {} of batches of {}, seed {}",
        model.kind(),
        data.name,
        data.train.len(),
        data.test.len(),
        model.image_shape(),
        data.classes.len(),
        config.model.reported_as(),
        trainable_values(model),
        counted(config.training.epochs, "epoch"),
        config.training.batch_size,
        config.seed,
    ));
    for note in &data.notes {
        voice.note(format!("note: {note}"));
    }
    if voice.verbose {
        voice.note(format!("{json:#}"));
    }
}

fn last_record(directory: &RunDirectory) -> Result<EpochRecord> {
    let lines = directory.read_metrics()?;
    lines
        .into_iter()
        .rev()
        .find_map(|line| match line {
            MetricsLine::Epoch(record) => Some(*record),
            _ => None,
        })
        .ok_or_else(|| {
            CliError::Core(protovae_core::Error::Damaged {
                path: directory.metrics(),
                reason: "has no line of a completed epoch".to_string(),
            })
        })
}

/// Pairs of image and reconstruction a row, and rows.
const RECONSTRUCTION_PAIRS: [usize; 2] = [5, 8];

/// Test images that a concept is drawn with.
const CONCEPT_IMAGES: usize = 10;

/// Draws what there is to see of a model; what cannot be drawn is said and left out, for the model is done and stays.
pub(super) fn draw(
    model: &BoxModel,
    data: &DataSplits,
    directory: &RunDirectory,
    voice: Voice,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let device = match burn::module::Module::devices(model).first() {
        Some(device) => device.clone().without_autodiff(),
        None => return Ok(written),
    };
    if let Some(table) = tables::concept_table(model, data.test.as_ref(), &device)? {
        let images = |rows: &[usize]| -> Result<Tensor<4>> {
            Ok(tables::images(data.test.as_ref(), rows, &device)?.0)
        };
        let panel = concept_panel(&table, &data.classes, CONCEPT_IMAGES, images)?;
        // A concept of which there is nothing in any image has no row, and all of them may be such.
        if !panel.rows.is_empty()
            && let Some(picture) = drawn(panel.draw(), "concepts.png", voice)?
        {
            let path = directory.path().join("concepts.png");
            save_png(&picture, &path)?;
            written.push(path);
        }
    }
    let prototypes = match tables::prototype_images(model, data.train.as_ref(), &device)? {
        Some(images) => drawn(images.sheet().map(Into::into), "prototypes.png", voice)?,
        None => drawn(prototype_grid(model), "prototypes.png", voice)?,
    };
    if let Some(picture) = prototypes {
        let path = directory.path().join("prototypes.png");
        save_png(&picture, &path)?;
        written.push(path);
    }
    let [pairs, rows] = RECONSTRUCTION_PAIRS;
    let images = session::some_images(
        data.test.as_ref(),
        data.classes.len(),
        pairs * rows,
        &device,
    )?;
    let reconstructions = reconstruction_grid(model, images, pairs);
    if let Some(picture) = drawn(reconstructions, "reconstructions.png", voice)? {
        let path = directory.path().join("reconstructions.png");
        save_png(&picture, &path)?;
        written.push(path);
    }
    Ok(written)
}

/// A picture, or none if the model lacks what it shows or if it cannot be drawn.
fn drawn<T>(picture: protovae_explain::Result<T>, name: &str, voice: Voice) -> Result<Option<T>> {
    use protovae_explain::Error;
    match picture {
        Ok(picture) => Ok(Some(picture)),
        Err(Error::Core(protovae_core::Error::Unsupported { .. })) => Ok(None),
        Err(error @ Error::Shape { .. }) => {
            voice.note(format!("note: no {name}: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn conclude(
    directory: &RunDirectory,
    config: &RunConfig,
    last: &EpochRecord,
    pictures: &[PathBuf],
    seconds: f64,
    place: &Place,
    voice: Voice,
) -> Result<()> {
    // A summary is no result: it repeats what the run directory holds.
    let summary = |text: String| {
        if voice.quiet {
            return Ok(());
        }
        voice.line(text)
    };
    if matches!(place, Place::Temporary) {
        summary(
            "sanity check passed: data, model, training, evaluation, checkpoint and pictures work"
                .to_string(),
        )?;
        return voice.object(&json!({"event": "sanity-check", "passed": true}));
    }
    voice.object(&json!({
        "event": "done",
        "run": directory.path(),
        "reported_as": config.model.reported_as(),
        "epochs": last.epoch,
        "seconds": seconds,
        "accuracy": last.test.accuracy,
        "test": last.test,
    }))?;
    let run = directory.path().display();
    summary(format!(
        "\ntest accuracy {:.2} % after {} ({} on {} images, {:.0} s)",
        100.0 * last.test.accuracy,
        counted(last.epoch, "epoch"),
        config.model.reported_as(),
        last.test.samples,
        seconds,
    ))?;
    summary(format!("model        {}", directory.model().display()))?;
    for picture in pictures {
        summary(format!("picture      {}", picture.display()))?;
    }
    summary(format!("settings     {}", directory.config().display()))?;
    summary(format!("figures      {}", directory.metrics().display()))?;
    summary("\nnext:".to_string())?;
    summary(format!(
        "  protovae eval {run}                  accuracy and losses again, from the file"
    ))?;
    summary(format!(
        "  protovae predict {run} IMAGE.png     classify a picture, with reasons"
    ))?;
    summary(match last.prototypes {
        Some(_) => {
            format!("  protovae prototypes {run}            what each prototype stands for")
        }
        None => format!("  protovae report {run}                everything about it on one page"),
    })
}

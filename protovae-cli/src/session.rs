//! What several commands need: the device, the data, the model of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use protovae_core::device::{Backend, DeviceChoice};
use protovae_core::model::{BoxModel, ModelSpec};
use protovae_core::train::ModelCard;
use protovae_core::{ImageShape, Precision};
use protovae_data::{DataSearch, DataSplits, Dataset, Loader, LoaderConfig, Order};
use protovae_explain::explainers;

use crate::args::{DeviceArgs, DevicesArgs};
use crate::config::RunConfig;
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::output::Voice;

/// The environment variable from which burn takes its default device.
#[cfg(unix)]
const DEFAULT_DEVICE: &str = "BURN_DEVICE";

/// The environment variable from which libtorch takes the number of its threads.
#[cfg(unix)]
const LIBTORCH_THREADS: &str = "OMP_NUM_THREADS";

/// Resolves the device and sets the number of threads, once, before the first tensor. Says what `auto` took.
pub fn device(arguments: &DeviceArgs, voice: Voice) -> Result<Device> {
    if let Some(threads) = arguments.threads {
        if threads == 0 || threads > 1024 {
            return Err(CliError::Usage(format!(
                "--threads must lie between 1 and 1024, not {threads}"
            )));
        }
        // Fails if the pool exists already, as in a program that calls this library twice; then that pool is used.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
    let name = arguments.device.name();
    let device = name.resolve()?;
    align_environment(name.backend(), arguments.threads)?;
    if arguments.device == DeviceChoice::Auto {
        voice.note(format!("device {name}, the fastest found"));
    }
    Ok(device)
}

/// The device, and those that compute parts of each batch besides it: as [`device`], of the numbers named, if any.
pub fn devices(
    arguments: &DeviceArgs,
    numbers: &DevicesArgs,
    voice: Voice,
) -> Result<(Device, Vec<Device>)> {
    let Some((first, others)) = numbers.devices.split_first() else {
        return Ok((device(arguments, voice)?, Vec::new()));
    };
    let kind = arguments.device.name();
    let first = DeviceArgs {
        device: DeviceChoice::Named(kind.numbered(*first)?),
        ..*arguments
    };
    let others = others.iter();
    let others: Vec<Device> = others
        .map(|number| kind.numbered(*number)?.resolve())
        .collect::<std::result::Result<_, _>>()?;
    Ok((device(&first, voice)?, others))
}

/// Checks that the device that was asked for computes in that precision.
pub fn check_precision(arguments: &DeviceArgs, precision: Precision) -> Result<()> {
    if !precision.is_lower() {
        return Ok(());
    }
    Ok(arguments.device.name().check_precision(precision)?)
}

/// Makes burn's own default device one of this backend, and has libtorch keep to `--threads`.
///
/// Loading an optimizer's state passes through burn's default device, which with an accelerator compiled in is that
/// accelerator, present or not. The variables that decide these things cannot be set in a running multi-threaded program
/// without `unsafe`, so the program starts itself anew with them.
#[cfg(unix)]
fn align_environment(backend: Backend, threads: Option<usize>) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut wanted = Vec::new();
    // A build with the CPU backend alone has but one default.
    let compiled = Backend::ALL.into_iter().filter(|one| one.is_compiled());
    if compiled.count() > 1 || std::env::var_os(DEFAULT_DEVICE).is_some() {
        wanted.push((DEFAULT_DEVICE, backend.burn_name().to_string()));
    }
    if let (Backend::Libtorch, Some(threads)) = (backend, threads) {
        wanted.push((LIBTORCH_THREADS, threads.to_string()));
    }
    let is_set = |(name, value): &(&str, String)| {
        std::env::var_os(name).is_some_and(|found| found == value.as_str())
    };
    if wanted.iter().all(is_set) {
        return Ok(());
    }
    let error = std::process::Command::new(std::env::current_exe().map_err(CliError::Program)?)
        .args(std::env::args_os().skip(1))
        .envs(wanted)
        .exec();
    Err(CliError::Program(error))
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn align_environment(_backend: Backend, _threads: Option<usize>) -> Result<()> {
    Ok(())
}

/// Loads the data set of a configuration, its training images with the cue that the configuration plants, if any; `data_dir`
/// overrides the folder the configuration remembers.
pub fn data(config: &RunConfig, data_dir: Option<&Path>) -> Result<DataSplits> {
    let clean = clean_data(config, data_dir)?;
    match &config.cue {
        Some(cue) => Ok(clean.planted(cue, config.seed)?),
        None => Ok(clean),
    }
}

/// As [`data`], but without the cue.
pub fn clean_data(config: &RunConfig, data_dir: Option<&Path>) -> Result<DataSplits> {
    let search = DataSearch {
        data_dir: data_dir
            .map(Path::to_path_buf)
            .or_else(|| config.data_dir.clone()),
    };
    Ok(config.data.load(&search)?)
}

/// Checks that a model takes the images of a data set, whichever they are, and has their classes.
pub fn check_fits(data: &DataSplits, card: &ModelCard) -> Result<()> {
    let spec = model_spec(data);
    if spec.image == card.image && spec.classes == card.class_names.len() {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{} has images of {} in {} classes, the model takes {} in {}",
        data.name,
        spec.image,
        spec.classes,
        card.image,
        card.class_names.len()
    )))
}

/// The data that the model of a run was trained on.
///
/// # Errors
/// If the source is a model file rather than a run directory, if the data are not there, or are others.
pub fn training_data(
    source: &ModelSource,
    data_dir: Option<&Path>,
    card: &ModelCard,
) -> Result<DataSplits> {
    if let ModelSource::File(run) = source {
        return Err(CliError::Usage(format!(
            "{} is no run directory, and what says where the training images lie is in that",
            run.display()
        )));
    }
    let data = data(&source.config()?, data_dir)?;
    if card.knows_other_data(&data.digest) {
        return Err(CliError::Usage(format!(
            "the {} data here are not those that the model was trained on; name their folder with --data-dir",
            data.name
        )));
    }
    Ok(data)
}

/// What must be known of a model before its figures are quoted, besides what the data say of themselves; a sentence each.
pub fn card_notes(card: &ModelCard, per_class: Option<usize>) -> Vec<String> {
    if card.removed_prototypes.is_empty() {
        return Vec::new();
    }
    let rows = card.removed_prototypes.iter();
    let named = rows.map(|row| prototype_name(*row, per_class.unwrap_or(1)));
    vec![format!(
        "prototypes were taken out of this model's classification after training: {}",
        named.collect::<Vec<_>>().join(", ")
    )]
}

/// A prototype as `--prototypes` and `--remove` take it: the number of its class and its own.
pub fn prototype_name(row: usize, per_class: usize) -> String {
    let per_class = per_class.max(1);
    format!("{}:{}", row / per_class, row % per_class)
}

/// What a model for this data has to fit.
pub fn model_spec(data: &DataSplits) -> ModelSpec {
    ModelSpec {
        image: ImageShape::new(data.shape.channels, data.shape.height, data.shape.width),
        classes: data.classes.len(),
    }
}

/// Training batches: shuffled and augmented by the run's seed.
pub fn training_loader(config: &RunConfig, data: &DataSplits) -> Result<Loader> {
    let training = &config.training;
    let threads = training.loader_threads;
    let loader = loader(&data.train, training.batch_size, threads, Some(config.seed))?;
    Ok(loader.augmented(config.augmentation, config.seed)?)
}

/// Checks that the augmentation fits the images.
pub fn check_augmentation(config: &RunConfig, data: &DataSplits) -> Result<()> {
    Ok(config.augmentation.check(data.shape)?)
}

/// Batches of a data set, shuffled by `seed` if there is one.
pub fn loader(
    dataset: &Arc<dyn Dataset>,
    batch_size: usize,
    threads: usize,
    seed: Option<u64>,
) -> Result<Loader> {
    let config = LoaderConfig {
        batch_size,
        threads,
        order: seed.map_or(Order::Sequential, |seed| Order::Shuffled { seed }),
        ..LoaderConfig::default()
    };
    Ok(Loader::new(Arc::clone(dataset), config)?)
}

/// The model file that a user means by a run directory or a file.
pub fn model_path(run: &Path) -> PathBuf {
    if run.is_dir() {
        run.join("model.safetensors")
    } else {
        run.to_path_buf()
    }
}

/// The method that a user asks for; without one, what suits the model.
pub fn method<'a>(asked: Option<&'a str>, model: &BoxModel) -> &'a str {
    asked.unwrap_or_else(|| explainers::suited(model))
}

/// About `count` images of a data set on a device, `[n, C, H, W]`: the first of each class, then the second of each, ...
pub fn some_images(
    dataset: &dyn Dataset,
    classes: usize,
    count: usize,
    device: &Device,
) -> Result<burn::tensor::Tensor<4>> {
    let mut by_class = vec![Vec::new(); classes];
    for index in 0..dataset.len() {
        if let Some(members) = by_class.get_mut(dataset.label(index)?) {
            members.push(index);
        }
    }
    let longest = by_class.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|turn| by_class.iter().filter_map(move |all| all.get(turn)));
    let chosen: Vec<usize> = turns.copied().take(count).collect();
    Ok(crate::tables::images(dataset, &chosen, device)?.0)
}

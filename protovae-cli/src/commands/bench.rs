//! `protovae bench`.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use protovae_backbones::kernels::{linear, operations, release_memory};
use protovae_core::ImageShape;
use protovae_core::device::on_workers;
use protovae_core::model::{BoxModel, Mode, ModelSpec};
use protovae_core::plugin::Target;
use protovae_core::random::Initializer;
use protovae_core::train::{Batch, HostBatch, Learner};
use protovae_explain::explainers;
use serde_json::{Value, json};

use crate::args::{BenchArgs, ConfigSource, DeviceArgs};
use crate::config::{self, RunConfig};
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::{presets, session};

/// Size of the matrix products that stand for the machine's limit.
const LIMIT_SIZE: usize = 1024;

pub fn run(arguments: &BenchArgs, voice: Voice) -> Result<()> {
    let device = session::device(&arguments.device, voice)?;
    if arguments.steps == 0 {
        return Err(CliError::Usage("--steps must be at least 1".to_string()));
    }
    let names: Vec<String> = if arguments.preset.is_empty() {
        presets::all()
            .into_iter()
            .map(|preset| preset.name)
            .collect()
    } else {
        arguments.preset.clone()
    };
    // Every name and setting is checked before minutes go by.
    let prepared: Vec<Prepared> = names
        .iter()
        .map(|name| Prepared::new(name, arguments))
        .collect::<Result<_>>()?;
    let peak = matrix_product_rate(&device);
    voice.line(format!(
        "{} on {} threads; a product of {LIMIT_SIZE}x{LIMIT_SIZE} matrices runs at {:.0} GFLOP/s",
        arguments.device.device.name(),
        rayon::current_num_threads(),
        peak / 1e9
    ))?;
    voice.line(format!(
        "{:<24} {:>5} {:>12} {:>8} {:>12} {:>8} {:>9}",
        "preset", "batch", "train img/s", "of peak", "eval img/s", "of peak", "peak MiB"
    ))?;
    for prepared in prepared {
        let preset = prepared.preset.clone();
        let found = measure(prepared, arguments, &device)?;
        voice.line(format!(
            "{:<24} {:>5} {:>12.1} {:>8} {:>12.1} {:>8} {:>9}",
            preset.name,
            found.batch_size,
            found.train.median,
            share(found.train.share(peak)),
            found.evaluation.median,
            share(found.evaluation.share(peak)),
            found
                .peak_mib
                .map_or("-".to_string(), |mib| mib.to_string()),
        ))?;
        if let Some(maps) = found.relevance_maps {
            voice.line(format!("  {maps:.0} relevance maps a second"))?;
        }
        voice.object(&found.json(&preset.name, peak))?;
    }
    Ok(())
}

/// A share as text.
fn share(value: Option<f64>) -> String {
    value.map_or("-".to_string(), |value| format!("{:.0} %", 100.0 * value))
}

/// Images a second.
struct Rate {
    median: f64,
    best: f64,
    /// Floating-point operations an image, as far as the kernels count them.
    operations: f64,
    /// Seconds an image of all threads together, where the system says.
    processor_seconds: Option<f64>,
}

impl Rate {
    /// Of `count` images a call of `work`.
    fn measure(count: usize, steps: usize, mut work: impl FnMut()) -> Self {
        let before = operations();
        let computed = processor_seconds();
        let mut seconds: Vec<f64> = (0..steps)
            .map(|_| {
                let begun = Instant::now();
                work();
                begun.elapsed().as_secs_f64()
            })
            .collect();
        let images = (steps * count) as f64;
        let processor_seconds = processor_seconds().zip(computed);
        seconds.sort_by(f64::total_cmp);
        let at = |index: usize| seconds.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: count as f64 / at(steps / 2),
            best: count as f64 / at(0),
            operations: (operations() - before) as f64 / images,
            processor_seconds: processor_seconds.map(|(ended, begun)| (ended - begun) / images),
        }
    }

    /// The share of `peak` operations a second; none where the kernels of the CPU are not used.
    fn share(&self, peak: f64) -> Option<f64> {
        (self.operations > 0.0).then_some(self.median * self.operations / peak)
    }
}

struct Found {
    batch_size: usize,
    train: Rate,
    evaluation: Rate,
    peak_mib: Option<u64>,
    /// A second; none where not asked for, or without prototypes.
    relevance_maps: Option<f64>,
}

impl Found {
    fn json(&self, preset: &str, peak: f64) -> Value {
        json!({
            "preset": preset,
            "batch_size": self.batch_size,
            "threads": rayon::current_num_threads(),
            "train_images_per_second": self.train.median,
            "train_images_per_second_best": self.train.best,
            "evaluation_images_per_second": self.evaluation.median,
            "evaluation_images_per_second_best": self.evaluation.best,
            "train_processor_seconds_per_image": self.train.processor_seconds,
            "evaluation_processor_seconds_per_image": self.evaluation.processor_seconds,
            "train_operations_per_image": self.train.operations,
            "evaluation_operations_per_image": self.evaluation.operations,
            "train_share_of_peak": self.train.share(peak),
            "evaluation_share_of_peak": self.evaluation.share(peak),
            "peak_mib": self.peak_mib,
            "relevance_maps_per_second": self.relevance_maps,
            "matrix_product_gflops": peak / 1e9,
        })
    }
}

/// A preset and its configuration with the command line's overrides.
struct Prepared {
    preset: presets::Preset,
    config: RunConfig,
}

impl Prepared {
    fn new(name: &str, arguments: &BenchArgs) -> Result<Self> {
        let preset = presets::find(name)?;
        let source = ConfigSource {
            preset: Some(preset.name.clone()),
            set: arguments.set.clone(),
            ..ConfigSource::default()
        };
        let mut config = config::load(&source)?.config;
        if let Some(batch_size) = arguments.batch {
            config.training.batch_size = batch_size;
        }
        config.training.check("training")?;
        session::check_precision(&arguments.device, config.training.precision)?;
        Ok(Self { preset, config })
    }
}

fn measure(prepared: Prepared, arguments: &BenchArgs, device: &Device) -> Result<Found> {
    let Prepared { preset, config } = prepared;
    let (spec, batch_size) = (preset.spec, config.training.batch_size);
    release_memory();
    reset_peak_memory();
    let autodiff = device.clone().autodiff();
    let mut init = Initializer::new(config.seed, &autodiff);
    let model = config.model.build(&spec, &mut init)?;
    let host = images(&spec, batch_size, &mut init);
    // As in the last epoch, when a loss whose terms are switched on one after the other has all of them.
    let epoch = config.training.epochs.saturating_sub(1) as u64;
    let batch = |host: HostBatch, device: &Device| -> Result<Batch> {
        let (image, classes) = (spec.image, spec.classes);
        let batch = Batch::new(host, image, classes, config.seed, epoch, device)?;
        Ok(batch)
    };

    let parts = host.clone().into_parts(config.training.batch_parts);
    let parts: Vec<Batch> = parts
        .into_iter()
        .map(|part| batch(part, &autodiff))
        .collect::<Result<_>>()?;
    let mut learner = Some(Learner::new(model, &config.training)?);
    let mut step = || {
        learner = learner
            .take()
            .map(|learner| learner.step_in_parts(&parts, 1));
        wait(&autodiff);
    };
    for _ in 0..arguments.warmup {
        step();
    }
    let train = Rate::measure(batch_size, arguments.steps, step);
    let peak_mib = peak_memory();

    let on_device = batch(host, device)?;
    let model = learner.map(|learner| learner.model().valid());
    let evaluate = || {
        if let Some(model) = &model {
            look(model, &on_device);
        }
        wait(device);
    };
    for _ in 0..arguments.warmup {
        evaluate();
    }
    let evaluation = Rate::measure(batch_size, arguments.steps, evaluate);
    let relevance_maps = match &model {
        Some(model) => relevance_maps(model, arguments, &mut init, device)?,
        None => None,
    };
    Ok(Found {
        batch_size,
        train,
        evaluation,
        peak_mib,
        relevance_maps,
    })
}

/// Maps a second of `prp`, each image for every prototype.
fn relevance_maps(
    model: &BoxModel,
    arguments: &BenchArgs,
    init: &mut Initializer,
    device: &Device,
) -> Result<Option<f64>> {
    let prototypes = model
        .prototypes()
        .map_or(0, |bank| bank.classes * bank.per_class);
    if arguments.explain == 0 || prototypes == 0 {
        return Ok(None);
    }
    let ImageShape {
        channels,
        height,
        width,
    } = model.image_shape();
    let shape = [arguments.explain, channels, height, width];
    let values = init.uniform(shape, -1.0, 1.0).val().into_data();
    let images = Tensor::<4>::from_data(values, device);
    let targets: Vec<Target> = (0..prototypes).map(Target::Prototype).collect();
    let explainer = explainers::named("prp")?;
    let explain = || -> Result<()> {
        let found = explainer.explain(model, images.clone(), &targets)?;
        std::hint::black_box(found.relevance.into_data());
        Ok(())
    };
    // Whatever keeps the model from being explained is said once, before it is timed.
    explain()?;
    let rate = Rate::measure(arguments.explain * prototypes, arguments.steps, || {
        let _ = explain();
    });
    Ok(Some(rate.median))
}

/// All terms and logits of a batch.
fn look(model: &BoxModel, batch: &Batch) {
    let device = batch.images.device();
    on_workers(&device, || {
        std::hint::black_box(model.losses(batch, Mode::Evaluation).total());
    });
}

/// Until the device is done; what a CPU computes is computed already.
fn wait(device: &Device) {
    let _ = device.sync();
}

/// A batch of noise; arithmetic takes as long on it as on pictures.
fn images(spec: &ModelSpec, count: usize, init: &mut Initializer) -> HostBatch {
    let ImageShape {
        channels,
        height,
        width,
    } = spec.image;
    let values = init.uniform([count, channels, height, width], -1.0, 1.0);
    HostBatch {
        images: values.val().into_data().iter::<f32>().collect(),
        labels: (0..count).map(|index| index % spec.classes).collect(),
        indices: (0..count as u64).collect(),
        shape: spec.image,
    }
}

/// Floating-point operations a second of large matrix products, the fastest thing that the device does for a network.
fn matrix_product_rate(device: &Device) -> f64 {
    let shape = [LIMIT_SIZE, LIMIT_SIZE];
    let random = || Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), device);
    let (a, b) = (random(), random());
    let zeros = Tensor::<1>::zeros([LIMIT_SIZE], device);
    let product = || {
        on_workers(device, || {
            std::hint::black_box(linear(a.clone(), b.clone(), zeros.clone()));
        });
        wait(device);
    };
    product();
    let rate = Rate::measure(1, 25, product);
    2.0 * (LIMIT_SIZE as f64).powi(3) * rate.best
}

/// Seconds that this process's threads have computed so far, where the system says (Linux): on a busy machine they tell more
/// than the time that went by.
fn processor_seconds() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    Some(nanoseconds.sum::<f64>() / 1e9)
}

/// Forgets the highest memory use so far, where the system can (Linux).
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The highest memory use of this process since the last reset, in MiB, where the system says (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// Images a second in training and in evaluation, from a few steps: enough to say how long something will take.
pub fn rates(config: RunConfig, spec: ModelSpec, device: &Device) -> Result<[f64; 2]> {
    let arguments = BenchArgs {
        preset: Vec::new(),
        set: Vec::new(),
        batch: None,
        steps: 3,
        warmup: 1,
        explain: 0,
        device: DeviceArgs::default(),
    };
    let preset = presets::Preset {
        name: String::new(),
        about: String::new(),
        config: Value::Null,
        spec,
    };
    let found = measure(Prepared { preset, config }, &arguments, device)?;
    Ok([found.train.median, found.evaluation.median])
}

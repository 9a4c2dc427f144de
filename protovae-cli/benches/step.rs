//! A whole training step and a whole evaluation step of every network, as `protovae bench` takes them.
//!
//! `cargo bench --workspace --bench step -- mnist` for some of them.

// criterion's macro makes public functions.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protovae_cli::args::ConfigSource;
use protovae_cli::{config, presets};
use protovae_core::device::on_workers;
use protovae_core::model::Mode;
use protovae_core::random::Initializer;
use protovae_core::train::{Batch, HostBatch, Learner};

fn step(criterion: &mut Criterion, preset: &presets::Preset) -> protovae_cli::Result<()> {
    let source = ConfigSource {
        preset: Some(preset.name.clone()),
        ..ConfigSource::default()
    };
    let config = config::load(&source)?.config;
    let (spec, batch_size) = (preset.spec, config.training.batch_size);
    let host = HostBatch {
        images: vec![0.25; batch_size * spec.image.values()],
        labels: (0..batch_size).map(|index| index % spec.classes).collect(),
        indices: (0..batch_size as u64).collect(),
        shape: spec.image,
    };
    let batch = |device: &Device| Batch::new(host.clone(), spec.image, spec.classes, 0, 0, device);

    let device = Device::flex().autodiff();
    let model = config
        .model
        .build(&spec, &mut Initializer::new(0, &device))?;
    let (plain, batches) = (model.valid(), [batch(&device)?, batch(&Device::flex())?]);
    let mut learner = Some(Learner::new(model, &config.training)?);
    let mut group = criterion.benchmark_group(&preset.name);
    group.throughput(Throughput::Elements(batch_size as u64));
    group.bench_function("train", |bencher| {
        bencher.iter(|| learner = learner.take().map(|learner| learner.step(&batches[0])));
    });
    group.bench_function("evaluate", |bencher| {
        bencher.iter(|| {
            on_workers(&Device::flex(), || {
                black_box(plain.losses(&batches[1], Mode::Evaluation).total());
            });
        });
    });
    group.finish();
    Ok(())
}

#[allow(clippy::panic)]
fn steps(criterion: &mut Criterion) {
    for preset in presets::all() {
        if let Err(error) = step(criterion, &preset) {
            panic!("{}: {error}", preset.name);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = steps
}
criterion_main!(benches);

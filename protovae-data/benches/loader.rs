//! Images a second from a set in memory of CIFAR-10's shape, with and without augmentation, by one thread and by two.
//!
//! `cargo bench -p protovae-data --bench loader -- everything` for some of them.

// criterion's macro makes public functions.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use protovae_data::{
    AugmentationConfig, ColorJitterConfig, ImageShape, InMemoryDataset, Loader, LoaderConfig, Order,
};

const IMAGES: usize = 8192;
const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

fn noise() -> InMemoryDataset {
    let mut state = 1u32;
    let bytes = (0..IMAGES * SHAPE.pixels()).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    InMemoryDataset::new(SHAPE, bytes.collect(), vec![0; IMAGES]).unwrap()
}

fn epochs(criterion: &mut Criterion) {
    let set = Arc::new(noise());
    let moved = AugmentationConfig {
        crop_padding: 2,
        flip: 0.5,
        jitter: None,
    };
    let everything = AugmentationConfig {
        jitter: Some(ColorJitterConfig {
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.2,
            hue: 0.1,
        }),
        ..moved
    };
    let mut group = criterion.benchmark_group("loader");
    group.throughput(Throughput::Elements(IMAGES as u64));
    for (name, augmentation) in [
        ("plain", AugmentationConfig::default()),
        ("crop-flip", moved),
        ("everything", everything),
    ] {
        for threads in [1, 2] {
            let config = LoaderConfig {
                threads,
                order: Order::Shuffled { seed: 1 },
                ..LoaderConfig::default()
            };
            let loader = Loader::new(Arc::<InMemoryDataset>::clone(&set), config)
                .and_then(|loader| loader.augmented(augmentation, 1))
                .unwrap();
            let mut epoch = 0;
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter(|| {
                    for batch in loader.epoch(epoch, 0) {
                        black_box(batch.unwrap());
                    }
                    epoch += 1;
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = epochs
}
criterion_main!(benches);

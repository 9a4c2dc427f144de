//! Relevance maps of the prototypes of the paper's MNIST model: 50 prototypes × 20 images, and one image alone.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{ExplainerConfig, Target};
use protovae_core::random::Initializer;
use protovae_explain::relevance::PrototypicalRelevance;

fn model() -> BoxModel {
    let recipe = r#"{"type": "protovae", "latent_dimensions": 256, "prototypes_per_class": 5,
        "encoder": {"type": "conv-pool", "widths": [32, 64]},
        "decoder": {"type": "conv-transpose", "start": [64, 7, 7], "stages": [{"transpose": 32}, {"transpose": 32}]},
        "head": {"type": "prototype"}}"#;
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: ImageShape::new(1, 28, 28),
        classes: 10,
    };
    let mut init = Initializer::new(0, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap().valid()
}

fn relevance(criterion: &mut Criterion) {
    let device = Device::flex();
    let model = model();
    let targets: Vec<Target> = (0..50).map(Target::Prototype).collect();
    let explainer = PrototypicalRelevance::default().build().unwrap();
    let mut group = criterion.benchmark_group("relevance");
    group.sample_size(10);
    for images in [1, 20] {
        let pixels = Tensor::<4>::random(
            [images, 1, 28, 28],
            Distribution::Uniform(-1.0, 1.0),
            &device,
        );
        group.throughput(Throughput::Elements(50 * images as u64));
        group.bench_function(format!("50 prototypes x {images} images"), |bencher| {
            bencher.iter(|| {
                let found = explainer.explain(&model, pixels.clone(), &targets).unwrap();
                black_box(found.relevance.into_data())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, relevance);
criterion_main!(benches);

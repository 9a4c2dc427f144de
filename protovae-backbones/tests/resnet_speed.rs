//! How fast the ResNet-18 encoder trains and encodes, to be read beside `golden/resnet.py --time`:
//! `cargo test --workspace --release --test resnet_speed -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

mod common;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use protovae_backbones::encoders::ResNet18Config;
use protovae_backbones::kernels::{Maps, operations};
use protovae_core::ImageShape;
use protovae_core::plugin::{EncoderConfig, EncoderSpec};
use protovae_core::random::Initializer;

use common::noise;

/// Seconds that this process's threads have computed so far; none if the system does not say.
fn computed() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    Some(nanoseconds.sum::<f64>() / 1e9)
}

/// The least time of several runs and the processor time of all threads, which tells more on a busy machine, in
/// milliseconds.
fn report(what: &str, times: usize, mut run: impl FnMut()) {
    let (mut least, mut least_computed) = (f64::INFINITY, f64::INFINITY);
    let before = operations();
    for _ in 0..times {
        let (start, began) = (Instant::now(), computed());
        run();
        least = least.min(start.elapsed().as_secs_f64());
        if let (Some(began), Some(ended)) = (began, computed()) {
            least_computed = least_computed.min(ended - began);
        }
    }
    let billions = (operations() - before) as f64 / times as f64 / 1e9;
    let (least, least_computed) = (least * 1000.0, least_computed * 1000.0);
    println!("{what}: {least:.1} ms, computed {least_computed:.1} ms, {billions:.2} GFLOP");
}

#[test]
#[ignore = "a measurement"]
fn whole_network() {
    let device = Device::flex();
    let autodiff = device.clone().autodiff();
    for (size, batch) in [(32, 64), (224, 8)] {
        let spec = EncoderSpec {
            image: ImageShape::new(3, size, size),
            latent_dimensions: 256,
        };
        let mut init = Initializer::new(0, &autodiff);
        let encoder = ResNet18Config::default().build(&spec, &mut init).unwrap();
        let images: Tensor<4> = noise([batch, 3, size, size], 1, &device);
        let tracked = Tensor::from_inner(images.clone());
        let times = if size == 32 { 8 } else { 3 };
        report(
            &format!("training {batch}×3×{size}×{size}"),
            times,
            || {
                let posterior = encoder.encode(tracked.clone());
                let loss = posterior.mean.sum() + posterior.log_variance.sum();
                std::hint::black_box(loss.backward());
            },
        );
        let encoder = encoder.valid();
        report(
            &format!("evaluation {batch}×3×{size}×{size}"),
            times,
            || {
                let mean = encoder.encode(images.clone()).mean;
                std::hint::black_box(mean.into_data());
            },
        );
    }
}

/// Each kind of layer on its own, forward and backward, at the sizes that it has for images of 32 and 224 pixels.
#[test]
#[ignore = "a measurement"]
fn layer_by_layer() {
    let device = Device::flex().autodiff();
    for (size, batch) in [(32usize, 64), (224, 8)] {
        let random = |shape: [usize; 4]| noise(shape, 1, &device).require_grad();
        let maps = |channels: usize, side: usize| random([batch, channels, side, side]);
        let backward = |maps: &Maps| drop(maps.clone().global_average().sum().backward());
        let [half, quarter] = [size / 2, size / 4];
        let mut layers = vec![("conv1", 3, 64, 7, 2, size)];
        for (group, width) in [64, 128, 256, 512].into_iter().enumerate() {
            let side = quarter >> group;
            if group > 0 {
                layers.push(("first", width / 2, width, 3, 2, 2 * side));
                layers.push(("downsample", width / 2, width, 1, 2, 2 * side));
            }
            layers.push(("inner", width, width, 3, 1, side));
        }
        for (name, inputs, outputs, kernel, stride, side) in layers {
            let weight = random([outputs, inputs, kernel, kernel]);
            let bias = Tensor::<1>::zeros([outputs], &device);
            let input = maps(inputs, side);
            let input = if name == "conv1" {
                input.detach()
            } else {
                input
            };
            let run = |input: Maps| {
                let (weight, bias) = (weight.clone(), bias.clone());
                input.conv2d(weight, bias, stride, kernel / 2)
            };
            let what = format!("{size}: {name} {inputs}-{outputs} {side}×{side}");
            let blocks = Maps::new(input.clone());
            report(&format!("{what} forward"), 4, || drop(run(blocks.clone())));
            // A graph can be run backward once.
            let rounds = (0..4).map(|_| run(Maps::new(input.clone())));
            let mut rounds: Vec<Maps> = rounds.collect();
            report(&format!("{what} backward"), 4, || {
                backward(&rounds.pop().unwrap());
            });
        }
        let input = maps(64, half);
        let blocks = Maps::new(input.clone());
        let what = format!("{size}: max pool");
        report(&format!("{what} forward"), 4, || {
            drop(blocks.clone().max_pool2d(3, 2, 1));
        });
        let rounds = (0..4).map(|_| Maps::new(input.clone()).max_pool2d(3, 2, 1));
        let mut rounds: Vec<Maps> = rounds.collect();
        report(&format!("{what} backward, and into images"), 4, || {
            backward(&rounds.pop().unwrap());
        });
        let vector = || Tensor::<1>::ones([64], &device).require_grad();
        let normalise = || {
            blocks
                .clone()
                .batch_norm(vector(), vector(), 1e-5, true)
                .maps
        };
        let what = format!("{size}: batch norm");
        report(&format!("{what} forward"), 4, || drop(normalise()));
        let maps = Maps::new(input.clone());
        report(&format!("{what}: sum and ReLU"), 4, || {
            drop(maps.clone().add_relu(blocks.clone()));
        });
    }
}

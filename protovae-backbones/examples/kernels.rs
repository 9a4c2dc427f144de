//! Times every layer of the MNIST and CIFAR-10 networks, forward and forward + backward, against burn's own operations.
//!
//! `cargo run --release --example kernels -- [mnist|cifar10|all] [repeats] [ours]`. The two are timed in turn, so that a busy machine
//! slows both; trust the ratios. With `CPU_TIME` set (Linux), times are those that all threads spent on a processor.
#![allow(clippy::print_stdout)]

use std::sync::LazyLock;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use protovae_backbones::kernels::{Maps, stock};

/// A layer by its sizes.
#[derive(Clone, Copy)]
enum Layer {
    /// Input and output channels, size of the map; 3×3, padding 1.
    Convolution(usize, usize, usize),
    /// Input and output channels, size of the input; 4×4, stride 2, padding 1.
    Transposed(usize, usize, usize),
    /// Channels, size of the map, whether it is pooled.
    Normalisation(usize, usize, bool),
}

use Layer::{Convolution, Normalisation, Transposed};

const MNIST: &[Layer] = &[
    Convolution(1, 32, 28),
    Normalisation(32, 28, true),
    Convolution(32, 64, 14),
    Normalisation(64, 14, true),
    Normalisation(3136, 1, false),
    Convolution(64, 32, 7),
    Normalisation(32, 7, false),
    Transposed(32, 32, 7),
    Normalisation(32, 14, false),
    Convolution(32, 32, 14),
    Normalisation(32, 14, false),
    Transposed(32, 32, 14),
    Normalisation(32, 28, false),
    Convolution(32, 1, 28),
];

const CIFAR10: &[Layer] = &[
    Convolution(3, 32, 32),
    Normalisation(32, 32, true),
    Convolution(32, 64, 16),
    Normalisation(64, 16, true),
    Convolution(64, 128, 8),
    Normalisation(128, 8, true),
    Convolution(128, 256, 4),
    Normalisation(256, 4, true),
    Normalisation(1024, 1, false),
    Convolution(256, 128, 2),
    Normalisation(128, 2, false),
    Transposed(128, 128, 2),
    Normalisation(128, 4, false),
    Convolution(128, 64, 4),
    Normalisation(64, 4, false),
    Transposed(64, 64, 4),
    Normalisation(64, 8, false),
    Convolution(64, 32, 8),
    Normalisation(32, 8, false),
    Transposed(32, 32, 8),
    Normalisation(32, 16, false),
    Convolution(32, 32, 16),
    Normalisation(32, 16, false),
    Transposed(32, 32, 16),
    Normalisation(32, 32, false),
    Convolution(32, 3, 32),
];

const BATCH: usize = 128;

/// Milliseconds of the forward pass and of both passes.
fn time(layer: Layer, first: bool, ours: bool, device: &Device) -> [f64; 2] {
    let random =
        |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), device);
    let vector = |length: usize| {
        Tensor::<1>::random([length], Distribution::Normal(0.0, 1.0), device).require_grad()
    };
    let (shape, weight, out) = match layer {
        Convolution(inputs, outputs, size) => (
            [BATCH, inputs, size, size],
            [outputs, inputs, 3, 3],
            outputs,
        ),
        Transposed(inputs, outputs, size) => (
            [BATCH, inputs, size, size],
            [inputs, outputs, 4, 4],
            outputs,
        ),
        Normalisation(channels, size, _) => ([BATCH, channels, size, size], [1; 4], channels),
    };
    let input = random(shape);
    // The first layer's input needs no gradient.
    let input = if first { input } else { input.require_grad() };
    let (weight, bias, scale) = (random(weight).require_grad(), vector(out), vector(out));
    if ours {
        let input = Maps::new(input);
        let start = now();
        let output = match layer {
            Convolution(..) => input.conv2d(weight, bias, 1, 1),
            Transposed(..) => input.conv_transpose2d(weight, bias, 2, 1),
            Normalisation(.., pool) => input.relu_batch_norm(scale, bias, 1e-5, pool).maps,
        };
        let forward = now() - start;
        // A gradient of full size without the cost of a real loss.
        let loss = output.into_images().sum();
        let start = now();
        let gradients = loss.backward();
        let backward = now() - start;
        drop(gradients);
        return [forward, forward + backward];
    }
    let start = now();
    let output = match layer {
        Convolution(..) => stock::conv2d(input, weight, bias, 1, 1),
        Transposed(..) => stock::conv_transpose2d(input, weight, bias, 2, 1),
        Normalisation(.., pool) => stock::relu_batch_norm(input, scale, bias, 1e-5, pool).output,
    };
    let forward = now() - start;
    // A gradient of full size without the cost of a real loss.
    let loss = output.sum();
    let start = now();
    let gradients = loss.backward();
    let backward = now() - start;
    drop(gradients);
    [forward, forward + backward]
}

/// Milliseconds of wall time, or (`CPU_TIME` set; Linux) of all threads' time on a processor.
fn now() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    if std::env::var_os("CPU_TIME").is_none() {
        return START.elapsed().as_secs_f64() * 1e3;
    }
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    nanoseconds as f64 / 1e6
}

fn best(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.first().copied().unwrap_or(f64::NAN)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let repeats = arguments
        .get(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(7usize)
        .max(1);
    let only_ours = arguments.get(2).is_some_and(|text| text == "ours");
    let device = Device::flex().autodiff();
    for (name, layers) in [("mnist", MNIST), ("cifar10", CIFAR10)] {
        if arguments
            .first()
            .is_some_and(|wanted| wanted != name && wanted != "all")
        {
            continue;
        }
        println!("{name}, batch {BATCH}, ms: ours / stock (ratio)");
        let mut totals = [0.0; 4];
        for (index, &layer) in layers.iter().enumerate() {
            let mut times = [const { Vec::new() }; 4];
            for _ in 0..=repeats {
                for (ours, columns) in [(true, [0, 1]), (false, [2, 3])] {
                    if !ours && only_ours {
                        continue;
                    }
                    for (value, column) in time(layer, index == 0, ours, &device)
                        .into_iter()
                        .zip(columns)
                    {
                        times[column].push(value);
                    }
                }
            }
            let times = times.map(best);
            for (total, time) in totals.iter_mut().zip(times) {
                *total += time;
            }
            let label = match layer {
                Convolution(inputs, outputs, size) => format!("conv {inputs}->{outputs} @{size}"),
                Transposed(inputs, outputs, size) => {
                    format!("transposed {inputs}->{outputs} @{size}")
                }
                Normalisation(channels, size, pool) => {
                    format!("norm {channels} @{size}{}", if pool { " pool" } else { "" })
                }
            };
            line(&label, times);
        }
        line("sum", totals);
    }
}

fn line(label: &str, [forward, both, stock_forward, stock_both]: [f64; 4]) {
    println!(
        "{label:24} forward {forward:7.2} / {stock_forward:7.2} ({:4.1})   both {both:7.2} / {stock_both:7.2} ({:4.1})",
        stock_forward / forward,
        stock_both / both
    );
}

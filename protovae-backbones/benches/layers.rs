//! Every layer of the MNIST and CIFAR-10 networks at batch 128: forward, and forward + backward, by the kernels and by burn's
//! own operations.
//!
//! `cargo bench --workspace --bench layers -- mnist` for some of them. Both ways are timed in turn within a group,
//! so that ratios hold on a busy machine too. The backward pass of the kernels includes one conversion of its gradient into
//! the layout of the kernels, which a network does once for all its layers.

// criterion's macro makes public functions.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use protovae_backbones::kernels::{self, Maps, stock};

const BATCH: usize = 128;

/// A layer by its sizes.
#[derive(Clone, Copy)]
enum Layer {
    /// Input and output channels, size of the map; 3×3, padding 1.
    Convolution(usize, usize, usize),
    /// Input and output channels, size of the input; 4×4, stride 2, padding 1.
    Transposed(usize, usize, usize),
    /// Channels, size of the map, whether it is pooled.
    Normalisation(usize, usize, bool),
    /// Inputs and outputs.
    Linear(usize, usize),
}

use Layer::{Convolution, Linear, Normalisation, Transposed};

const MNIST: &[Layer] = &[
    Convolution(1, 32, 28),
    Normalisation(32, 28, true),
    Convolution(32, 64, 14),
    Normalisation(64, 14, true),
    Linear(3136, 512),
    Linear(512, 512),
    Linear(256, 3136),
    Normalisation(3136, 1, false),
    Convolution(64, 32, 7),
    Transposed(32, 32, 7),
    Convolution(32, 32, 14),
    Transposed(32, 32, 14),
    Normalisation(32, 28, false),
    Convolution(32, 1, 28),
];

const CIFAR10: &[Layer] = &[
    Convolution(3, 32, 32),
    Normalisation(32, 32, true),
    Convolution(32, 64, 16),
    Convolution(64, 128, 8),
    Convolution(128, 256, 4),
    Linear(1024, 1024),
    Convolution(256, 128, 2),
    Transposed(128, 128, 2),
    Convolution(128, 64, 4),
    Transposed(64, 64, 4),
    Convolution(64, 32, 8),
    Transposed(32, 32, 8),
    Convolution(32, 32, 16),
    Transposed(32, 32, 16),
    Normalisation(32, 32, false),
    Convolution(32, 3, 32),
];

impl Layer {
    fn name(self) -> String {
        match self {
            Convolution(inputs, outputs, size) => format!("conv {inputs}-{outputs} {size}x{size}"),
            Transposed(inputs, outputs, size) => {
                format!("transposed {inputs}-{outputs} {size}x{size}")
            }
            Normalisation(channels, size, pool) => {
                let pool = if pool { " pool" } else { "" };
                format!("relu-norm{pool} {channels} {size}x{size}")
            }
            Linear(inputs, outputs) => format!("linear {inputs}-{outputs}"),
        }
    }

    /// Input, weight, and two vectors.
    fn tensors(self, device: &Device) -> (Tensor<4>, Tensor<4>, [Tensor<1>; 2]) {
        let (input, weight, outputs) = match self {
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
            Linear(inputs, outputs) => ([BATCH, inputs, 1, 1], [inputs, outputs, 1, 1], outputs),
        };
        let distribution = Distribution::Normal(0.0, 1.0);
        let random = |shape: [usize; 4]| {
            let tensor = Tensor::<4>::random(shape, distribution, device);
            if device.is_autodiff() {
                tensor.require_grad()
            } else {
                tensor
            }
        };
        let vector = || {
            let tensor = Tensor::<1>::random([outputs], distribution, device);
            if device.is_autodiff() {
                tensor.require_grad()
            } else {
                tensor
            }
        };
        (random(input), random(weight), [vector(), vector()])
    }

    fn ours(self, input: Maps, weight: Tensor<4>, [scale, shift]: [Tensor<1>; 2]) -> Maps {
        match self {
            Convolution(..) => input.conv2d(weight, shift, 1, 1),
            Transposed(..) => input.conv_transpose2d(weight, shift, 2, 1),
            Normalisation(.., pool) => input.relu_batch_norm(scale, shift, 1e-5, pool).maps,
            Linear(..) => input,
        }
    }

    fn stock(
        self,
        input: Tensor<4>,
        weight: Tensor<4>,
        [scale, shift]: [Tensor<1>; 2],
    ) -> Tensor<4> {
        match self {
            Convolution(..) => stock::conv2d(input, weight, shift, 1, 1),
            Transposed(..) => stock::conv_transpose2d(input, weight, shift, 2, 1),
            Normalisation(.., pool) => {
                stock::relu_batch_norm(input, scale, shift, 1e-5, pool).output
            }
            Linear(..) => input,
        }
    }

    /// A fully connected layer, or none if this is another.
    fn linear(
        self,
        ours: bool,
        input: &Tensor<4>,
        weight: &Tensor<4>,
        bias: &Tensor<1>,
    ) -> Option<Tensor<2>> {
        let Linear(inputs, outputs) = self else {
            return None;
        };
        let input = input.clone().reshape([BATCH, inputs]);
        let weight = weight.clone().reshape([inputs, outputs]);
        let run = if ours { kernels::linear } else { stock::linear };
        Some(run(input, weight, bias.clone()))
    }

    fn forward(
        self,
        ours: bool,
        blocks: &Maps,
        input: &Tensor<4>,
        weight: &Tensor<4>,
        vectors: &[Tensor<1>; 2],
    ) {
        if let Some(output) = self.linear(ours, input, weight, &vectors[1]) {
            black_box(output);
        } else if ours {
            black_box(self.ours(blocks.clone(), weight.clone(), vectors.clone()));
        } else {
            black_box(self.stock(input.clone(), weight.clone(), vectors.clone()));
        }
    }

    fn both(
        self,
        ours: bool,
        blocks: &Maps,
        input: &Tensor<4>,
        weight: &Tensor<4>,
        vectors: &[Tensor<1>; 2],
    ) {
        let loss = if let Some(output) = self.linear(ours, input, weight, &vectors[1]) {
            output.sum()
        } else if ours {
            let output = self.ours(blocks.clone(), weight.clone(), vectors.clone());
            output.into_images().sum()
        } else {
            self.stock(input.clone(), weight.clone(), vectors.clone())
                .sum()
        };
        black_box(loss.backward());
    }
}

fn layers(criterion: &mut Criterion) {
    for (network, layers) in [("mnist", MNIST), ("cifar-10", CIFAR10)] {
        for &layer in layers {
            for (pass, device) in [
                ("forward", Device::flex()),
                ("both", Device::flex().autodiff()),
            ] {
                let name = format!("{network} {} {pass}", layer.name());
                let mut group = criterion.benchmark_group(name);
                let (input, weight, vectors) = layer.tensors(&device);
                for (way, ours) in [("kernels", true), ("burn", false)] {
                    group.bench_function(way, |bencher| {
                        // A graph can be run backward once, so each pass gets its own maps, made outside of the time.
                        bencher.iter_batched(
                            || Maps::new(input.clone()),
                            |blocks| {
                                if pass == "forward" {
                                    layer.forward(ours, &blocks, &input, &weight, &vectors);
                                } else {
                                    layer.both(ours, &blocks, &input, &weight, &vectors);
                                }
                            },
                            BatchSize::PerIteration,
                        );
                    });
                }
                group.finish();
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = layers
}
criterion_main!(benches);

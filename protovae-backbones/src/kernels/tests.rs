#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::*;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.1, 1.0), device)
}

fn close(ours: &[Vec<f32>], stock: &[Vec<f32>]) {
    assert_eq!(ours.len(), stock.len());
    for (index, (ours, stock)) in ours.iter().zip(stock).enumerate() {
        assert_eq!(ours.len(), stock.len());
        let largest = stock
            .iter()
            .fold(1.0f32, |largest, value| largest.max(value.abs()));
        for (&a, &b) in ours.iter().zip(stock) {
            assert!(
                (a - b).abs() <= 1e-4 * largest,
                "tensor {index}: {a} against {b}, largest {largest}"
            );
        }
    }
}

type Layer<'a> = &'a dyn Fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;

/// Output and all gradients, for a loss that weighs every output value differently.
fn convolution_results(
    layer: Layer,
    input: &Tensor<4>,
    weight: &Tensor<4>,
    bias: &Tensor<1>,
) -> Vec<Vec<f32>> {
    let (x, w, b) = (
        input.clone().require_grad(),
        weight.clone().require_grad(),
        bias.clone().require_grad(),
    );
    let y = layer(x.clone(), w.clone(), b.clone());
    let gradients = loss(y.clone()).backward();
    vec![
        values(y),
        values(x.grad(&gradients).unwrap()),
        values(w.grad(&gradients).unwrap()),
        values(b.grad(&gradients).unwrap()),
    ]
}

fn loss(y: Tensor<4>) -> Tensor<1> {
    let shape = y.dims();
    let count = shape.iter().product::<usize>();
    let factors: Vec<f32> = (0..count)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
        .collect();
    let factors = Tensor::from_data(TensorData::new(factors, shape), &y.device());
    (y * factors).sum()
}

fn check_convolution(
    batch: usize,
    [inputs, outputs]: [usize; 2],
    size: [usize; 2],
    [kernel, stride, padding]: [usize; 3],
    transposed: bool,
) {
    let device = Device::flex().autodiff();
    let input = random([batch, inputs, size[0], size[1]], &device);
    let channels = if transposed {
        [inputs, outputs]
    } else {
        [outputs, inputs]
    };
    let weight = random([channels[0], channels[1], kernel, kernel], &device);
    let bias = random([outputs], &device);
    let (ours, stock): (Layer, Layer) = if transposed {
        (
            &|x, w, b| conv_transpose2d(x, w, b, stride, padding),
            &|x, w, b| stock::conv_transpose2d(x, w, b, stride, padding),
        )
    } else {
        (&|x, w, b| conv2d(x, w, b, stride, padding), &|x, w, b| {
            stock::conv2d(x, w, b, stride, padding)
        })
    };
    // The kernels must take the case, or stock would be compared with itself.
    let layout = layout::Layout::new(input.dims()).unwrap();
    let geometry = [stride, padding];
    let kernel = convolution::Convolution::new(layout, &weight, &bias, geometry, transposed);
    assert!(kernel.is_some());
    let results = convolution_results(ours, &input, &weight, &bias);
    close(
        &results,
        &convolution_results(stock, &input, &weight, &bias),
    );
    let plain = ours(input.inner(), weight.inner(), bias.inner());
    assert!(!plain.device().is_autodiff());
    assert_eq!(values(plain), results[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn convolution_agrees_with_stock(
        batch in 1..7usize, inputs in 1..6usize, outputs in 1..6usize, height in 1..10usize, width in 1..10usize,
        kernel in 1..5usize, stride in 1..4usize, padding in 0..3usize,
    ) {
        prop_assume!(height + 2 * padding >= kernel && width + 2 * padding >= kernel);
        check_convolution(batch, [inputs, outputs], [height, width], [kernel, stride, padding], false);
    }

    #[test]
    fn transposed_convolution_agrees_with_stock(
        batch in 1..7usize, inputs in 1..6usize, outputs in 1..6usize, height in 1..7usize, width in 1..7usize,
        kernel in 1..5usize, stride in 1..4usize, padding in 0..3usize,
    ) {
        prop_assume!((height - 1) * stride + kernel > 2 * padding && (width - 1) * stride + kernel > 2 * padding);
        check_convolution(batch, [inputs, outputs], [height, width], [kernel, stride, padding], true);
    }

    #[test]
    fn normalisation_agrees_with_stock(
        batch in 1..20usize, channels in 1..6usize, height in 1..10usize, width in 1..10usize, pool: bool,
    ) {
        prop_assume!(batch * height * width > 1);
        prop_assume!(!pool || (height > 1 && width > 1));
        check_normalisation([batch, channels, height, width], pool);
    }
}

fn normalisation_results(
    layer: &dyn Fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Vec<Tensor<4>>,
    input: &Tensor<4>,
    scale: &Tensor<1>,
    shift: &Tensor<1>,
) -> Vec<Vec<f32>> {
    let (x, a, b) = (
        input.clone().require_grad(),
        scale.clone().require_grad(),
        shift.clone().require_grad(),
    );
    let tensors = layer(x.clone(), a.clone(), b.clone());
    let gradients = loss(tensors[0].clone()).backward();
    let mut results: Vec<_> = tensors.into_iter().map(values).collect();
    results.push(values(x.grad(&gradients).unwrap()));
    results.push(values(a.grad(&gradients).unwrap()));
    results.push(values(b.grad(&gradients).unwrap()));
    results
}

fn flat(normalised: Normalised) -> Vec<Tensor<4>> {
    let row = |x: Tensor<1>| {
        let [length] = x.dims();
        assert!(!x.device().is_autodiff());
        x.reshape([1, length, 1, 1])
    };
    vec![
        normalised.output,
        row(normalised.mean),
        row(normalised.variance),
    ]
}

fn check_normalisation(shape: [usize; 4], pool: bool) {
    let device = Device::flex().autodiff();
    let input = random(shape, &device);
    let (scale, shift) = (random([shape[1]], &device), random([shape[1]], &device));
    let layout = layout::Layout::new(input.dims()).unwrap();
    assert!(normalisation::Normalisation::new(layout, &scale, &shift, pool).is_some());
    let run = |ours: bool| {
        normalisation_results(
            &|x, a, b| {
                flat(if ours {
                    relu_batch_norm(x, a, b, 1e-2, pool)
                } else {
                    stock::relu_batch_norm(x, a, b, 1e-2, pool)
                })
            },
            &input,
            &scale,
            &shift,
        )
    };
    let ours = run(true);
    close(&ours, &run(false));
    let plain = relu_batch_norm(
        input.clone().inner(),
        scale.clone().inner(),
        shift.clone().inner(),
        1e-2,
        pool,
    );
    assert!(!plain.output.device().is_autodiff());
    assert_eq!(values(plain.output), ours[0]);
    let run = |ours: bool| {
        normalisation_results(
            &|x, a, b| {
                vec![if ours {
                    relu_affine(x, a, b, pool)
                } else {
                    stock::relu_affine(x, a, b, pool)
                }]
            },
            &input,
            &scale,
            &shift,
        )
    };
    close(&run(true), &run(false));
}

/// The layers of the paper's networks, at a batch that needs several groups of images.
#[test]
fn layers_of_the_networks_agree_with_stock() {
    let device = Device::flex().autodiff();
    device.seed(1);
    for (channels, size) in [
        ([1, 32], 28),
        ([32, 1], 28),
        ([3, 32], 32),
        ([32, 64], 14),
        ([64, 32], 7),
        ([20, 24], 4),
        ([33, 17], 2),
    ] {
        check_convolution(19, channels, [size; 2], [3, 1, 1], false);
    }
    check_convolution(9, [32, 8], [14; 2], [3, 1, 2], false);
    check_convolution(9, [8, 16], [32; 2], [4, 2, 1], false);
    for size in [2, 3, 7, 14] {
        check_convolution(17, [16, 9], [size; 2], [4, 2, 1], true);
    }
    for (shape, pool) in [
        ([128, 300, 1, 1], false),
        ([70, 12, 2, 2], false),
        ([33, 8, 7, 7], true),
        ([33, 8, 28, 28], true),
        ([10, 8, 14, 14], false),
    ] {
        check_normalisation(shape, pool);
    }
}

/// Sums are cut in the same places whatever the number of threads.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let input = random([37, 5, 9, 9], &device);
    let (weight, transposed) = (random([7, 5, 3, 3], &device), random([5, 6, 4, 4], &device));
    let (bias, transposed_bias) = (random([7], &device), random([6], &device));
    let (scale, shift) = (random([5], &device), random([5], &device));
    let run = |threads: usize| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut results =
                convolution_results(&|x, w, b| conv2d(x, w, b, 1, 1), &input, &weight, &bias);
            results.extend(convolution_results(
                &|x, w, b| conv_transpose2d(x, w, b, 2, 1),
                &input,
                &transposed,
                &transposed_bias,
            ));
            for pool in [false, true] {
                results.extend(normalisation_results(
                    &|x, a, b| flat(relu_batch_norm(x, a, b, 1e-5, pool)),
                    &input,
                    &scale,
                    &shift,
                ));
            }
            results
        })
    };
    let one = run(1);
    assert!(one == run(2));
    assert!(one == run(4));
}

/// A gradient is only computed for what asks for one, and the others are right without it.
#[test]
fn gradients_can_be_wanted_singly() {
    let device = Device::flex().autodiff();
    let (input, weight, bias) = (
        random([3, 2, 5, 5], &device),
        random([4, 2, 3, 3], &device),
        random([4], &device),
    );
    let all = convolution_results(&|x, w, b| conv2d(x, w, b, 1, 1), &input, &weight, &bias);
    let w = weight.clone().require_grad();
    let gradients = loss(conv2d(input.clone(), w.clone(), bias.clone(), 1, 1)).backward();
    assert_eq!(values(w.grad(&gradients).unwrap()), all[2]);
    let x = input.require_grad();
    let gradients = loss(conv2d(x.clone(), weight, bias, 1, 1)).backward();
    assert_eq!(values(x.grad(&gradients).unwrap()), all[1]);
}

/// A network that has diverged must not look healthy: ReLU keeps NaN.
#[test]
fn a_nan_shows() {
    let device = Device::flex();
    let input = Tensor::<4>::full([2, 1, 4, 4], f32::NAN, &device);
    let one = Tensor::<1>::ones([1], &device);
    let normalised = relu_batch_norm(input.clone(), one.clone(), one.clone(), 1e-5, true);
    assert!(values(normalised.output).iter().all(|value| value.is_nan()));
    assert!(
        values(normalised.variance)
            .iter()
            .all(|value| value.is_nan())
    );
    assert!(
        values(relu_affine(input, one.clone(), one, false))
            .iter()
            .all(|value| value.is_nan())
    );
}

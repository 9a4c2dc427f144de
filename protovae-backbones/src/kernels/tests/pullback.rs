//! Maps sent back through several steps, against burn's own operations one after the other.

use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, Distribution, Tensor};

use super::super::{PullbackStep, pullback};

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
}

/// A step with random weights and factors: `(channels in, kernel, stride, padding)` of its convolution.
fn step(
    images: usize,
    convolution: Option<[usize; 4]>,
    terms: usize,
    window: [usize; 2],
    output: [usize; 3],
) -> PullbackStep {
    let [channels, height, width] = output;
    PullbackStep {
        convolution: convolution.map(|[inputs, kernel, stride, padding]| {
            let weight = random([inputs, terms * channels, kernel, kernel]);
            (weight, stride, padding)
        }),
        window,
        output,
        factors: (0..terms)
            .map(|_| random([images, channels * height * width]))
            .collect(),
    }
}

/// What [`pullback`] says it computes.
fn expected(
    maps: Tensor<2>,
    targets: usize,
    input: [usize; 3],
    steps: &[PullbackStep],
) -> Vec<f32> {
    let [rows, _] = maps.dims();
    let (images, mut shape) = (rows / targets, input);
    let mut values = maps.reshape([rows, input[0], input[1], input[2]]);
    for step in steps {
        let [channels, height, width] = step.output;
        let [tall, wide] = step.window;
        if let Some((weight, stride, padding)) = &step.convolution {
            let kernel = weight.dims()[2];
            let rest = |axis: usize| {
                let size = step.output[axis + 1] / step.window[axis];
                size + 2 * padding - kernel - (shape[axis + 1] - 1) * stride
            };
            let options = ConvTransposeOptions::new(
                [*stride; 2],
                [*padding; 2],
                [rest(0), rest(1)],
                [1, 1],
                1,
            );
            values = conv_transpose2d(values, weight.clone(), None, options);
        }
        let terms = step.factors.iter().enumerate().map(|(term, factor)| {
            let value = values.clone().narrow(1, term * channels, channels);
            let (rows_of, columns_of) = (height / tall, width / wide);
            let value = value
                .reshape([rows * channels * rows_of, 1, columns_of, 1])
                .expand([rows * channels * rows_of, tall, columns_of, wide])
                .reshape([images, targets, channels * height * width]);
            value * factor.clone().unsqueeze_dim(1)
        });
        let sum = terms.reduce(|a, b| a + b).unwrap();
        values = sum.reshape([rows, channels, height, width]);
        shape = step.output;
    }
    values.into_data().iter::<f32>().collect()
}

#[test]
fn steps_compute_what_they_say() {
    for (images, targets) in [(1, 1), (2, 50), (3, 5), (40, 2), (17, 3), (1, 33)] {
        let chains: [([usize; 3], Vec<PullbackStep>); 4] = [
            // As in the encoders with pooling: windows, a convolution, windows again, and the three terms of the pixels.
            (
                [6, 3, 2],
                vec![
                    step(images, None, 1, [2, 2], [6, 6, 4]),
                    step(images, Some([6, 3, 1, 1]), 1, [2, 2], [5, 12, 8]),
                    step(images, Some([5, 3, 1, 1]), 3, [1, 1], [1, 12, 8]),
                ],
            ),
            // Strided convolutions, whose windows do not reach the last row and column.
            (
                [4, 3, 3],
                vec![
                    step(images, None, 1, [1, 1], [4, 3, 3]),
                    step(images, Some([4, 4, 2, 1]), 1, [1, 1], [3, 7, 6]),
                    step(images, Some([3, 3, 1, 1]), 3, [1, 1], [3, 7, 6]),
                ],
            ),
            // Two terms before windows, and many channels.
            (
                [3, 4, 4],
                vec![step(images, Some([3, 1, 1, 0]), 2, [1, 2], [9, 4, 8])],
            ),
            ([4, 2, 2], vec![step(images, None, 1, [3, 1], [4, 6, 2])]),
        ];
        for (number, (input, steps)) in chains.into_iter().enumerate() {
            let maps = random([images * targets, input.iter().product()]);
            let expected = expected(maps.clone(), targets, input, &steps);
            let found = pullback(&maps, targets, input, &steps).unwrap();
            let found: Vec<f32> = found.into_data().iter::<f32>().collect();
            assert_eq!(found.len(), expected.len());
            let largest = expected
                .iter()
                .fold(0f32, |most, value| most.max(value.abs()));
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() < 1e-5 * largest,
                    "chain {number} for {targets} targets of {images} images, value {index}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_left_to_others() {
    let maps = random([6, 18]);
    let good = || step(3, None, 1, [2, 2], [2, 6, 6]);
    assert!(pullback(&maps, 2, [2, 3, 3], &[good()]).is_some());
    assert!(pullback(&maps, 4, [2, 3, 3], &[good()]).is_none());
    assert!(pullback(&maps, 0, [2, 3, 3], &[good()]).is_none());
    assert!(pullback(&maps, 2, [2, 3, 4], &[good()]).is_none());
    assert!(pullback(&maps, 2, [2, 3, 3], &[]).is_none());
    let mut other = good();
    other.window = [0, 1];
    assert!(pullback(&maps, 2, [2, 3, 3], &[other]).is_none());
    let mut other = good();
    other.factors.clear();
    assert!(pullback(&maps, 2, [2, 3, 3], &[other]).is_none());
    let mut other = good();
    other.factors[0] = random([2, 72]);
    assert!(pullback(&maps, 2, [2, 3, 3], &[other]).is_none());
    let other = step(3, Some([2, 5, 1, 0]), 1, [1, 1], [1, 3, 3]);
    assert!(pullback(&maps, 2, [2, 3, 3], &[other]).is_none());
}

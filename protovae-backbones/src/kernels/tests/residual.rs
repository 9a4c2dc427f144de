//! What residual networks need besides: normalisation before the ReLU, sums with a ReLU, max pooling, means of maps.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::values::{bits, close, close_above, loss, random, tensor, values};
use crate::kernels::activation::{Activation, pass};
use crate::kernels::{Maps, NormalisedMaps, stock};

fn settings() -> ProptestConfig {
    ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Leaves with gradients.
fn leaf<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    random(shape, seed, &Device::flex().autodiff()).require_grad()
}

/// The same values in another graph.
fn copy<const D: usize>(leaf: &Tensor<D>) -> Tensor<D> {
    leaf.clone().detach().require_grad()
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn batch_norm_and_affine(
        batch in 1..71usize, channels in 1..41usize, height in 1..8usize, width in 1..8usize, seed: u64,
    ) {
        let shape = [batch, channels, height, width];
        for trained in [true, false] {
            let ours = (leaf(shape, seed), leaf([channels], seed ^ 1), leaf([channels], seed ^ 2));
            let theirs = (copy(&ours.0), copy(&ours.1), copy(&ours.2));
            let run = |relu: bool| {
                let (x, a, b) = ours.clone();
                let maps = Maps::new(x);
                if trained {
                    maps.batch_norm(a, b, 1e-2, relu)
                } else {
                    let maps = maps.affine(a, b, relu);
                    NormalisedMaps { maps, mean: ours.1.clone(), variance: ours.1.clone() }
                }
            };
            let found = run(false);
            let (x, a, b) = theirs.clone();
            let expected = if trained {
                let normalised = stock::batch_norm(x, a, b, 1e-2, false);
                close(&[values(found.mean), values(found.variance)],
                    &[values(normalised.mean), values(normalised.variance)], "statistics");
                normalised.output
            } else {
                stock::affine(x, a, b, false)
            };
            let output = found.maps.into_images();
            close(&[values(output.clone())], &[values(expected.clone())], "output");
            let (left, right) = (loss(output.clone()).backward(), loss(expected).backward());
            let way = ((batch * height * width) as f32).sqrt();
            for (ours, theirs) in [(&ours.1, &theirs.1), (&ours.2, &theirs.2)] {
                let (ours, theirs) = (ours.grad(&left).unwrap(), theirs.grad(&right).unwrap());
                close_above(way, &values(ours), &values(theirs), "gradient of a factor");
            }
            let found = values(ours.0.grad(&left).unwrap());
            close_above(1.0, &found, &values(theirs.0.grad(&right).unwrap()), "gradient of the input");

            // A ReLU after it is that of the result, and lets the same gradients through as one on its own.
            let rectified = run(true).maps.into_images();
            let relu = pass(Activation::Relu, &values(output.clone()), None);
            prop_assert_eq!(bits(&[values(rectified.clone())]), bits(&[singles(&relu)]));
            let mask = output.clone().detach().greater_elem(0.0).float();
            let (left, right) = (loss(rectified).backward(), loss(run(false).maps.into_images() * mask).backward());
            let (found, expected) = (ours.0.grad(&left).unwrap(), ours.0.grad(&right).unwrap());
            close_above(1.0, &values(found), &values(expected), "gradient through the ReLU");
            for factor in [&ours.1, &ours.2] {
                let (found, expected) = (factor.grad(&left).unwrap(), factor.grad(&right).unwrap());
                close_above(way, &values(found), &values(expected), "gradient of a factor through the ReLU");
            }
        }
    }

    #[test]
    fn convolution_with_an_affine_map(
        batch in 1..40usize, inputs in 1..9usize, outputs in 1..20usize, height in 1..9usize, width in 1..9usize,
        size in 0..3usize, stride in 1..3usize, relu: bool, seed: u64,
    ) {
        let kernel = [1, 3, 7][size];
        let input = random([batch, inputs, height, width], seed, &Device::flex());
        let weight = random([outputs, inputs, kernel, kernel], seed ^ 1, &Device::flex());
        let vector = |salt: u64| random([outputs], seed ^ salt, &Device::flex());
        let (bias, scale, shift) = (vector(2), vector(3), vector(4));
        let run = |input: Tensor<4>| {
            let (weight, factors) = ((weight.clone(), bias.clone()), [scale.clone(), shift.clone()]);
            Maps::new(input).convolution_affine(weight, [stride, kernel / 2], factors, relu).into_images()
        };
        let found = values(run(input.clone()));
        let expected = stock::conv2d(input.clone(), weight.clone(), bias.clone(), stride, kernel / 2);
        close(std::slice::from_ref(&found), &[values(stock::affine(expected, scale.clone(), shift.clone(), relu))], "output");
        // Where gradients flow it is done in steps, to the same bits.
        prop_assert_eq!(bits(&[found]), bits(&[values(run(Tensor::from_inner(input).require_grad()))]));
    }

    #[test]
    fn max_pooling(
        batch in 1..40usize, channels in 1..20usize, height in 1..12usize, width in 1..12usize,
        kernel in 1..5usize, stride in 1..4usize, padding in 0..3usize, seed: u64,
    ) {
        // burn's own wants a window to be at least half inside.
        prop_assume!(padding <= kernel / 2 && padding < kernel);
        prop_assume!(height + 2 * padding >= kernel && width + 2 * padding >= kernel);
        let ours = leaf([batch, channels, height, width], seed);
        let theirs = copy(&ours);
        let found = Maps::new(ours.clone()).max_pool2d(kernel, stride, padding).into_images();
        let expected = stock::max_pool2d(theirs.clone(), kernel, stride, padding);
        prop_assert_eq!(found.dims(), expected.dims());
        prop_assert_eq!(values(found.clone()), values(expected.clone()));
        let (left, right) = (loss(found.clone()).backward(), loss(expected).backward());
        close(&[values(ours.grad(&left).unwrap())], &[values(theirs.grad(&right).unwrap())], "gradient");
        let plain = Maps::new(ours.clone().without_autodiff()).max_pool2d(kernel, stride, padding);
        prop_assert_eq!(bits(&[values(plain.into_images())]), bits(&[values(found)]));
    }

    #[test]
    fn sums_with_a_relu_and_means(
        batch in 1..71usize, channels in 1..41usize, height in 1..8usize, width in 1..8usize, seed: u64,
    ) {
        let shape = [batch, channels, height, width];
        let ours = (leaf(shape, seed), leaf(shape, seed ^ 1));
        let theirs = (copy(&ours.0), copy(&ours.1));
        let sum = Maps::new(ours.0.clone()).add_relu(Maps::new(ours.1.clone()));
        let expected = stock::add_relu(theirs.0.clone(), theirs.1.clone());
        prop_assert_eq!(values(sum.clone().into_images()), values(expected.clone()));
        let found = sum.global_average();
        let expected = expected.mean_dim(2).mean_dim(3).reshape([batch, channels]);
        close(&[values(found.clone())], &[values(expected.clone())], "means");
        let (left, right) = (loss(found).backward(), loss(expected).backward());
        for (ours, theirs) in [(&ours.0, &theirs.0), (&ours.1, &theirs.1)] {
            close(&[values(ours.grad(&left).unwrap())], &[values(theirs.grad(&right).unwrap())], "gradient");
        }
    }
}

fn singles(bytes: &burn::tensor::Bytes) -> Vec<f32> {
    let (fours, _) = bytes.as_chunks::<4>();
    fours.iter().map(|four| f32::from_ne_bytes(*four)).collect()
}

/// Of equal values the first wins; NaN wins over all; padding never does.
#[test]
fn who_wins_a_window() {
    let device = Device::flex().autodiff();
    let image = [[-3.0, -3.0, f32::NAN], [-3.0, -4.0, 7.0], [-5.0, -6.0, 8.0]];
    let pixels: Vec<f32> = image.concat();
    let input = tensor(&pixels, &device)
        .reshape([1, 1, 3, 3])
        .require_grad();
    let output = Maps::new(input.clone()).max_pool2d(2, 2, 1).into_images();
    let found = values(output.clone());
    assert_eq!(found[0], -3.0);
    assert!(found[1].is_nan());
    assert_eq!(found[2..], [-3.0, 8.0]);
    let factors = tensor(&[1.0, 2.0, 3.0, 4.0], &device).reshape([1, 1, 2, 2]);
    let gradient = values(input.grad(&(output * factors).sum().backward()).unwrap());
    assert_eq!(gradient, [1.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 4.0]);
}

/// What the kernels do not take comes out of burn's own operations.
#[test]
fn doubles_go_to_stock() {
    use burn::tensor::DType;
    let device = Device::flex();
    let double = |seed| random([3, 2, 5, 5], seed, &device).cast(DType::F64);
    let vector = |seed| -> Tensor<1> { random([2], seed, &device).cast(DType::F64) };
    let read = |maps: Maps| maps.into_images().into_data().try_to_vec::<f64>().unwrap();
    let raw = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f64>().unwrap();
    let maps = || Maps::new(double(1));
    let pooled = stock::max_pool2d(double(1), 3, 2, 1);
    assert_eq!(read(maps().max_pool2d(3, 2, 1)), raw(pooled));
    let sum = stock::add_relu(double(1), double(2));
    assert_eq!(read(maps().add_relu(Maps::new(double(2)))), raw(sum));
    let affine = stock::affine(double(1), vector(3), vector(4), true);
    assert_eq!(read(maps().affine(vector(3), vector(4), true)), raw(affine));
    let normalised = stock::batch_norm(double(1), vector(3), vector(4), 1e-5, true);
    let found = maps().batch_norm(vector(3), vector(4), 1e-5, true).maps;
    assert_eq!(read(found), raw(normalised.output));
    let means = maps()
        .global_average()
        .into_data()
        .try_to_vec::<f64>()
        .unwrap();
    assert_eq!(means.len(), 6);
}

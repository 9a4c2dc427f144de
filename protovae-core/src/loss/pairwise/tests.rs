#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Distribution, TensorData};
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::loss::{euclidean_distances, own_class_prototypes, squared_distances};

fn flat<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.1, 1.0), &device)
}

fn integers(values: &[usize]) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &Device::flex().autodiff())
}

/// A weight for each distance, so that all have gradients of their own, of both signs.
fn weight(index: usize) -> f32 {
    ((index * 37 % 101) as f32 - 50.0) / 50.0
}

/// Distances, and the gradients of their weighted sum.
fn results<const D: usize>(
    distances: impl Fn(Tensor<2>, Tensor<D>) -> Tensor<2>,
    latents: &Tensor<2>,
    prototypes: &Tensor<D>,
) -> [Vec<f32>; 3] {
    let (latents, prototypes) = (
        latents.clone().require_grad(),
        prototypes.clone().require_grad(),
    );
    let found = distances(latents.clone(), prototypes.clone());
    let shape = found.dims();
    let weights = (0..shape.iter().product()).map(weight).collect::<Vec<_>>();
    let weights = Tensor::from_data(TensorData::new(weights, shape), &found.device());
    let gradients = (found.clone() * weights).sum().backward();
    [
        flat(found),
        flat(latents.grad(&gradients).unwrap()),
        flat(prototypes.grad(&gradients).unwrap()),
    ]
}

/// In tensor operations.
fn stock(latents: Tensor<2>, prototypes: Tensor<3>) -> Tensor<2> {
    let difference = latents.unsqueeze_dim::<3>(1) - prototypes;
    (difference.clone() * difference).sum_dim(2).squeeze_dim(2)
}

fn stock_of_all(latents: Tensor<2>, prototypes: Tensor<2>) -> Tensor<2> {
    stock(latents, prototypes.unsqueeze_dim(0))
}

fn ours_of_all(latents: Tensor<2>, prototypes: Tensor<2>) -> Tensor<2> {
    all_pairs(&latents, &prototypes).unwrap()
}

fn close(ours: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    for (ours, expected) in ours.iter().zip(expected) {
        assert!(
            (ours - expected).abs() <= tolerance * largest.max(1e-6),
            "{ours} {expected} {largest}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_pairs_are_those_of_tensor_operations(
        samples in 1..40usize, count in 1..30usize, width in 1..70usize,
    ) {
        let (latents, prototypes) = (random([samples, width]), random([count, width]));
        let ours = results(ours_of_all, &latents, &prototypes);
        let stock = results(stock_of_all, &latents, &prototypes);
        for (ours, stock) in ours.iter().zip(&stock) {
            close(ours, stock, 1e-5);
        }
        let plain = all_pairs(&latents.inner(), &prototypes.inner()).unwrap();
        prop_assert!(!plain.device().is_autodiff());
        prop_assert_eq!(flat(plain), ours[0].clone());
    }

    #[test]
    fn same_rows_are_those_of_tensor_operations(samples in 1..40usize, width in 1..70usize) {
        let (a, b) = (random([samples, width]), random([samples, width]));
        let ours = results(|a, b: Tensor<2>| same_rows(&a, &b).unwrap(), &a, &b);
        let stock = results(
            |a, b: Tensor<2>| {
                let difference = a - b;
                (difference.clone() * difference).sum_dim(1)
            },
            &a,
            &b,
        );
        for (ours, stock) in ours.iter().zip(&stock) {
            close(ours, stock, 1e-5);
        }
    }

    #[test]
    fn own_class_pairs_are_those_of_tensor_operations(
        labels in prop::collection::vec(0..5usize, 1..30), per_class in 1..12usize, width in 1..70usize,
    ) {
        let (latents, prototypes) = (random([labels.len(), width]), random([5, per_class, width]));
        let labels = integers(&labels);
        let ours = results(
            |latents, prototypes| own_class_pairs(&latents, &prototypes, &labels).unwrap(),
            &latents,
            &prototypes,
        );
        let stock = results(
            |latents, prototypes| stock(latents, own_class_prototypes(prototypes, labels.clone())),
            &latents,
            &prototypes,
        );
        for (ours, stock) in ours.iter().zip(&stock) {
            close(ours, stock, 1e-5);
        }
    }

    /// Central differences of the weighted sum, in f64.
    #[test]
    fn gradients_are_finite_differences(
        samples in 1..5usize, count in 1..5usize, width in 1..20usize,
    ) {
        let (latents, prototypes) = (random([samples, width]), random([count, width]));
        let [_, of_latents, of_prototypes] = results(ours_of_all, &latents, &prototypes);
        let wide = |tensor: Tensor<2>| -> Vec<f64> { flat(tensor).into_iter().map(f64::from).collect() };
        let (latents, prototypes) = (wide(latents), wide(prototypes));
        let sum = |latents: &[f64], prototypes: &[f64]| -> f64 {
            let mut total = 0.0;
            for (i, latent) in latents.chunks(width).enumerate() {
                for (p, prototype) in prototypes.chunks(width).enumerate() {
                    let distance: f64 = latent.iter().zip(prototype).map(|(a, b)| (a - b).powi(2)).sum();
                    total += f64::from(weight(i * count + p)) * distance;
                }
            }
            total
        };
        // Weights of both signs may cancel, so rounding is measured by the parts and not by their sum.
        let size = |values: &[f64]| values.iter().fold(1f64, |most, value| most.max(value.abs())) as f32;
        let parts = 4.0 * samples.max(count) as f32 * (size(&latents) + size(&prototypes));
        let near = |ours: &[f32], expected: &[f32]| {
            let apart = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
            let apart = apart.fold(0f32, f32::max);
            assert!(apart <= 1e-6 * parts, "{apart} of {parts}");
        };
        let step = 1e-4;
        let moved = |values: &[f64], index: usize, by: f64| {
            let mut values = values.to_vec();
            values[index] += by;
            values
        };
        let slopes: Vec<f32> = (0..latents.len()).map(|index| {
            let at = |by| sum(&moved(&latents, index, by), &prototypes);
            ((at(step) - at(-step)) / (2.0 * step)) as f32
        }).collect();
        near(&of_latents, &slopes);
        let slopes: Vec<f32> = (0..prototypes.len()).map(|index| {
            let at = |by| sum(&latents, &moved(&prototypes, index, by));
            ((at(step) - at(-step)) / (2.0 * step)) as f32
        }).collect();
        near(&of_prototypes, &slopes);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (latents, prototypes) = (random([61, 203]), random([5, 9, 203]));
    let labels = integers(&(0..61).map(|sample| sample % 5).collect::<Vec<_>>());
    let with = |threads| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| {
                let all = prototypes.clone().reshape([45, 203]);
                let own = |latents: Tensor<2>, prototypes: Tensor<3>| {
                    own_class_pairs(&latents, &prototypes, &labels).unwrap()
                };
                [
                    results(ours_of_all, &latents, &all),
                    results(own, &latents, &prototypes),
                ]
            })
    };
    let single = with(1);
    for threads in [2, 4] {
        assert_eq!(with(threads), single);
    }
}

/// With widths of one prototype each from 1 on: whole lanes, rests, and both.
#[test]
fn distances_of_any_width_are_exact_for_small_integers() {
    for width in 1..50 {
        let ramp: Vec<f32> = (0..width).map(|index| index as f32).collect();
        let device = Device::flex();
        let latents = Tensor::from_data(TensorData::new(ramp, [1, width]), &device);
        let expected: usize = (0..width).map(|index| index * index).sum();
        let found = all_pairs(&latents, &latents.zeros_like()).unwrap();
        assert_eq!(flat(found), [expected as f32]);
    }
}

#[test]
fn only_what_needs_a_gradient_gets_one() {
    let (latents, prototypes) = (random([3, 4]), random([2, 4]));
    let expected = results(ours_of_all, &latents, &prototypes);
    let leaf = latents.clone().require_grad();
    let found = ours_of_all(leaf.clone(), prototypes.clone());
    assert_eq!(flat(found.clone()), expected[0]);
    let gradients = found.sum().backward();
    assert!(leaf.grad(&gradients).is_some() && prototypes.grad(&gradients).is_none());
    let leaf = prototypes.require_grad();
    let gradients = ours_of_all(latents.clone(), leaf.clone()).sum().backward();
    assert!(leaf.grad(&gradients).is_some() && latents.grad(&gradients).is_none());
}

/// Views that are not in order in memory.
#[test]
fn views_are_read_in_their_order() {
    let (latents, prototypes) = (random([6, 5]), random([6, 7]));
    let turned = |distances: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        results(
            |latents, prototypes: Tensor<2>| distances(latents.transpose(), prototypes.transpose()),
            &latents,
            &prototypes,
        )
    };
    for (ours, stock) in turned(ours_of_all).iter().zip(&turned(stock_of_all)) {
        close(ours, stock, 1e-5);
    }
}

#[test]
fn the_rest_is_left_to_tensor_operations() {
    let (latents, prototypes) = (random([3, 4]), random([2, 3, 4]));
    for labels in [[0, 1, 2], [0, 7, 1]] {
        assert!(own_class_pairs(&latents, &prototypes, &integers(&labels)).is_none());
    }
    assert!(all_pairs(&latents, &random([2, 5])).is_none());

    // Memory saved by recomputing is asked for by a device of its own, which only burn's operations know.
    let frugal = Device::flex().autodiff().gradient_checkpointing();
    let on_frugal = |tensor: Tensor<2>| Tensor::<2>::from_data(tensor.into_data(), &frugal);
    let all = prototypes.reshape([6, 4]);
    let expected = results(ours_of_all, &latents, &all);
    let (latents, all) = (on_frugal(latents), on_frugal(all));
    assert!(all_pairs(&latents, &all).is_none());
    let found = results(squared_distances, &latents, &all);
    for (found, expected) in found.iter().zip(&expected) {
        close(found, expected, 1e-5);
    }
}

/// The clamp under the root turns gradients off there; 0 times a difference stays 0.
#[test]
fn the_gradient_of_the_root_at_zero_is_zero() {
    let prototypes = random([2, 30]);
    let latents = prototypes.clone();
    let leaf = latents.require_grad();
    let found = euclidean_distances(leaf.clone(), prototypes.narrow(0, 0, 1));
    let gradients = found.narrow(0, 0, 1).sum().backward();
    assert!(
        flat(leaf.grad(&gradients).unwrap())
            .iter()
            .all(|value| *value == 0.0)
    );
}

//! Similarities and the distances they are of.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{
    Distance, SMALLEST_SIMILARITY_EPSILON, distances, euclidean_distances, similarity,
};

use crate::common::{flat, tensor};
use crate::support::{DISTANCES, EPSILON, all_finite, config, near, problems};

#[test]
fn similarity_at_zero_and_one() {
    let found = flat(similarity(
        tensor(vec![0.0, 1.0], [2], &Device::flex()),
        EPSILON,
    ));
    assert!((found[0] - 9.2103).abs() < 5e-5, "{}", found[0]);
    // log(2 / 1.0001); the paper's eps makes it 0.6930, log 2 itself is 0.6931.
    assert!((f64::from(found[1]) - (2.0f64 / 1.0001).ln()).abs() < 1e-6);
    assert!(
        (found[1] - std::f32::consts::LN_2).abs() < 2e-4,
        "{}",
        found[1]
    );
}

/// Slope of the similarity at distance 0 is finite: 1 − 1/eps.
#[test]
fn similarity_has_a_finite_slope_at_zero() {
    let apart = tensor(vec![0.0], [1], &Device::flex())
        .autodiff()
        .require_grad();
    let gradients = similarity(apart.clone(), EPSILON).backward();
    let slope = flat(apart.grad(&gradients).unwrap())[0];
    assert!((slope - (1.0 - 1e4)).abs() < 1.0, "{slope}");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn similarity_is_positive_and_strictly_decreasing(
        exponent in -8.0f64..8.0, first in -10.0f64..7.0, epsilon_exponent in -6.0f64..-0.3,
    ) {
        let epsilon = 10f64.powf(epsilon_exponent);
        let near_one = 10f64.powf(first);
        let gap = 1e-3 * (near_one + epsilon) + 10f64.powf(exponent.min(first));
        let apart = [0.0, 1e-3 * epsilon, near_one + 2e-3 * epsilon, near_one + 2e-3 * epsilon + gap];
        let apart: Vec<f32> = apart.into_iter().map(|value| value as f32).collect();
        prop_assume!(apart.windows(2).all(|pair| pair[0] < pair[1]));
        let found = flat(similarity(tensor(apart.clone(), [4], &Device::flex()), epsilon));
        prop_assert!(found.iter().all(|value| *value > 0.0 && value.is_finite()), "{found:?}");
        for pair in found.windows(2) {
            prop_assert!(pair[0] > pair[1], "{found:?} of {apart:?}");
        }
        prop_assert!(near(found[0], (1.0 / epsilon).ln() as f32, 1e-5));
        let one = flat(similarity(tensor(vec![1.0], [1], &Device::flex()), epsilon))[0];
        prop_assert!(near(one, (2.0 / (1.0 + epsilon)).ln() as f32, 1e-5));
    }

    /// Distances are what their names say, and never negative.
    #[test]
    fn distances_are_the_euclidean_ones(problem in problems()) {
        let inputs = problem.inputs();
        let squared = flat(distances(inputs.mean.clone(), inputs.prototypes.clone(), Distance::Squared));
        let plain = flat(distances(inputs.mean.clone(), inputs.prototypes.clone(), Distance::Euclidean));
        let (means, prototypes) = (flat(inputs.mean), flat(inputs.prototypes));
        let mut index = 0;
        for mean in means.chunks(problem.width) {
            for prototype in prototypes.chunks(problem.width) {
                let expected: f64 = mean.iter().zip(prototype)
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                prop_assert!(near(squared[index], expected as f32, 1e-5) && squared[index] >= 0.0);
                prop_assert!(near(plain[index], expected.sqrt() as f32, 1e-5) && plain[index] >= 0.0);
                index += 1;
            }
        }
    }

    /// At and near distance 0 the similarity of either distance has finite gradients, and exactly at 0 they vanish: there
    /// is no direction to go.
    #[test]
    fn similarity_has_finite_gradients_on_a_prototype(
        problem in problems(), offset in prop::sample::select(vec![0.0f32, 1e-38, 1e-25, 1e-16, 1e-12, 1e-6, 1e-3]),
    ) {
        let inputs = problem.inputs();
        for distance in DISTANCES {
            let prototypes = (inputs.prototypes.clone() * 0.0).autodiff().require_grad();
            let latents = (inputs.mean.clone() * 0.0 + offset).autodiff().require_grad();
            let apart = distances(latents.clone(), prototypes.clone(), distance);
            let found = similarity(apart, EPSILON);
            prop_assert!(all_finite(&flat(found.clone())));
            let gradients = found.sum().backward();
            for gradient in [
                flat(latents.grad(&gradients).unwrap()), flat(prototypes.grad(&gradients).unwrap()),
            ] {
                prop_assert!(all_finite(&gradient), "{distance:?}: {gradient:?}");
                if offset == 0.0 {
                    prop_assert!(gradient.iter().all(|value| *value == 0.0), "{distance:?}: {gradient:?}");
                }
            }
        }
    }
}

#[test]
fn euclidean_distance_has_gradient_zero_at_zero() {
    let latents = tensor(vec![1.0, -2.0], [1, 2], &Device::flex())
        .autodiff()
        .require_grad();
    let prototypes = tensor(vec![1.0, -2.0, 4.0, 2.0], [2, 2], &Device::flex()).autodiff();
    let found = euclidean_distances(latents.clone(), prototypes);
    assert_eq!(flat(found.clone())[1], 5.0);
    let gradients = found.sum().backward();
    // Of the second prototype alone: (z − phi) / d.
    assert_eq!(flat(latents.grad(&gradients).unwrap()), [-0.6, -0.8]);
}

/// Both kinds of distances, on a prototype and beside it, at the smallest epsilon that a configuration may have.
#[test]
fn similarity_has_finite_gradients_down_to_the_smallest_epsilon() {
    for distance in [0.0f32, 1e-30, 1e-18, 1e-9, 1.0] {
        let leaf = Tensor::<1>::from_floats([distance], &Device::flex())
            .autodiff()
            .require_grad();
        let found = similarity(leaf.clone(), SMALLEST_SIMILARITY_EPSILON);
        let gradient = flat(leaf.grad(&found.backward()).unwrap());
        assert!(
            gradient[0].is_finite() && gradient[0] < 0.0,
            "{distance}: {gradient:?}"
        );
    }
}

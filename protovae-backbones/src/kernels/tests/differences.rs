//! Gradients against central differences of the naive operations in `f64`: neither burn nor the kernels take part in what is
//! compared with.

use super::cases::{Case, Path};
use super::reference;
use super::values::factors;

/// Half the distance of the two points of a difference.
const STEP: f64 = 1e-5;

/// Values without those near the corner of ReLU, across which a difference would see both sides.
fn drawn_away_from_zero(case: &Case, seed: u64) -> Vec<Vec<f32>> {
    let mut inputs = case.draw(seed);
    for (value, sign) in inputs[0].iter_mut().zip([1.0, -1.0].into_iter().cycle()) {
        if value.abs() < 0.05 {
            *value = sign * (value.abs() + 0.3);
        }
    }
    inputs
}

fn weighted_sum(case: &Case, inputs: &[Vec<f64>]) -> f64 {
    let output = reference::output(case, inputs);
    let factors = factors(output.len());
    output
        .iter()
        .zip(&factors)
        .map(|(value, factor)| value * f64::from(*factor))
        .sum()
}

fn check(case: Case, seed: u64) {
    assert!(case.is_taken(), "{case:?}");
    let inputs = drawn_away_from_zero(&case, seed);
    let ours = case.run(Path::Kernels, &inputs);
    let mut points: Vec<Vec<f64>> = inputs
        .iter()
        .map(|values| values.iter().copied().map(f64::from).collect())
        .collect();

    let expected = reference::output(&case, &points);
    compare(&ours.outputs[0], &expected, 1e-5, &format!("{case:?}"));
    for input in 0..points.len() {
        let mut expected = Vec::with_capacity(points[input].len());
        for place in 0..points[input].len() {
            let value = points[input][place];
            points[input][place] = value + STEP;
            let above = weighted_sum(&case, &points);
            points[input][place] = value - STEP;
            let below = weighted_sum(&case, &points);
            points[input][place] = value;
            expected.push((above - below) / (2.0 * STEP));
        }
        let found = ours.gradients[input].as_deref().unwrap();
        let what = format!("gradient of input {input} of {case:?}");
        compare(found, &expected, 1e-4, &what);
    }
}

fn compare(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (place, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(found) - expected).abs() <= tolerance * largest,
            "{what}, value {place}: {found} against {expected}, largest {largest}"
        );
    }
}

#[test]
fn of_convolutions() {
    for (seed, (batch, channels, size, geometry)) in [
        (3, [2, 4], [5, 4], [3, 1, 1]),
        (19, [3, 2], [4, 5], [3, 1, 1]),
        (35, [1, 7], [3, 3], [2, 1, 0]),
        (2, [4, 9], [7, 6], [4, 2, 1]),
        (5, [2, 3], [6, 7], [3, 3, 2]),
        (2, [3, 2], [4, 4], [1, 2, 0]),
        (1, [1, 1], [1, 1], [4, 1, 2]),
    ]
    .into_iter()
    .enumerate()
    {
        check(
            Case::convolution(batch, channels, size, geometry),
            seed as u64,
        );
    }
}

#[test]
fn of_transposed_convolutions() {
    for (seed, (batch, channels, size, geometry)) in [
        (3, [2, 4], [3, 4], [4, 2, 1]),
        (19, [3, 2], [2, 2], [4, 2, 1]),
        (35, [1, 7], [2, 3], [3, 1, 1]),
        (2, [4, 9], [3, 3], [2, 3, 0]),
        (5, [2, 3], [4, 3], [3, 2, 2]),
        (1, [1, 1], [1, 1], [4, 1, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        check(
            Case::transposed(batch, channels, size, geometry),
            seed as u64,
        );
    }
}

#[test]
fn of_normalisations() {
    for (seed, shape) in [[6, 3, 4, 4], [19, 2, 3, 5], [35, 3, 2, 2], [2, 9, 5, 2]]
        .into_iter()
        .enumerate()
    {
        for pool in [false, true] {
            check(Case::batch_norm(shape, 1e-5, pool), seed as u64);
            check(Case::affine(shape, pool), seed as u64);
        }
    }
    check(Case::batch_norm([35, 7, 1, 1], 1e-5, false), 11);
    check(Case::batch_norm([19, 2, 3, 3], 0.5, false), 12);
}

#[test]
fn of_fully_connected_layers() {
    for (seed, sizes) in [[1, 1, 1], [3, 5, 4], [19, 7, 17], [9, 20, 33], [33, 3, 40]]
        .into_iter()
        .enumerate()
    {
        check(Case::linear(sizes), seed as u64);
    }
}

#[test]
fn of_the_hyperbolic_tangent() {
    check(Case::tanh([19, 2, 3, 5]), 1);
    check(Case::tanh([1, 1, 1, 1]), 2);
    check(Case::relu([19, 30]), 3);
}

#[test]
fn of_unflattening() {
    check(Case::unflatten(19, [3, 2, 4]), 1);
    check(Case::unflatten(2, [5, 1, 3]), 2);
}

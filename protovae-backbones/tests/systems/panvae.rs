//! PanVAE's volumetric loss: volumes by an independent computation, and what leaves them as they are.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use protovae_core::conformance;
use protovae_core::loss::inverse_volume;

use super::support::{SPEC, config, fit, model, noise};

const RECIPE: &str = r#"{"type": "protovae", "latent_dimensions": 4, "prototypes_per_class": 3,
    "encoder": {"type": "conv-pool", "widths": [4, 6]},
    "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]},
    "head": {"type": "prototype"}, "loss": {"weights": {"orthonormality": 0.0, "volume": 1.0}}}"#;

fn tensor(values: &[f32], shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn loss(values: &[f32], shape: [usize; 3]) -> f64 {
    f64::from(inverse_volume(tensor(values, shape, &Device::flex())).into_scalar::<f32>())
}

/// The volume of the parallelotope that the rows span, by Gram-Schmidt in `f64`: the product of what of each row is orthogonal to
/// those before.
fn volume(rows: &[f32], width: usize) -> f64 {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut volume = 1.0;
    for row in rows.chunks(width) {
        let mut rest: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
        // Twice, for the rounding of the first.
        for _ in 0..2 {
            for unit in &basis {
                let along: f64 = unit.iter().zip(&rest).map(|(a, b)| a * b).sum();
                rest.iter_mut()
                    .zip(unit)
                    .for_each(|(rest, unit)| *rest -= along * unit);
            }
        }
        let length = rest.iter().map(|value| value * value).sum::<f64>().sqrt();
        volume *= length;
        basis.push(rest.iter().map(|value| value / length).collect());
    }
    volume
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_the_mean_inverse_volume(
        classes in 1usize..4,
        per_class in 1usize..6,
        spare in 0usize..8,
        seed in 0u64..1000,
    ) {
        let width = per_class + spare;
        let values: Vec<f32> = noise(classes * per_class * width, seed)
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                // Never nearly dependent, which f32 could not tell from dependent.
                let (row, column) = (index / width % per_class, index % width);
                value * 0.4 + if row == column { 1.5 } else { 0.0 }
            })
            .collect();
        let expected: f64 = values
            .chunks(per_class * width)
            .map(|rows| 1.0 / volume(rows, width))
            .sum::<f64>() / classes as f64;
        let found = loss(&values, [classes, per_class, width]);
        prop_assert!((found - expected).abs() < 1e-3 * expected, "{found} {expected}");

        // Another order within each class.
        let reversed: Vec<f32> = values
            .chunks(per_class * width)
            .flat_map(|rows| rows.chunks(width).rev().flatten().copied().collect::<Vec<_>>())
            .collect();
        let other = loss(&reversed, [classes, per_class, width]);
        prop_assert!((found - other).abs() < 1e-3 * expected);

        // Twice as long in every direction.
        let doubled: Vec<f32> = values.iter().map(|value| value * 2.0).collect();
        let other = loss(&doubled, [classes, per_class, width]) * 2f64.powi(per_class as i32);
        prop_assert!((found - other).abs() < 1e-3 * expected);
    }

    #[test]
    fn its_gradient_is_that_of_central_differences(seed in 0u64..200) {
        let shape = [2, 3, 4];
        let values: Vec<f32> = noise(24, seed)
            .into_iter()
            .enumerate()
            .map(|(index, value)| value * 0.4 + if index / 4 % 3 == index % 4 { 1.5 } else { 0.0 })
            .collect();
        let device = Device::flex().autodiff();
        let input = tensor(&values, shape, &device).require_grad();
        let gradients = inverse_volume(input.clone()).backward();
        let gradient: Vec<f32> = input.grad(&gradients).unwrap().into_data().iter::<f32>().collect();
        for index in 0..values.len() {
            let shifted = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                let rows = values.chunks(12);
                rows.map(|rows| 1.0 / volume(rows, 4)).sum::<f64>() / 2.0
            };
            let expected = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
            prop_assert!((f64::from(gradient[index]) - expected).abs() < 1e-3, "{} {expected}", gradient[index]);
        }
    }
}

/// Loss and gradient of prototypes `[1, M, L]`.
fn loss_and_gradient(values: &[f32], shape: [usize; 3]) -> (f32, Vec<f32>) {
    let device = Device::flex().autodiff();
    let input = tensor(values, shape, &device).require_grad();
    let loss = inverse_volume(input.clone());
    let gradient = input.grad(&loss.backward()).unwrap().into_data();
    (loss.into_scalar::<f32>(), gradient.iter::<f32>().collect())
}

/// Adam squares gradients: one whose square is infinite stops its prototype for ever.
fn assert_usable(values: &[f32], shape: [usize; 3]) {
    let (loss, gradient) = loss_and_gradient(values, shape);
    assert!(loss.is_finite(), "{values:?}: {loss}");
    let usable = gradient.iter().all(|value| (value * value).is_finite());
    assert!(usable, "{values:?}: {gradient:?}");
}

#[test]
fn short_prototypes_are_driven_apart_by_gradients_with_finite_squares() {
    for exponent in 0..40 {
        let length = 10f32.powf(-0.2 * exponent as f32);
        let mut values = vec![0.0; 100];
        (0..10).for_each(|row| values[11 * row] = length);
        assert_usable(&values, [1, 10, 10]);
        if length > 1e-5 {
            let (_, gradient) = loss_and_gradient(&values, [1, 10, 10]);
            assert!((0..10).all(|row| gradient[11 * row] < 0.0), "{length}");
        }
    }
    let mut values = vec![0.0; 100];
    (0..10).for_each(|row| values[11 * row] = 3.7e-4);
    assert_usable(&values, [1, 10, 10]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Prototypes of any length that are nearly the same as the one before.
    #[test]
    fn nearly_dependent_prototypes_give_gradients_with_finite_squares(
        per_class in 1usize..6,
        spare in 0usize..6,
        seed in 0u64..1000,
        length in -8.0f32..2.0,
        apart in -8.0f32..0.0,
    ) {
        let width = per_class + spare;
        let mut values = noise(per_class * width, seed);
        for index in width..values.len() {
            values[index] = values[index - width] + values[index] * 10f32.powf(apart);
        }
        values.iter_mut().for_each(|value| *value *= 10f32.powf(length));
        assert_usable(&values, [1, per_class, width]);
    }
}

#[test]
fn dependent_prototypes_are_finite_with_a_finite_gradient() {
    for values in [vec![0.0; 12], vec![1.0; 12], vec![1e-9; 12], vec![1e6; 12]] {
        let device = Device::flex().autodiff();
        let input = tensor(&values, [1, 3, 4], &device).require_grad();
        let loss = inverse_volume(input.clone());
        let gradients = loss.backward();
        assert!(loss.into_scalar::<f32>().is_finite());
        let gradient = input.grad(&gradients).unwrap().into_data();
        assert!(gradient.iter::<f32>().all(f32::is_finite), "{values:?}");
    }
}

#[test]
fn it_is_a_protovae_with_another_term() {
    conformance::model(&*config(RECIPE), &SPEC).unwrap();
    assert_eq!(
        config(RECIPE).reported_as(),
        "sampled-mean with orthonormality weight 0, volume weight 1"
    );
    let last = fit(model(RECIPE), 2, None, false).last.unwrap();
    assert!(
        last.train.terms.contains_key("volume") && !last.train.terms.contains_key("orthonormality")
    );
    // What ProtoVAE says of itself is as it was.
    let plain = RECIPE.replace(
        r#", "loss": {"weights": {"orthonormality": 0.0, "volume": 1.0}}"#,
        "",
    );
    assert!(
        !serde_json::to_string(&config(&plain))
            .unwrap()
            .contains("volume")
    );
    let wide = RECIPE.replace(
        r#""prototypes_per_class": 3"#,
        r#""prototypes_per_class": 5"#,
    );
    let init = &mut protovae_core::random::Initializer::new(0, &Device::flex());
    let error = config(&wide).build(&SPEC, init).unwrap_err();
    assert!(error.to_string().contains("span no volume"), "{error}");
}

//! L_orth: where it is least, and what leaves it as it is.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{FrobeniusNorm, Reduction, orthonormality};

use crate::common::{flat, labels, scalar, tensor, values};
use crate::support::{NORMS, Problem, REDUCTIONS, all_finite, config, near, problems};

/// Random Givens rotations of all pairs of axes, and perhaps a reflection, of prototypes `[K, M, L]`.
fn rotate(prototypes: Tensor<3>, seed: u64) -> Tensor<3> {
    let [classes, per_class, width] = prototypes.dims();
    let mut rows: Vec<f64> = flat(prototypes).into_iter().map(f64::from).collect();
    let mut angles = values(width * width, seed, 0.0, 6.3).into_iter();
    for first in 0..width {
        for second in first + 1..width {
            let (sine, cosine) = f64::from(angles.next().unwrap()).sin_cos();
            for row in rows.chunks_mut(width) {
                let (a, b) = (row[first], row[second]);
                row[first] = cosine * a - sine * b;
                row[second] = sine * a + cosine * b;
            }
        }
    }
    if seed % 2 == 1 {
        for row in rows.chunks_mut(width) {
            row[0] = -row[0];
        }
    }
    let rows = rows.into_iter().map(|value| value as f32).collect();
    tensor(rows, [classes, per_class, width], &Device::flex())
}

/// The vertices of a regular simplex for each class: unit vectors, shifted and rotated.
fn simplex(classes: usize, per_class: usize, spare: usize, seed: u64) -> Tensor<3> {
    let width = per_class + spare;
    let vertices: Vec<f32> = (0..classes * per_class * width)
        .map(|index| {
            let (row, column) = (index / width % per_class, index % width);
            if row == column { 1.25 } else { 0.25 }
        })
        .collect();
    rotate(
        tensor(vertices, [classes, per_class, width], &Device::flex()),
        seed,
    )
}

/// Noise of the size `10^exponent`, of this shape.
fn values_near(shape: &[usize; 3], seed: u64, exponent: f64) -> Tensor<3> {
    let noise = values(shape.iter().product(), seed, -1.0, 1.0);
    tensor(noise, *shape, &Device::flex()) * 10f64.powf(exponent)
}

/// L_orth's lower bound for prototypes `[K, M, L]`: a class's norm is at least 1, squared or not, and over dimensions at least
/// `√(L − M + 1)`.
fn bound(prototypes: &Tensor<3>, norm: FrobeniusNorm, reduction: Reduction) -> f32 {
    let [classes, per_class, width] = prototypes.dims();
    let one = match norm {
        FrobeniusNorm::PlainOverDimensions => {
            (width as f32 - per_class as f32 + 1.0).max(0.0).sqrt()
        }
        _ => 1.0,
    };
    match reduction {
        Reduction::Sum => one * classes as f32,
        Reduction::Mean => one,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn orthonormality_is_at_least_one_a_class(problem in problems(), exponent in -3.0f64..1.0) {
        let prototypes = problem.inputs().by_class() * 10f64.powf(exponent);
        for norm in NORMS {
            for reduction in REDUCTIONS {
                let found = scalar(orthonormality(prototypes.clone(), norm, reduction));
                let bound = bound(&prototypes, norm, reduction);
                prop_assert!(found >= bound * (1.0 - 1e-5), "{found} below {bound}");
            }
        }
    }

    #[test]
    fn a_regular_simplex_reaches_the_bound(
        classes in 1..5usize, per_class in 1..7usize, spare in 0..3usize, seed in any::<u64>(),
    ) {
        let prototypes = simplex(classes, per_class, spare, seed);
        for norm in NORMS {
            for reduction in REDUCTIONS {
                let leaf = prototypes.clone().autodiff().require_grad();
                let found = orthonormality(leaf.clone(), norm, reduction);
                let bound = bound(&prototypes, norm, reduction);
                let value = scalar(found.clone());
                prop_assert!((value - bound).abs() <= 1e-5 * bound, "{value} is not {bound}");
                // It is a minimum.
                let gradient = flat(leaf.grad(&found.backward()).unwrap());
                prop_assert!(gradient.iter().all(|value| value.abs() < 1e-4), "{gradient:?}");
            }
        }
    }

    /// With more prototypes than dimensions, the dimensions can be orthonormal: the bound is 0, where a root has no slope.
    #[test]
    fn orthonormal_dimensions_give_zero_and_a_finite_gradient(
        classes in 1..4usize, width in 1..5usize, spare in 1..5usize, seed in any::<u64>(), exponent in -9.0f64..0.0,
    ) {
        let per_class = width + spare;
        // Columns of Helmert's matrix are orthonormal and each sums to 0.
        let helmert = |row: usize, column: usize| {
            let norm = ((column + 1) as f64 * (column + 2) as f64).sqrt();
            match row {
                row if row <= column => 1.0 / norm,
                row if row == column + 1 => -((column + 1) as f64) / norm,
                _ => 0.0,
            }
        };
        let values: Vec<f32> = (0..classes * per_class * width)
            .map(|index| helmert(index / width % per_class, index % width) as f32)
            .collect();
        let shape = [classes, per_class, width];
        let exact = tensor(values, shape, &Device::flex());
        let noise = values_near(&shape, seed, exponent);
        let norm = FrobeniusNorm::PlainOverDimensions;
        for (prototypes, most) in [
            (exact.clone(), 1e-5),
            (rotate(exact.clone(), seed), 1e-5),
            (exact + noise, 1e-5 + 20.0 * 10f64.powf(exponent)),
        ] {
            for reduction in REDUCTIONS {
                let leaf = prototypes.clone().autodiff().require_grad();
                let found = orthonormality(leaf.clone(), norm, reduction);
                let value = f64::from(scalar(found.clone()));
                prop_assert!((0.0..most * classes as f64).contains(&value), "{value}");
                let gradient = flat(leaf.grad(&found.backward()).unwrap());
                prop_assert!(gradient.iter().all(|value| value.abs() < 10.0), "{gradient:?}");
            }
        }
    }

    #[test]
    fn orthonormality_does_not_see_shift_rotation_and_order(problem in problems()) {
        let Problem { classes, per_class, width, seed, .. } = problem;
        let prototypes = problem.inputs().by_class();
        let shifts = problem.draw(20, [classes, 1, width], -3.0, 3.0);
        // A rotation and an order of its own for each class.
        let each = |class: usize| prototypes.clone().narrow(0, class, 1);
        let rotated: Vec<_> = (0..classes)
            .map(|class| rotate(each(class), seed.wrapping_add(class as u64)))
            .collect();
        let permuted: Vec<_> = (0..classes)
            .map(|class| {
                let keys = values(per_class, seed ^ class as u64, 0.0, 1.0);
                let mut order: Vec<usize> = (0..per_class).collect();
                order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
                each(class).select(1, labels(&order, &Device::flex()))
            })
            .collect();
        let variants = [
            prototypes.clone() + shifts,
            Tensor::cat(rotated, 0),
            Tensor::cat(permuted, 0),
        ];
        for norm in NORMS {
            for reduction in REDUCTIONS {
                let before = scalar(orthonormality(prototypes.clone(), norm, reduction));
                for (index, variant) in variants.iter().enumerate() {
                    let after = scalar(orthonormality(variant.clone(), norm, reduction));
                    prop_assert!(near(after, before, 1e-4), "variant {index}: {after} for {before}");
                }
            }
        }
    }

    #[test]
    fn one_prototype_a_class_gives_one_and_no_gradient(problem in problems(), exponent in -3.0f64..6.0) {
        let one = Problem { per_class: 1, ..problem };
        for norm in NORMS {
            for reduction in REDUCTIONS {
                let leaf = (one.inputs().by_class() * 10f64.powf(exponent)).autodiff().require_grad();
                let found = orthonormality(leaf.clone(), norm, reduction);
                let bound = bound(&one.inputs().by_class(), norm, reduction);
                prop_assert!(near(scalar(found.clone()), bound, 1e-6));
                let gradient = flat(leaf.grad(&found.backward()).unwrap());
                prop_assert!(gradient.iter().all(|value| *value == 0.0), "{gradient:?}");
            }
        }
    }

    /// Prototypes that have collapsed into one point: the distance of zero from the identity, `sqrt M`, or `sqrt L` over
    /// dimensions.
    #[test]
    fn equal_prototypes_give_finite_gradients(problem in problems()) {
        let Problem { classes, per_class, width, .. } = problem;
        for norm in NORMS {
            let equal = problem
                .draw(21, [classes, 1, width], -2.0, 2.0)
                .expand([classes, per_class, width]);
            let leaf = equal.autodiff().require_grad();
            let found = orthonormality(leaf.clone(), norm, Reduction::Mean);
            let expected = match norm {
                FrobeniusNorm::Squared => per_class as f32,
                FrobeniusNorm::Plain => (per_class as f32).sqrt(),
                FrobeniusNorm::PlainOverDimensions => (width as f32).sqrt(),
            };
            prop_assert!(near(scalar(found.clone()), expected, 1e-5));
            prop_assert!(all_finite(&flat(leaf.grad(&found.backward()).unwrap())));
        }
    }
}

/// As the released code has it, with two dimensions and five prototypes a class.
#[test]
fn fewer_dimensions_than_prototypes_give_what_their_gram_matrix_does() {
    let prototypes: Vec<f32> = values(10, 3, -1.0, 1.0);
    let mean = |column: usize| {
        (0..5)
            .map(|row| f64::from(prototypes[2 * row + column]))
            .sum::<f64>()
            / 5.0
    };
    let centred =
        |row: usize, column: usize| f64::from(prototypes[2 * row + column]) - mean(column);
    let mut squares = 0.0;
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let product: f64 = (0..5).map(|row| centred(row, a) * centred(row, b)).sum();
        squares += (product - f64::from(u8::from(a == b))).powi(2);
    }
    let tensor = tensor(prototypes.clone(), [1, 5, 2], &Device::flex());
    let found = orthonormality(tensor, FrobeniusNorm::PlainOverDimensions, Reduction::Mean);
    assert!(near(scalar(found), squares.sqrt() as f32, 1e-5));

    let two = Tensor::<3>::from_floats([[[0.5f32.sqrt()], [-0.5f32.sqrt()]]], &Device::flex());
    let leaf = two.autodiff().require_grad();
    let found = orthonormality(
        leaf.clone(),
        FrobeniusNorm::PlainOverDimensions,
        Reduction::Mean,
    );
    assert!(scalar(found.clone()) < 1e-6);
    assert!(all_finite(&flat(leaf.grad(&found.backward()).unwrap())));
}

//! The facts that follow from the paper's equations, each as a property of any input, in both conventions where it applies.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{
    Convention, Distance, FrobeniusNorm, Latent, LossConfig, LossWeights, MixtureInputs,
    MixtureWeights, Reduction, distances, euclidean_distances, kl_divergence, mixture_divergence,
    mixture_weights, orthonormality, own_class_prototypes, own_class_similarities,
    reconstruction_errors, similarity, vae_loss, vae_loss_in_full,
};

use common::{Inputs, flat, labels, scalar, tensor, values};

const DISTANCES: [Distance; 2] = [Distance::Squared, Distance::Euclidean];
const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];
const NORMS: [FrobeniusNorm; 2] = [FrobeniusNorm::Squared, FrobeniusNorm::Plain];
const WEIGHTS: [MixtureWeights; 2] = [MixtureWeights::All, MixtureWeights::Positive];
const CONVENTIONS: [Convention; 3] = [
    Convention::Paper,
    Convention::Reference2022,
    Convention::SampledMean,
];
const EPSILON: f64 = 1e-4;

/// The sizes of a problem, and a seed for its values.
#[derive(Debug, Clone, Copy)]
struct Problem {
    samples: usize,
    classes: usize,
    per_class: usize,
    width: usize,
    seed: u64,
}

fn problems() -> impl Strategy<Value = Problem> {
    (1..5usize, 2..5usize, 1..5usize, 1..7usize, any::<u64>()).prop_map(
        |(samples, classes, per_class, width, seed)| Problem {
            samples,
            classes,
            per_class,
            width,
            seed,
        },
    )
}

impl Problem {
    fn draw<const D: usize>(
        &self,
        stream: u64,
        shape: [usize; D],
        low: f32,
        high: f32,
    ) -> Tensor<D> {
        let values = values(
            shape.iter().product(),
            self.seed
                .wrapping_add(stream.wrapping_mul(0x1234_5678_9abc)),
            low,
            high,
        );
        tensor(values, shape, &Device::flex())
    }

    fn label_values(&self) -> Vec<usize> {
        values(self.samples, self.seed ^ 0xabc, 0.0, self.classes as f32)
            .into_iter()
            .map(|value| (value as usize).min(self.classes - 1))
            .collect()
    }

    fn inputs(&self) -> Inputs {
        let Self {
            samples,
            classes,
            per_class,
            width,
            ..
        } = *self;
        let all = classes * per_class;
        Inputs {
            images: self.draw(1, [samples, 2, 2, 3], -1.0, 1.0),
            reconstruction: self.draw(2, [samples, 2, 2, 3], -1.0, 1.0),
            mean: self.draw(3, [samples, width], -2.0, 2.0),
            log_variance: self.draw(4, [samples, width], -3.0, 3.0),
            noise: self.draw(5, [samples, width], -2.0, 2.0),
            labels: labels(&self.label_values(), &Device::flex()),
            prototypes: self.draw(6, [all, width], -2.0, 2.0),
            classifier: self.draw(7, [classes, all], -1.0, 1.0),
            per_class,
        }
    }

    /// Any positive similarities `[N, K·M]`, over eight orders of magnitude.
    fn similarities(&self) -> Tensor<2> {
        self.draw(8, [self.samples, self.classes * self.per_class], -14.0, 4.0)
            .exp()
    }

    fn mixture(&self) -> MixtureInputs {
        let inputs = self.inputs();
        MixtureInputs {
            prototypes: inputs.by_class(),
            images: inputs.images,
            reconstructions: inputs.reconstruction,
            mean: inputs.mean,
            log_variance: inputs.log_variance,
            similarities: self.similarities(),
            labels: inputs.labels,
        }
    }
}

fn near(found: f32, expected: f32, relative: f32) -> bool {
    (found - expected).abs() <= relative * expected.abs().max(1.0)
}

fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

fn config() -> ProptestConfig {
    ProptestConfig::with_cases(64)
}

// Eq. 4 and 5 ---------------------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    /// Eq. 4: with y one-hot and weights that sum to 1, what is left of the weighted reconstruction term is the sum of
    /// squared errors, whatever the similarities. The KL is switched off by putting every mean on every prototype.
    #[test]
    fn equation_4_the_weighted_reconstruction_term_collapses(problem in problems()) {
        let mut inputs = problem.mixture();
        inputs.mean = inputs.mean.ones_like() * 0.5;
        inputs.prototypes = inputs.prototypes.ones_like() * 0.5;
        inputs.log_variance = inputs.log_variance.zeros_like();
        let errors = reconstruction_errors(
            inputs.images.clone(), inputs.reconstructions.clone(), Reduction::Sum);
        let (found, expected) = (scalar(vae_loss_in_full(inputs)), scalar(errors.mean()));
        prop_assert!(near(found, expected, 1e-5), "{found} {expected}");
    }

    /// The same with a KL beside it: it is the difference the reconstruction makes.
    #[test]
    fn equation_4_the_reconstruction_only_adds_its_error(problem in problems()) {
        let inputs = problem.mixture();
        let errors = reconstruction_errors(
            inputs.images.clone(), inputs.reconstructions.clone(), Reduction::Sum);
        let perfect = MixtureInputs { reconstructions: inputs.images.clone(), ..inputs.clone() };
        let with = scalar(vae_loss_in_full(inputs));
        let without = scalar(vae_loss_in_full(perfect));
        let expected = without + scalar(errors.mean());
        prop_assert!(near(with, expected, 1e-5), "{with} {expected}");
    }

    /// Weights of either kind sum to 1 over the own class (or are all zero), which is what Eq. 4 rests on, for errors
    /// reduced in either way.
    #[test]
    fn mixture_weights_share_out_one(problem in problems()) {
        let inputs = problem.mixture();
        let own = own_class_similarities(inputs.similarities, inputs.labels.clone(), problem.per_class);
        let prototypes = own_class_prototypes(inputs.prototypes, inputs.labels);
        for reduction in REDUCTIONS {
            let divergence = kl_divergence(
                inputs.mean.clone(), inputs.log_variance.clone(), prototypes.clone(), reduction);
            let errors = reconstruction_errors(
                inputs.images.clone(), inputs.reconstructions.clone(), reduction);
            for kind in WEIGHTS {
                let weights = mixture_weights(own.clone(), &divergence, kind);
                prop_assert!(flat(weights.clone()).iter().all(|weight| (0.0..=1.0).contains(weight)));
                let weighted = flat((weights * errors.clone().unsqueeze_dim::<2>(1)).sum_dim(1));
                for (found, expected) in weighted.into_iter().zip(flat(errors.clone())) {
                    prop_assert!(near(found, expected, 1e-5), "{found} {expected}");
                }
            }
        }
    }

    /// Eq. 3 in full and Eq. 5 are the same function: same values, same gradients.
    #[test]
    fn equation_3_in_full_is_equation_5(problem in problems()) {
        let inputs = problem.mixture();
        let run = |loss: fn(MixtureInputs) -> Tensor<1>| {
            let leaves = MixtureInputs {
                images: inputs.images.clone().autodiff(),
                reconstructions: inputs.reconstructions.clone().autodiff().require_grad(),
                mean: inputs.mean.clone().autodiff().require_grad(),
                log_variance: inputs.log_variance.clone().autodiff().require_grad(),
                prototypes: inputs.prototypes.clone().autodiff().require_grad(),
                similarities: inputs.similarities.clone().autodiff().require_grad(),
                labels: inputs.labels.clone().autodiff(),
            };
            let value = loss(leaves.clone());
            let gradients = value.backward();
            let found = [
                flat(leaves.reconstructions.grad(&gradients).unwrap()),
                flat(leaves.mean.grad(&gradients).unwrap()),
                flat(leaves.log_variance.grad(&gradients).unwrap()),
                flat(leaves.prototypes.grad(&gradients).unwrap()),
            ];
            // Similarities have gradients over many orders of magnitude; they are compared in units of themselves.
            let similarity = flat(leaves.similarities.grad(&gradients).unwrap() * inputs.similarities.clone());
            (scalar(value), found, similarity)
        };
        let (full, full_gradients, full_similarity) = run(vae_loss_in_full);
        let (short, short_gradients, short_similarity) = run(vae_loss);
        prop_assert!(near(full, short, 1e-5), "{full} {short}");
        for (full, short) in full_gradients.iter().zip(&short_gradients) {
            let largest = short.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (full, short) in full.iter().zip(short) {
                prop_assert!((full - short).abs() <= 1e-4 * largest + 1e-6, "{full} {short}");
            }
        }
        for (full, value) in full_similarity.iter().zip(&short_similarity) {
            prop_assert!((full - value).abs() <= 1e-5 * short.abs().max(1.0), "{full} {value}");
        }
    }

    /// Both forms of L_VAE are KL plus error of the public parts, with the weights of Eq. 3.
    #[test]
    fn equation_5_is_error_plus_mixture(problem in problems()) {
        let inputs = problem.mixture();
        let own = own_class_similarities(
            inputs.similarities.clone(), inputs.labels.clone(), problem.per_class);
        let prototypes = own_class_prototypes(inputs.prototypes.clone(), inputs.labels.clone());
        let divergence = kl_divergence(
            inputs.mean.clone(), inputs.log_variance.clone(), prototypes, Reduction::Sum);
        let weights = mixture_weights(own, &divergence, MixtureWeights::All);
        let errors = reconstruction_errors(
            inputs.images.clone(), inputs.reconstructions.clone(), Reduction::Sum);
        let expected = scalar(errors.mean()) + scalar(mixture_divergence(weights, divergence));
        let found = scalar(vae_loss(inputs));
        prop_assert!(near(found, expected, 1e-5), "{found} {expected}");
    }
}

// Similarity ----------------------------------------------------------------------------------------------------------

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

// KL ------------------------------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    #[test]
    fn kl_is_never_negative_and_is_its_closed_form(problem in problems()) {
        let inputs = problem.inputs();
        let prototypes = own_class_prototypes(inputs.by_class(), inputs.labels.clone());
        let (means, variances, priors) =
            (flat(inputs.mean.clone()), flat(inputs.log_variance.clone()), flat(prototypes.clone()));
        for reduction in REDUCTIONS {
            let divergence = kl_divergence(
                inputs.mean.clone(), inputs.log_variance.clone(), prototypes.clone(), reduction);
            prop_assert_eq!(divergence.location.dims(), [problem.samples, problem.per_class]);
            prop_assert_eq!(divergence.spread.dims(), [problem.samples, 1]);
            let total = flat(divergence.total());
            prop_assert!(total.iter().all(|value| *value >= 0.0), "{total:?}");
            for (index, found) in total.iter().enumerate() {
                let sample = index / problem.per_class;
                let mut expected = 0f64;
                for d in 0..problem.width {
                    let mean = f64::from(means[sample * problem.width + d]);
                    let variance = f64::from(variances[sample * problem.width + d]);
                    let prior = f64::from(priors[index * problem.width + d]);
                    expected += 0.5 * (variance.exp() + (mean - prior).powi(2) - 1.0 - variance);
                }
                if reduction == Reduction::Mean {
                    expected /= problem.width as f64;
                }
                prop_assert!(near(*found, expected as f32, 1e-5), "{found} {expected}");
            }
        }
    }

    /// Zero at mu = phi, sigma = 1; above it as soon as one mean or one variance is elsewhere, in either direction.
    #[test]
    fn kl_is_zero_only_for_equal_distributions(
        problem in problems(), coordinate in any::<prop::sample::Index>(), step in 0.01f32..3.0,
        up in any::<bool>(), of_mean in any::<bool>(),
    ) {
        let mean = problem.draw(3, [1, problem.width], -2.0, 2.0);
        let prior = mean.clone().unsqueeze_dim::<3>(1);
        let mut moved = vec![0f32; problem.width];
        moved[coordinate.index(problem.width)] = if up { step } else { -step };
        let moved = tensor(moved, [1, problem.width], &Device::flex());
        for reduction in REDUCTIONS {
            let kl = |mean: Tensor<2>, log_variance: Tensor<2>| {
                flat(kl_divergence(mean, log_variance, prior.clone(), reduction).total())[0]
            };
            prop_assert_eq!(kl(mean.clone(), mean.zeros_like()), 0.0);
            let away = if of_mean {
                kl(mean.clone() + moved.clone(), mean.zeros_like())
            } else {
                kl(mean.clone(), moved.clone())
            };
            prop_assert!(away > 0.0, "{away}");
        }
    }

    /// Near the minimum, where 1 + lv and exp(lv) cancel, nothing but rounding may lie below zero.
    #[test]
    fn kl_near_its_minimum_is_not_negative_beyond_rounding(problem in problems(), exponent in -9.0f64..-1.0) {
        let size = 10f64.powf(exponent) as f32;
        let mean = problem.draw(3, [problem.samples, problem.width], -2.0, 2.0);
        let log_variance = problem.draw(4, [problem.samples, problem.width], -size, size);
        let divergence = kl_divergence(
            mean.clone(), log_variance, mean.unsqueeze_dim::<3>(1), Reduction::Mean);
        let found = flat(divergence.total());
        prop_assert!(found.iter().all(|value| *value >= -f32::EPSILON), "{found:?}");
    }

    /// The mixture of a sample lies between the smallest and the largest KL to a prototype of its class.
    #[test]
    fn mixture_kl_lies_between_the_extremes_of_its_class(problem in problems()) {
        let one = Problem { samples: 1, ..problem };
        let inputs = one.mixture();
        let own = own_class_similarities(inputs.similarities, inputs.labels.clone(), one.per_class);
        let prototypes = own_class_prototypes(inputs.prototypes, inputs.labels);
        for reduction in REDUCTIONS {
            let divergence = kl_divergence(
                inputs.mean.clone(), inputs.log_variance.clone(), prototypes.clone(), reduction);
            let each = flat(divergence.total());
            let smallest = each.iter().copied().fold(f32::INFINITY, f32::min);
            let largest = each.iter().copied().fold(0.0, f32::max);
            for kind in WEIGHTS {
                let weights = mixture_weights(own.clone(), &divergence, kind);
                let found = scalar(mixture_divergence(weights, divergence.clone()));
                let slack = 1e-5 * largest.max(1.0);
                prop_assert!(
                    found >= smallest - slack && found <= largest + slack,
                    "{found} outside {smallest} to {largest}"
                );
            }
        }
    }

    /// Prototypes of classes that no sample has can be anywhere, and be as similar as they like.
    #[test]
    fn mixture_kl_does_not_see_other_classes(problem in problems(), scale in 0.0f32..100.0) {
        let inputs = problem.inputs();
        let used = problem.label_values();
        let [classes, per_class, width] = inputs.by_class().dims();
        let mask: Vec<f32> = (0..classes * per_class * width)
            .map(|index| if used.contains(&(index / (per_class * width))) { 0.0 } else { 1.0 })
            .collect();
        let mask = tensor(mask, [classes * per_class, width], &Device::flex());
        let moved = Inputs {
            prototypes: inputs.prototypes.clone() + mask * scale,
            ..inputs.clone()
        };
        for convention in CONVENTIONS {
            for distance in DISTANCES {
                let config = LossConfig { distance, ..LossConfig::new(convention) };
                prop_assert_eq!(
                    scalar(inputs.terms(&config).kl), scalar(moved.terms(&config).kl));
            }
        }
        let mut one = problem.mixture();
        let before = (scalar(vae_loss(one.clone())), scalar(vae_loss_in_full(one.clone())));
        one.prototypes = moved.by_class();
        let after = (scalar(vae_loss(one.clone())), scalar(vae_loss_in_full(one)));
        prop_assert_eq!(before.0, after.0);
        prop_assert!(near(before.1, after.1, 1e-5));
    }
}

// Orthonormality ------------------------------------------------------------------------------------------------------

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

/// L_orth's lower bound in each form: a class's norm is at least 1, squared or not.
fn bound(classes: usize, reduction: Reduction) -> f32 {
    match reduction {
        Reduction::Sum => classes as f32,
        Reduction::Mean => 1.0,
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
                let bound = bound(problem.classes, reduction);
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
                let bound = bound(classes, reduction);
                let value = scalar(found.clone());
                prop_assert!((value - bound).abs() <= 1e-5 * bound, "{value} is not {bound}");
                // It is a minimum.
                let gradient = flat(leaf.grad(&found.backward()).unwrap());
                prop_assert!(gradient.iter().all(|value| value.abs() < 1e-4), "{gradient:?}");
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
                prop_assert_eq!(scalar(found.clone()), bound(one.classes, reduction));
                let gradient = flat(leaf.grad(&found.backward()).unwrap());
                prop_assert!(gradient.iter().all(|value| *value == 0.0), "{gradient:?}");
            }
        }
    }

    /// Prototypes that have collapsed into one point: the distance of zero from the identity, `sqrt M`.
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
            };
            prop_assert!(near(scalar(found.clone()), expected, 1e-5));
            prop_assert!(all_finite(&flat(leaf.grad(&found.backward()).unwrap())));
        }
    }
}

// Nothing is NaN ------------------------------------------------------------------------------------------------------

/// Every setting of the discrete choices.
fn all_choices() -> Vec<LossConfig> {
    let mut all = Vec::new();
    for latent in [Latent::Mean, Latent::Sampled] {
        for distance in DISTANCES {
            for kl_reduction in REDUCTIONS {
                for mixture_weights in WEIGHTS {
                    for orthonormality_norm in NORMS {
                        all.push(LossConfig {
                            latent,
                            distance,
                            kl_reduction,
                            mixture_weights,
                            orthonormality_norm,
                            ..LossConfig::new(Convention::Paper)
                        });
                    }
                }
            }
        }
    }
    for convention in CONVENTIONS {
        all.push(LossConfig::new(convention));
    }
    all
}

fn assert_finite(inputs: &Inputs, config: &LossConfig) -> Result<[f32; 4], TestCaseError> {
    let (terms, gradients) = inputs.differentiate(config);
    let values = terms.values();
    prop_assert!(all_finite(&values), "{}: {values:?}", config.name());
    for (name, gradient) in gradients.named() {
        prop_assert!(
            all_finite(gradient),
            "{}: {name} {gradient:?}",
            config.name()
        );
    }
    Ok(values)
}

proptest! {
    // Each case goes through all settings.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Samples exactly on a prototype of their own or another class, mean and sampled latent alike.
    #[test]
    fn nothing_is_nan_on_a_prototype(problem in problems(), pick in any::<prop::sample::Index>()) {
        let inputs = problem.inputs();
        let all = problem.classes * problem.per_class;
        let rows: Vec<usize> = (0..problem.samples).map(|row| (pick.index(all) + row) % all).collect();
        let on = inputs.prototypes.clone().select(0, labels(&rows, &Device::flex()));
        let inputs = Inputs { mean: on, noise: inputs.noise.zeros_like(), ..inputs };
        for config in all_choices() {
            assert_finite(&inputs, &config)?;
        }
    }

    /// All own-class KL divergences are exactly 0: the posterior is the prior, which is the same for the whole class.
    #[test]
    fn nothing_is_nan_when_all_own_class_kl_are_zero(problem in problems()) {
        let inputs = problem.inputs();
        let Problem { classes, per_class, width, samples, .. } = problem;
        let centres = problem.draw(22, [classes, 1, width], -2.0, 2.0);
        let mean = centres
            .clone()
            .reshape([classes, width])
            .select(0, inputs.labels.clone());
        let inputs = Inputs {
            mean,
            log_variance: Tensor::zeros([samples, width], &Device::flex()),
            prototypes: centres
                .expand([classes, per_class, width])
                .reshape([classes * per_class, width]),
            ..inputs
        };
        for config in all_choices() {
            let values = assert_finite(&inputs, &config)?;
            prop_assert_eq!(values[2], 0.0, "{}", config.name());
        }
    }

    /// Log variances at the clamp, just beyond and far beyond it, on either side.
    #[test]
    fn nothing_is_nan_at_the_clamp(
        problem in problems(),
        extremes in prop::collection::vec(
            prop::sample::select(vec![18.420_68f32, 18.420_681, 18.5, 30.0, 90.0, 1e4, 1e30, f32::MAX]), 30),
        signs in any::<u32>(), scattered in any::<bool>(),
    ) {
        let inputs = problem.inputs();
        let ordinary = flat(inputs.log_variance.clone());
        let log_variance: Vec<f32> = ordinary
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let extreme = extremes[index % extremes.len()];
                match (scattered && index % 2 == 0, signs >> (index % 32) & 1) {
                    (true, _) => *value,
                    (_, 0) => extreme,
                    _ => -extreme,
                }
            })
            .collect();
        let shape = inputs.log_variance.dims();
        let outside: Vec<bool> = log_variance
            .iter()
            .map(|value| f64::from(value.abs()) > 1e8f64.ln() + 1e-5)
            .collect();
        let inputs = Inputs {
            log_variance: tensor(log_variance, shape, &Device::flex()),
            ..inputs
        };
        for config in all_choices() {
            assert_finite(&inputs, &config)?;
            let (_, gradients) = inputs.differentiate(&config);
            for (gradient, outside) in gradients.log_variance.iter().zip(&outside) {
                prop_assert!(!outside || *gradient == 0.0, "{gradient} beyond the clamp");
            }
        }
    }

    /// M = 1 in the whole loss: the mixture is the one KL, whatever the similarity.
    #[test]
    fn nothing_is_nan_with_one_prototype_a_class(problem in problems()) {
        let one = Problem { per_class: 1, ..problem };
        let inputs = one.inputs();
        for config in all_choices() {
            let values = assert_finite(&inputs, &config)?;
            let prototypes = own_class_prototypes(inputs.by_class(), inputs.labels.clone());
            let divergence = kl_divergence(
                inputs.mean.clone(), inputs.clamped(&config), prototypes, config.kl_reduction);
            prop_assert!(near(values[2], scalar(divergence.total().mean()), 1e-5));
        }
    }

    /// Latents and prototypes far apart, where similarities are tiny.
    #[test]
    fn nothing_is_nan_far_from_every_prototype(problem in problems(), exponent in 1.0f64..7.0) {
        let inputs = problem.inputs();
        let inputs = Inputs { mean: inputs.mean * 10f64.powf(exponent), ..inputs };
        for config in all_choices() {
            assert_finite(&inputs, &config)?;
        }
    }
}

// LossConfig ----------------------------------------------------------------------------------------------------------

#[test]
fn conventions_are_what_their_names_say() {
    let paper = LossConfig::new(Convention::Paper);
    assert_eq!(
        paper,
        LossConfig {
            convention: Convention::Paper,
            latent: Latent::Sampled,
            distance: Distance::Squared,
            similarity_epsilon: 1e-4,
            reconstruction_reduction: Reduction::Sum,
            kl_reduction: Reduction::Sum,
            mixture_weights: MixtureWeights::All,
            orthonormality_norm: FrobeniusNorm::Squared,
            orthonormality_reduction: Reduction::Sum,
            log_variance_limit: 1e8f64.ln(),
            weights: LossWeights {
                prediction: 1.0,
                reconstruction: 1.0,
                kl: 1.0,
                orthonormality: 1.0,
            },
        }
    );
    let reference = LossConfig {
        convention: Convention::Reference2022,
        latent: Latent::Mean,
        distance: Distance::Euclidean,
        reconstruction_reduction: Reduction::Mean,
        kl_reduction: Reduction::Mean,
        mixture_weights: MixtureWeights::Positive,
        orthonormality_norm: FrobeniusNorm::Plain,
        orthonormality_reduction: Reduction::Mean,
        ..paper
    };
    assert_eq!(LossConfig::new(Convention::Reference2022), reference);
    let sampled = LossConfig {
        convention: Convention::SampledMean,
        latent: Latent::Sampled,
        weights: LossWeights {
            kl: 0.1,
            ..LossWeights::default()
        },
        ..reference
    };
    assert_eq!(LossConfig::new(Convention::SampledMean), sampled);
    assert_eq!(LossConfig::default(), sampled);
    let empty: LossConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, sampled);
    for (name, convention) in [
        ("paper", Convention::Paper),
        ("reference2022", Convention::Reference2022),
        ("sampled-mean", Convention::SampledMean),
    ] {
        let config: LossConfig =
            serde_json::from_str(&format!(r#"{{"convention":"{name}"}}"#)).unwrap();
        assert_eq!(config, LossConfig::new(convention));
        assert_eq!(config.name(), name);
        config.check("model.loss").unwrap();
    }
}

#[test]
fn names_tell_every_deviation() {
    let name = |text: &str| serde_json::from_str::<LossConfig>(text).unwrap().name();
    assert_eq!(
        name(r#"{"convention":"paper","distance":"euclidean"}"#),
        "paper with distance=euclidean"
    );
    assert_eq!(
        name(r#"{"convention":"reference2022","weights":{"kl":0.0}}"#),
        "reference2022 with kl weight 0"
    );
    let both = name(r#"{"kl_reduction":"sum","weights":{"orthonormality":2.5,"kl":1}}"#);
    assert!(both.starts_with("sampled-mean with "), "{both}");
    for part in [
        "kl_reduction=sum",
        "orthonormality weight 2.5",
        "kl weight 1",
    ] {
        assert!(both.contains(part), "{both}");
    }
    // Written out as the convention has it, a choice is no deviation.
    assert_eq!(
        name(r#"{"convention":"paper","latent":"sampled","weights":{"prediction":1}}"#),
        "paper"
    );
}

#[test]
fn unknown_keys_and_values_are_rejected() {
    for text in [
        r#"{"latents":"mean"}"#,
        r#"{"convention":"paper","kl":1}"#,
        r#"{"weights":{"reconstructon":1}}"#,
        r#"{"convention":"papers"}"#,
        r#"{"latent":"Mean"}"#,
        r#"{"distance":"manhattan"}"#,
        r#"{"mixture_weights":"none"}"#,
        r#"{"similarity_epsilon":"small"}"#,
        r#"{"weights":[1,1,1,1,1]}"#,
    ] {
        assert!(serde_json::from_str::<LossConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let mut broken = Vec::new();
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.0] {
        let similarity_epsilon = value;
        broken.push((
            "similarity_epsilon",
            LossConfig {
                similarity_epsilon,
                ..LossConfig::default()
            },
        ));
    }
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 80.5] {
        let log_variance_limit = value;
        broken.push((
            "log_variance_limit",
            LossConfig {
                log_variance_limit,
                ..LossConfig::default()
            },
        ));
    }
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        let mut config = LossConfig::default();
        config.weights.kl = value;
        broken.push(("weights.kl", config));
    }
    let nothing = LossWeights {
        prediction: 0.0,
        reconstruction: 0.0,
        kl: 0.0,
        orthonormality: 0.0,
    };
    broken.push((
        "weights",
        LossConfig {
            weights: nothing,
            ..LossConfig::default()
        },
    ));
    for (key, config) in broken {
        let said = config.check("model.loss").unwrap_err().to_string();
        assert!(said.starts_with(&format!("model.loss.{key}: ")), "{said}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_config_survives_its_file(
        choices in prop::array::uniform8(any::<bool>()), convention in 0..3usize,
        numbers in prop::array::uniform5(0.0f64..10.0), epsilon in 1e-8f64..0.9,
    ) {
        fn either<T>(first: bool, one: T, other: T) -> T {
            if first { one } else { other }
        }
        let config = LossConfig {
            convention: CONVENTIONS[convention],
            latent: either(choices[0], Latent::Mean, Latent::Sampled),
            distance: either(choices[1], Distance::Squared, Distance::Euclidean),
            similarity_epsilon: epsilon,
            reconstruction_reduction: either(choices[2], Reduction::Sum, Reduction::Mean),
            kl_reduction: either(choices[3], Reduction::Sum, Reduction::Mean),
            mixture_weights: either(choices[4], MixtureWeights::All, MixtureWeights::Positive),
            orthonormality_norm: either(choices[5], FrobeniusNorm::Squared, FrobeniusNorm::Plain),
            orthonormality_reduction: either(choices[6], Reduction::Sum, Reduction::Mean),
            log_variance_limit: numbers[0] + 0.1,
            weights: LossWeights {
                prediction: numbers[1],
                reconstruction: numbers[2],
                kl: either(choices[7], 0.0, numbers[3]),
                orthonormality: numbers[4],
            },
        };
        let text = serde_json::to_string(&config).unwrap();
        let again: LossConfig = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.name(), config.name());
        prop_assert!(config.check("loss").is_ok());
    }
}

//! KL divergences.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{
    LossConfig, Reduction, kl_divergence, mixture_divergence, mixture_weights,
    own_class_divergence, own_class_prototypes, own_class_similarities, vae_loss, vae_loss_in_full,
};

use crate::common::{Inputs, flat, scalar, tensor};
use crate::support::{
    CONVENTIONS, DISTANCES, Problem, REDUCTIONS, WEIGHTS, config, near, problems,
};

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

    /// The divergences to a sample's own class are those to its prototypes gathered, and so are their gradients.
    #[test]
    fn own_class_divergences_are_those_to_gathered_prototypes(problem in problems()) {
        let inputs = problem.inputs();
        let labels = inputs.labels.clone().autodiff();
        for reduction in REDUCTIONS {
            let results = |gathered: bool| {
                let mean = inputs.mean.clone().autodiff().require_grad();
                let log_variance = inputs.log_variance.clone().autodiff().require_grad();
                let prototypes = inputs.by_class().autodiff().require_grad();
                let (leaves, labels) = ((mean.clone(), log_variance.clone(), prototypes.clone()), labels.clone());
                let divergence = if gathered {
                    kl_divergence(mean, log_variance, own_class_prototypes(prototypes, labels), reduction)
                } else {
                    own_class_divergence(mean, log_variance, prototypes, labels, reduction)
                };
                let total = divergence.total();
                let gradients = total.clone().sum().backward();
                [
                    flat(total),
                    flat(leaves.0.grad(&gradients).unwrap()),
                    flat(leaves.1.grad(&gradients).unwrap()),
                    flat(leaves.2.grad(&gradients).unwrap()),
                ].concat()
            };
            for (ours, gathered) in results(false).into_iter().zip(results(true)) {
                prop_assert!(near(ours, gathered, 1e-5), "{ours} {gathered}");
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

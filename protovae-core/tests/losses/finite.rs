//! Nothing is NaN, in any setting.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{Convention, Latent, LossConfig, kl_divergence, own_class_prototypes};

use crate::common::{Inputs, flat, labels, scalar, tensor};
use crate::support::{
    CONVENTIONS, DISTANCES, NORMS, Problem, REDUCTIONS, WEIGHTS, all_finite, near, problems,
};

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

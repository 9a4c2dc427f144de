//! The mixture of Eq. 3, whole and in parts: Eq. 4 and 5.

use burn::tensor::Tensor;
use proptest::prelude::*;
use protovae_core::loss::{
    MixtureInputs, MixtureWeights, Reduction, kl_divergence, mixture_divergence, mixture_weights,
    own_class_prototypes, own_class_similarities, reconstruction_errors, vae_loss,
    vae_loss_in_full,
};

use crate::common::{flat, scalar};
use crate::support::{REDUCTIONS, WEIGHTS, config, near, problems};

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

//! The losses of the paper on tensors of one's own: an encoder that is one matrix, trained by plain gradient descent.
//!
//! ```console
//! cargo run -p protovae-core --example losses
//! ```

#![allow(clippy::print_stdout)]

use burn::tensor::{Device, Int, Tensor};
use protovae_core::loss::{
    Distance, FrobeniusNorm, MixtureWeights, Reduction, cross_entropy, distances,
    mixture_divergence, mixture_weights, orthonormality, own_class_divergence,
    own_class_similarities, similarity,
};
use protovae_core::random::{Purpose, normal_rows};

/// Images, here points; classes; prototypes a class; latent dimensions.
const N: usize = 64;
const K: usize = 2;
const M: usize = 2;
const L: usize = 3;

fn main() {
    let device = Device::flex();
    let noise = |rows: usize, stream: u64| {
        let indices: Vec<u64> = (0..rows as u64).collect();
        normal_rows(7, stream, &indices, L, Purpose::Plugin, &device)
    };
    // Points of class 0 lie around (2, 0, 0), those of class 1 around (0, 2, 0).
    let labels: Vec<i64> = (0..N as i64).map(|point| point % K as i64).collect();
    let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &device);
    let centres = Tensor::<2>::from_floats([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]], &device);
    let points = centres.select(0, labels.clone()) + noise(N, 0) * 0.5;
    // A similarity speaks for the class of its prototype and half as much against the other.
    let class_weights =
        Tensor::<2>::from_floats([[1.0, 1.0, -0.5, -0.5], [-0.5, -0.5, 1.0, 1.0]], &device);

    let mut encoder = noise(L, 1);
    let mut prototypes = noise(K * M, 2);
    for step in 0..=200 {
        let encoder_now = Tensor::from_inner(encoder.clone()).require_grad();
        let prototypes_now = Tensor::from_inner(prototypes.clone()).require_grad();
        let labels = Tensor::from_inner(labels.clone());
        let mean = Tensor::from_inner(points.clone()).matmul(encoder_now.clone());
        let log_variance = mean.zeros_like();
        let by_class = prototypes_now.clone().reshape([K, M, L]);

        let apart = distances(mean.clone(), prototypes_now.clone(), Distance::Euclidean);
        let similarities = similarity(apart, 1e-4);
        let logits = similarities
            .clone()
            .matmul(Tensor::from_inner(class_weights.clone()).transpose());
        let prediction = cross_entropy(logits, labels.clone());
        // Eq. 7: the KL divergences to the own class's prototypes, weighted by similarity.
        let divergence = own_class_divergence(
            mean,
            log_variance,
            by_class.clone(),
            labels.clone(),
            Reduction::Mean,
        );
        let own = own_class_similarities(similarities, labels, M);
        let weights = mixture_weights(own, &divergence, MixtureWeights::All);
        let kl = mixture_divergence(weights, divergence);
        // Eq. 6.
        let spread = orthonormality(by_class, FrobeniusNorm::Plain, Reduction::Mean);
        let loss = prediction.clone() + kl.clone() + spread.clone();

        if step % 50 == 0 {
            let value = |term: Tensor<1>| term.into_scalar::<f32>();
            let (prediction, kl, spread) = (value(prediction), value(kl), value(spread));
            println!(
                "step {step:3}: prediction {prediction:.3}, kl {kl:.3}, orthonormality {spread:.3}"
            );
        }
        let gradients = loss.backward();
        if let (Some(of_encoder), Some(of_prototypes)) = (
            encoder_now.grad(&gradients),
            prototypes_now.grad(&gradients),
        ) {
            encoder = encoder - of_encoder * 0.1;
            prototypes = prototypes - of_prototypes * 0.1;
        }
    }
}

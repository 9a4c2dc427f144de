//! Layers that hand maps to each other in blocks, as in the networks, agree with the same layers by burn's own operations:
//! what lies in the lanes without an image never gets into a result.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::values::{loss, random, values};
use crate::kernels::{Maps, linear, stock, tanh};

/// An autoencoder of all layers: 8×8 images through a convolution, a pooled normalisation, a strided convolution and
/// a normalisation to 2×2, fully connected to units, normalised, unflattened and enlarged again.
struct Chain {
    images: Tensor<4>,
    weights: Vec<Tensor<4>>,
    matrix: Tensor<2>,
    vectors: Vec<Tensor<1>>,
}

const EPSILON: f64 = 1e-2;

impl Chain {
    fn new(batch: usize, channels: [usize; 3], seed: u64, device: &Device) -> Self {
        let [first, second, third] = channels;
        let mut seed = seed;
        let mut next = || {
            seed = seed.wrapping_add(1);
            seed
        };
        let units = third * 4;
        Self {
            images: random([batch, 2, 8, 8], next(), device).require_grad(),
            weights: [
                ([first, 2, 3, 3], 1.2 / 18f32.sqrt()),
                ([second, first, 4, 4], 0.15 / (first as f32 * 16.0).sqrt()),
                ([third, second, 4, 4], 0.15 / (third as f32 * 4.0).sqrt()),
                ([second, 2, 3, 3], 0.02 / (second as f32).sqrt()),
            ]
            .map(|(shape, deviation)| (random(shape, next(), device) * deviation).require_grad())
            .to_vec(),
            matrix: (random([second * 4, units], next(), device) * 0.07 / (second as f32).sqrt())
                .require_grad(),
            vectors: [
                first, first, second, second, units, units, second, second, 2,
            ]
            .into_iter()
            .enumerate()
            .map(|(index, length)| {
                let vector = random([length], next(), device);
                // These are added before a ReLU (and scale what comes after it).
                let vector = if matches!(index, 0 | 2 | 4 | 6) {
                    far_from_zero(vector)
                } else {
                    vector
                };
                vector.require_grad()
            })
            .collect(),
        }
    }

    fn weight(&self, index: usize) -> Tensor<4> {
        self.weights[index].clone()
    }

    fn vector(&self, index: usize) -> Tensor<1> {
        self.vectors[index].clone()
    }

    fn by_kernels(&self) -> Tensor<4> {
        let [third, second, _, _] = self.weights[2].dims();
        let batch = self.images.dims()[0];
        let maps = Maps::new(self.images.clone())
            .conv2d(self.weight(0), self.vector(0), 1, 1)
            .relu_batch_norm(self.vector(0), self.vector(1), EPSILON, true)
            .maps
            .conv2d(self.weight(1), self.vector(2), 2, 1)
            .relu_batch_norm(self.vector(2), self.vector(3), EPSILON, false)
            .maps;
        assert_eq!(maps.dims(), [batch, second, 2, 2]);
        let features = maps.into_images().reshape([batch, second * 4]);
        let units = linear(features, self.matrix.clone(), self.vector(4));
        let maps = Maps::new(units.reshape([batch, third * 4, 1, 1]))
            .relu_batch_norm(self.vector(4), self.vector(5), EPSILON, false)
            .maps
            .unflatten([third, 2, 2])
            .conv_transpose2d(self.weight(2), self.vector(6), 2, 1)
            .relu_affine(self.vector(6), self.vector(7), false)
            .conv_transpose2d(self.weight(3), self.vector(8), 2, 1);
        tanh(maps.into_images())
    }

    fn by_stock(&self) -> Tensor<4> {
        let [third, second, _, _] = self.weights[2].dims();
        let batch = self.images.dims()[0];
        let x = stock::conv2d(self.images.clone(), self.weight(0), self.vector(0), 1, 1);
        let x = stock::relu_batch_norm(x, self.vector(0), self.vector(1), EPSILON, true).output;
        let x = stock::conv2d(x, self.weight(1), self.vector(2), 2, 1);
        let x = stock::relu_batch_norm(x, self.vector(2), self.vector(3), EPSILON, false).output;
        let x = stock::linear(
            x.reshape([batch, second * 4]),
            self.matrix.clone(),
            self.vector(4),
        );
        let x = x.reshape([batch, third * 4, 1, 1]);
        let x = stock::relu_batch_norm(x, self.vector(4), self.vector(5), EPSILON, false).output;
        let x = x.reshape([batch, third, 2, 2]);
        let x = stock::conv_transpose2d(x, self.weight(2), self.vector(6), 2, 1);
        let x = stock::relu_affine(x, self.vector(6), self.vector(7), false);
        stock::tanh(stock::conv_transpose2d(
            x,
            self.weight(3),
            self.vector(8),
            2,
            1,
        ))
    }

    fn results(&self, output: Tensor<4>) -> Vec<Vec<f32>> {
        let gradients = loss(output.clone()).backward();
        let mut results = vec![
            values(output),
            values(self.images.grad(&gradients).unwrap()),
            values(self.matrix.grad(&gradients).unwrap()),
        ];
        let weights = self.weights.iter().map(|w| w.grad(&gradients).unwrap());
        results.extend(weights.map(values));
        let vectors = self.vectors.iter().map(|v| v.grad(&gradients).unwrap());
        results.extend(vectors.map(values));
        results
    }
}

/// Several deviations of what they are added to, so that rounding does not decide what passes a ReLU, upon which gradients
/// would differ by any amount: a fourth of the channels far below zero, the others far above.
fn far_from_zero(vector: Tensor<1>) -> Tensor<1> {
    let [length] = vector.dims();
    let signs: Vec<f32> = (0..length)
        .map(|channel| if channel % 4 == 3 { -1.0 } else { 1.0 })
        .collect();
    let signs = Tensor::from_floats(&signs[..], &vector.device());
    (vector.tanh() + 7.0) * signs
}

/// The distance is a hundredth of the length, at most.
fn is_near(ours: &[f32], stock: &[f32]) -> bool {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let distance = length(&mut ours.iter().zip(stock).map(|(a, b)| a - b));
    distance <= 1e-2 * length(&mut stock.iter().copied()).max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_agree_with_stock(
        batch in 12..71usize, first in 1..10usize, second in 1..10usize, third in 1..10usize, seed: u64,
    ) {
        let chain = Chain::new(batch, [first, second, third], seed, &Device::flex().autodiff());
        let (ours, stock) = (chain.results(chain.by_kernels()), chain.results(chain.by_stock()));
        for (index, (ours, stock)) in ours.iter().zip(&stock).enumerate() {
            prop_assert!(is_near(ours, stock), "tensor {}: {:?} against {:?}", index, ours, stock);
        }
    }
}

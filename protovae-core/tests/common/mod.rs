//! What several test files need: numbers, and the whole loss composed of the public functions.

#![allow(dead_code)] // each test file uses its share

pub mod toys;

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use protovae_core::loss::{
    Latent, LossConfig, cross_entropy, distances, mixture_divergence, mixture_weights,
    orthonormality, own_class_divergence, own_class_similarities, reconstruction_errors,
    similarity,
};

/// The values of a tensor, flat.
pub fn flat<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The only value of a tensor.
pub fn scalar(tensor: Tensor<1>) -> f32 {
    let values = flat(tensor);
    assert_eq!(values.len(), 1);
    values[0]
}

/// Values between `low` and `high` without a pattern, the same for the same seed.
pub fn values(count: usize, seed: u64, low: f32, high: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            low + (high - low) * ((mixed >> 40) as f32 / (1u64 << 24) as f32)
        })
        .collect()
}

/// A tensor of given values.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Labels as the losses take them.
pub fn labels(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|label| *label as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Everything the whole loss is a function of.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// `[N, C, H, W]`.
    pub images: Tensor<4>,
    /// `[N, C, H, W]`, a free input, not a function of z.
    pub reconstruction: Tensor<4>,
    /// `[N, L]`.
    pub mean: Tensor<2>,
    /// `[N, L]`, not clamped yet.
    pub log_variance: Tensor<2>,
    /// `[N, L]`.
    pub noise: Tensor<2>,
    /// `[N]`.
    pub labels: Tensor<1, Int>,
    /// `[K·M, L]`.
    pub prototypes: Tensor<2>,
    /// `[K, K·M]`.
    pub classifier: Tensor<2>,
    /// `M`.
    pub per_class: usize,
}

/// The terms of the whole loss.
#[derive(Debug, Clone)]
pub struct Terms {
    pub prediction: Tensor<1>,
    pub reconstruction: Tensor<1>,
    pub kl: Tensor<1>,
    pub orthonormality: Tensor<1>,
}

impl Terms {
    /// The sum with weight 1 for each term.
    pub fn total(self) -> Tensor<1> {
        self.prediction + self.reconstruction + self.kl + self.orthonormality
    }

    /// The terms in order of their names' appearance.
    pub fn values(&self) -> [f32; 4] {
        [
            &self.prediction,
            &self.reconstruction,
            &self.kl,
            &self.orthonormality,
        ]
        .map(|term| scalar(term.clone()))
    }
}

/// Gradients of the five inputs that have one.
#[derive(Debug)]
pub struct InputGradients {
    pub mean: Vec<f32>,
    pub log_variance: Vec<f32>,
    pub prototypes: Vec<f32>,
    pub classifier: Vec<f32>,
    pub reconstruction: Vec<f32>,
}

fn gradient<const D: usize>(leaf: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    match leaf.grad(gradients) {
        Some(gradient) => flat(gradient),
        None => vec![0.0; leaf.dims().iter().product()],
    }
}

impl Inputs {
    pub fn by_class(&self) -> Tensor<3> {
        let [all, width] = self.prototypes.dims();
        self.prototypes
            .clone()
            .reshape([all / self.per_class, self.per_class, width])
    }

    pub fn clamped(&self, config: &LossConfig) -> Tensor<2> {
        let limit = config.log_variance_limit;
        self.log_variance.clone().clamp(-limit, limit)
    }

    pub fn latents(&self, config: &LossConfig) -> Tensor<2> {
        match config.latent {
            Latent::Mean => self.mean.clone(),
            Latent::Sampled => {
                self.mean.clone() + (self.clamped(config) * 0.5).exp() * self.noise.clone()
            }
        }
    }

    /// The terms, composed as `ProtoVae::losses` composes them.
    pub fn terms(&self, config: &LossConfig) -> Terms {
        let latents = self.latents(config);
        let apart = distances(latents, self.prototypes.clone(), config.distance);
        let similarities = similarity(apart, config.similarity_epsilon);
        let logits = similarities
            .clone()
            .matmul(self.classifier.clone().transpose());
        let divergence = own_class_divergence(
            self.mean.clone(),
            self.clamped(config),
            self.by_class(),
            self.labels.clone(),
            config.kl_reduction,
        );
        let own = own_class_similarities(similarities, self.labels.clone(), self.per_class);
        let weights = mixture_weights(own, &divergence, config.mixture_weights);
        Terms {
            prediction: cross_entropy(logits, self.labels.clone()),
            reconstruction: reconstruction_errors(
                self.images.clone(),
                self.reconstruction.clone(),
                config.reconstruction_reduction,
            )
            .mean(),
            kl: mixture_divergence(weights, divergence),
            orthonormality: orthonormality(
                self.by_class(),
                config.orthonormality_norm,
                config.orthonormality_reduction,
            ),
        }
    }

    /// The terms, and the gradients of their sum.
    pub fn differentiate(&self, config: &LossConfig) -> (Terms, InputGradients) {
        fn leaf<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
            tensor.clone().autodiff().require_grad()
        }
        let leaves = Self {
            images: self.images.clone().autodiff(),
            reconstruction: leaf(&self.reconstruction),
            mean: leaf(&self.mean),
            log_variance: leaf(&self.log_variance),
            noise: self.noise.clone().autodiff(),
            labels: self.labels.clone().autodiff(),
            prototypes: leaf(&self.prototypes),
            classifier: leaf(&self.classifier),
            per_class: self.per_class,
        };
        let terms = leaves.terms(config);
        let gradients = terms.clone().total().backward();
        let found = InputGradients {
            mean: gradient(&leaves.mean, &gradients),
            log_variance: gradient(&leaves.log_variance, &gradients),
            prototypes: gradient(&leaves.prototypes, &gradients),
            classifier: gradient(&leaves.classifier, &gradients),
            reconstruction: gradient(&leaves.reconstruction, &gradients),
        };
        (terms, found)
    }
}

impl InputGradients {
    /// Each gradient by the name of its input.
    pub fn named(&self) -> [(&'static str, &[f32]); 5] {
        [
            ("mean", &self.mean),
            ("log_variance", &self.log_variance),
            ("prototypes", &self.prototypes),
            ("classifier", &self.classifier),
            ("reconstruction", &self.reconstruction),
        ]
    }
}

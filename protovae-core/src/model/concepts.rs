//! What models say that explain themselves by concepts or attributes.

use burn::tensor::Tensor;

/// Concepts in images and their weight for each class: what SENN and FLINT explain a prediction by.
///
/// The part of concept `c` in the logit of class `k` of image `i` is `activations[i, c] * weights[i, k, c]`; the logit is
/// their sum and a bias a class, if the model has one.
#[derive(Debug, Clone)]
pub struct Concepts {
    /// How much of each concept there is, `[N, C]`.
    pub activations: Tensor<2>,
    /// How much each concept counts for each class, `[N, K, C]`; the same for every image if the model has one set of weights.
    pub weights: Tensor<3>,
}

impl Concepts {
    /// The part of each concept in each logit, `[N, K, C]`.
    pub fn contributions(&self) -> Tensor<3> {
        self.weights.clone() * self.activations.clone().unsqueeze_dim::<3>(1)
    }
}

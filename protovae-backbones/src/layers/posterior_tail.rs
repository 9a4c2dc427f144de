//! The fully connected end that all encoders share.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::plugin::{LayerView, Posterior};
use protovae_core::random::Initializer;

use super::Linear;
use crate::kernels::relu;

/// `Linear(features, 2L)`, ReLU, `Linear(2L, 2L)`, split into mean and log variance.
#[derive(Module, Debug)]
pub struct PosteriorTail {
    /// From the features to `2L` units.
    pub hidden: Linear,
    /// From these to `[mean | log_variance]`.
    pub posterior: Linear,
}

impl PosteriorTail {
    /// The end of an encoder with so many features and `L` latent dimensions.
    pub fn new(features: usize, latent_dimensions: usize, init: &mut Initializer) -> Self {
        let width = 2 * latent_dimensions;
        Self {
            hidden: Linear::new(features, width, init),
            posterior: Linear::new(width, width, init),
        }
    }

    /// Features `[N, F]` to a posterior of two `[N, L]`.
    pub fn forward(&self, features: Tensor<2>) -> Posterior {
        let both = self.posterior.forward(relu(self.hidden.forward(features)));
        let latent_dimensions = both.dims()[1] / 2;
        Posterior {
            mean: both.clone().narrow(1, 0, latent_dimensions),
            log_variance: both.narrow(1, latent_dimensions, latent_dimensions),
        }
    }

    /// The layers as relevance propagation sees them.
    pub fn layer_views(&self) -> Vec<LayerView> {
        vec![
            self.hidden.layer_view(),
            LayerView::Relu,
            self.posterior.layer_view(),
        ]
    }
}

//! The burn modules of which all networks are made.
//!
//! They compute through [`crate::kernels`] and name their parameters as burn's own layers do, so that burn's weight
//! adapters (PyTorch's layout, `gamma` for `weight`) know them. Layers that an encoder may be made of also show themselves
//! as [`LayerView`](protovae_core::plugin::LayerView)s, as they compute in evaluation.

mod convolution;
mod convolution_block;
mod fully_connected_norm;
mod linear;
mod normalization;
mod posterior_tail;
mod residual_block;
mod transposed;
mod transposed_block;
mod unbiased_convolution;

pub use convolution::{Conv2d, ConvolutionWeights};
pub use convolution_block::ConvBlock;
pub use fully_connected_norm::FullyConnectedNorm;
pub use linear::Linear;
pub use normalization::BatchNorm;
pub use posterior_tail::PosteriorTail;
pub use residual_block::ResidualBlock;
pub use transposed::ConvTranspose2d;
pub use transposed_block::TransposeBlock;
pub use unbiased_convolution::UnbiasedConv2d;

/// Uniform weights are drawn from ± this.
const UNIFORM_BOUND: f32 = 0.08;

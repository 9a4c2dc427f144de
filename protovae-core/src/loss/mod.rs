//! The losses of the paper as pure functions of tensors, one an equation, and the settings that choose between them.
//!
//! Shapes: N images, K classes, M prototypes a class, L latent dimensions. Labels lie in `0..K`. None of these functions
//! samples or keeps state, all are differentiable, and none gives NaN for finite input.

mod config;
mod divergence;
mod mixture;
mod orthonormality;
mod pairwise;
mod prediction;
mod similarity;
mod spread;
mod volume;

pub use config::{
    CONVENTION_KEYS, Convention, Distance, FrobeniusNorm, Latent, LossConfig, LossWeights,
    MixtureWeights, Reduction,
};
pub use divergence::{KlDivergence, kl_divergence, own_class_divergence};
pub use mixture::{
    MixtureInputs, mixture_divergence, mixture_weights, own_class_prototypes,
    own_class_similarities, vae_loss, vae_loss_in_full,
};
pub use orthonormality::orthonormality;
pub use prediction::{cross_entropy, reconstruction_errors};
pub use similarity::{
    SMALLEST_SIMILARITY_EPSILON, distances, euclidean_distances, similarity, squared_distances,
};
pub use volume::inverse_volume;

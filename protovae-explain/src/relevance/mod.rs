//! Relevance propagation: rules, composites, and propagation from a prototype to the pixels.
//!
//! * [`Rule`]: how one linear layer hands relevance on; [`Composite`]: which layer gets which rule;
//! * [`Propagator`]: an encoder with its rules, for relevance of latent dimensions of one's own;
//! * [`PrototypicalRelevance`]: the explainer `prp`, which starts from the similarity to a prototype.
//!
//! Batch normalisation is folded on the side where no ReLU stands between: into the layer that *follows* a block of
//! convolution, ReLU and normalisation (where that layer pads with zeros, the shift becomes a bias a pixel), and into the
//! convolution *before* in ResNet's order. The canonised encoder computes what the encoder computes.
//!
//! Everything is forward operations on tensors without autodiff: the activations of one forward pass serve all targets, and
//! what depends on the image alone is computed once for all of them.

// A network has a handful of layers: boxing the larger kinds would buy nothing.
#![allow(clippy::large_enum_variant)]

mod canonise;
mod chain;
mod composite;
mod linear_map;
mod prepare;
mod propagate;
mod propagator;
mod prototypical;
mod rule;
mod sharing;

pub use composite::{Composite, Normalization};
pub use propagator::{Prepared, Propagator};
pub use prototypical::{CompositeChoice, PrototypicalRelevance};
pub use rule::Rule;
pub use sharing::Sharing;

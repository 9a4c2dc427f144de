//! Encoders, decoders and heads for ProtoVAE, and the CPU kernels under them.
//!
//! * [`layers`]: the burn modules of which all networks are made.
//! * [`encoders`]: `conv-pool` and `conv-stride`, the small encoders of the paper's Figure 1.
//! * [`decoders`]: `conv-transpose`, its decoders.
//! * [`heads`]: `prototype`, the head of the paper, and `linear`, that of the black box it is compared with.
//! * [`networks`]: the recipe of each data set's encoder and decoder.
//! * [`systems`]: the models that ProtoVAE is compared with.
//! * [`kernels`]: the layers' arithmetic.
//! * [`weights`]: other programs' weights in, ours out.
//!
//! Every network is found by the tag of its recipe, in JSON under `"type"`. A program that names recipes only in JSON must
//! refer to this crate once (`use protovae_backbones as _;`), or the linker drops them.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use protovae_backbones::networks::Network;
//! use protovae_core::plugin::{DecoderConfig, DecoderSpec, EncoderSpec};
//! use protovae_core::random::Initializer;
//!
//! let device = Device::flex();
//! let mut init = Initializer::new(7, &device);
//! let image = Network::Mnist.image();
//!
//! // The paper's encoder for MNIST, and a decoder of our own for it.
//! let spec = EncoderSpec { image, latent_dimensions: 16 };
//! let encoder = Network::Mnist.encoder().build(&spec, &mut init)?;
//! let recipe: Box<dyn DecoderConfig> = serde_json::from_str(
//!     r#"{"type": "conv-transpose", "start": [8, 14, 14], "stages": [{"conv": 8}, {"transpose": 4}]}"#,
//! )?;
//! let decoder = recipe.build(&DecoderSpec { image, latent_dimensions: 16 }, &mut init)?;
//!
//! let posterior = encoder.encode(Tensor::zeros([2, 1, 28, 28], &device));
//! assert_eq!(posterior.mean.dims(), [2, 16]);
//! assert_eq!(decoder.decode(posterior.mean).dims(), [2, 1, 28, 28]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

mod check;
pub mod decoders;
pub mod encoders;
pub mod heads;
#[allow(unsafe_code)]
pub mod kernels;
pub mod layers;
pub mod networks;
pub mod systems;
pub mod weights;

/// Compiles and runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

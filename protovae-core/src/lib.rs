//! ProtoVAE's core: the model, its losses, the plugin traits, the trainer and its checkpoints, on [burn](https://burn.dev).
//!
//! A ProtoVAE (Gautam et al., NeurIPS 2022) is a variational autoencoder with a bank of class prototypes in its latent space.
//! An image is classified by its similarity to the prototypes, and each prototype can be decoded into a picture, so that
//! the reasons for a prediction can be looked at.
//!
//! * [`loss`]: every loss of the paper as a pure function of tensors, and the settings that choose between conventions.
//! * [`plugin`]: the traits [`Encoder`](plugin::Encoder), [`Decoder`](plugin::Decoder),
//!   [`PrototypeHead`](plugin::PrototypeHead), [`Explainer`](plugin::Explainer) and their serialisable recipes.
//! * [`model`]: what a trainer knows of a model, [`ProtoVae`](model::ProtoVae) and [`BlackBox`](model::BlackBox).
//! * [`train`]: the trainer, run directories, checkpoints, exact resume.
//! * [`conformance`]: tests that plugin authors call from their own.
//!
//! This crate knows no data set, no image file and no command line.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod device;
pub mod erased;
mod error;
mod image_shape;
pub mod loss;
pub mod model;
pub mod plugin;
mod precision;
mod primitive;
pub mod random;
pub mod train;

pub use error::{Error, Result};
pub use image_shape::ImageShape;
pub use precision::Precision;

// The README's example is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

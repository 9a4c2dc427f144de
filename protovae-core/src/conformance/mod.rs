//! Tests of the plugin traits' promises, to be called from the tests of whoever writes a plugin.
//!
//! Each function builds the plugin from its recipe on the CPU, with and without autodiff, tries every promise written on
//! its trait, and says which one is broken, what was expected and what was found. A passing check takes milliseconds for
//! a small plugin; choose a small specification.
//!
//! ```
//! use burn::module::{Module, Param};
//! use burn::tensor::Tensor;
//! use protovae_core::conformance;
//! use protovae_core::plugin::{BoxDecoder, Decoder, DecoderConfig, DecoderSpec};
//! use protovae_core::random::Initializer;
//! use protovae_core::{ImageShape, Result};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Module, Debug)]
//! struct Linear {
//!     weight: Param<Tensor<2>>,
//!     #[module(skip)]
//!     image: ImageShape,
//! }
//!
//! impl Decoder for Linear {
//!     fn decode(&self, latents: Tensor<2>) -> Tensor<4> {
//!         let [samples, _] = latents.dims();
//!         let ImageShape { channels, height, width } = self.image;
//!         latents.matmul(self.weight.val()).tanh().reshape([samples, channels, height, width])
//!     }
//! }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct LinearConfig {}
//!
//! #[typetag::serde(name = "linear-decoder")]
//! impl DecoderConfig for LinearConfig {
//!     fn build(&self, spec: &DecoderSpec, init: &mut Initializer) -> Result<BoxDecoder> {
//!         let shape = [spec.latent_dimensions, spec.image.values()];
//!         Ok(BoxDecoder::new(Linear { weight: init.normal(shape, 0.0, 0.1), image: spec.image }))
//!     }
//! }
//!
//! // In a `#[test]`:
//! let spec = DecoderSpec { image: ImageShape::new(1, 4, 4), latent_dimensions: 3 };
//! conformance::decoder(&LinearConfig {}, &spec)?;
//! # Ok::<(), protovae_core::Error>(())
//! ```

mod decoder;
mod encoder;
mod exercise;
mod explainer;
mod features;
mod head;
mod inputs;
mod model;
mod state;
mod subject;

pub use decoder::decoder;
pub use encoder::encoder;
pub use explainer::explainer;
pub use features::features;
pub use head::head;
pub use model::model;

/// Samples of the larger batch; the smaller has one.
const SAMPLES: usize = 3;

/// Two ways to compute the same may differ by this share of the largest magnitude (of 1, if that is larger).
const TOLERANCE: f32 = 1e-4;

/// The seed of everything that is drawn here.
const SEED: u64 = 20_220_815;

//! Explanations of models: their prototypes and reconstructions as pictures, and relevance maps.
//!
//! * [`pictures`]: grids of decoded prototypes and of images beside their reconstructions, as PNG.
//! * [`explainers`]: methods behind [`protovae_core::plugin::Explainer`].
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use protovae_explain::pictures::Grid;
//! let images = Tensor::<4>::zeros([6, 1, 28, 28], &Device::flex());
//! let picture = Grid { columns: 3, scale: 2, gap: 2 }.draw(images)?;
//! assert_eq!(picture.width(), 3 * 28 * 2 + 4 * 2);
//! # Ok::<(), protovae_explain::Error>(())
//! ```

#![forbid(unsafe_code)]

mod error;
pub mod explainers;
pub mod measures;
pub mod pictures;
pub mod relevance;
pub mod report;
pub mod views;

pub use error::{Error, Result};

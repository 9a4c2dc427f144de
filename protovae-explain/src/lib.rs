//! Explanations of models: which pixels speak for a prototype or a class, what a prediction rests on, and what that is worth.
//!
//! * [`relevance`]: relevance propagation by explicit rules, through an encoder or any list of layers.
//! * [`explainers`]: the methods behind [`protovae_core::plugin::Explainer`], by name or recipe.
//! * [`measures`]: what maps are worth, beside a random map.
//! * [`views`]: evidence of a prediction; what prototypes stand for; images that are unlike the training's.
//! * [`pictures`]: grids, maps in colour, panels, charts.
//! * [`report`]: all of it on one HTML page.
//! * [`side_by_side`]: several runs in one table and on one page.
//!
//! Tensors of images are `[N, C, H, W]` with values in `[-1, 1]`; models are taken in evaluation, as `valid()`.
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

mod check;
mod error;
pub mod explainers;
pub mod measures;
pub mod pictures;
pub mod relevance;
pub mod report;
pub mod side_by_side;
pub mod views;
mod words;

pub use error::{Error, Result};

/// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

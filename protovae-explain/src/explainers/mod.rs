//! Explainers: methods that say which pixels speak for a target, and the random map that each of them has to beat.
//!
//! Models that compare patches explain themselves by where they are similar ([`SimilarityMap`]); [`suited`] says which serves a model.
//! Prototypical relevance propagation (`prp`) lives in [`crate::relevance`]; [`named`] finds all of them by name, those of linked
//! plugins too, and with settings of one's own by recipe.
//!
//! ```
//! use protovae_explain::explainers::named;
//! assert_eq!(named("integrated-gradients")?.name(), "integrated gradients");
//! assert_eq!(named(r#"{"type": "occlusion", "window": 6}"#)?.name(), "occlusion");
//! assert!(named("magic").is_err());
//! # Ok::<(), protovae_core::Error>(())
//! ```

mod gradient_times_input;
mod gradients;
mod integrated_gradients;
mod named;
mod occlusion;
mod random_map;
mod scores;
mod similarity_map;
mod smooth_grad;

pub use gradient_times_input::GradientTimesInput;
pub use integrated_gradients::IntegratedGradients;
pub use named::{NAMES, known_names, named};
pub use occlusion::Occlusion;
pub use random_map::RandomMap;
pub use similarity_map::{SimilarityMap, suited};
pub use smooth_grad::SmoothGrad;

pub(crate) use gradients::input_gradient;
pub(crate) use scores::rows_at_once;

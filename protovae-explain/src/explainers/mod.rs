//! Explainers: methods that say which pixels speak for a target, and the random map that each of them has to beat.
//!
//! Prototypical relevance propagation (`prp`) lives in [`crate::relevance`]; [`named`] finds all of them by name.
//!
//! ```
//! let explainer = protovae_explain::explainers::named("integrated-gradients")?;
//! assert_eq!(explainer.name(), "integrated gradients");
//! assert!(protovae_explain::explainers::named("magic").is_err());
//! # Ok::<(), protovae_core::Error>(())
//! ```

mod gradient_times_input;
mod gradients;
mod integrated_gradients;
mod occlusion;
mod random_map;
mod scores;
mod smooth_grad;

pub use gradient_times_input::GradientTimesInput;
pub use integrated_gradients::IntegratedGradients;
pub use occlusion::Occlusion;
pub use random_map::RandomMap;
pub use smooth_grad::SmoothGrad;

pub(crate) use gradients::input_gradient;
pub(crate) use scores::rows_at_once;

use protovae_core::plugin::{Explainer, ExplainerConfig};
use protovae_core::{Error, Result};

use crate::relevance::PrototypicalRelevance;

/// The names that [`named`] knows, the default first and the baseline last.
pub const NAMES: [&str; 13] = [
    "prp",
    "prp:inverse-distance",
    "prp:epsilon",
    "prp:epsilon-plus-flat",
    "prp:epsilon-gamma-box",
    "prp:alpha2-beta1",
    "prp:z-plus",
    "gradient-times-input",
    "integrated-gradients",
    "smooth-grad",
    "smooth-grad:times-input",
    "occlusion",
    "random",
];

/// An explainer with its default settings, by one of [`NAMES`]; after `prp:` stands the name of a
/// [`Composite`](crate::relevance::Composite), or `inverse-distance` for the [`Sharing`](crate::relevance::Sharing) of PRP's
/// publication.
///
/// # Errors
/// [`Error::Config`] for any other name, listing the known ones.
pub fn named(name: &str) -> Result<Box<dyn Explainer>> {
    match name {
        "prp" => PrototypicalRelevance::default().build(),
        "prp:inverse-distance" => PrototypicalRelevance::with_inverse_distance().build(),
        "gradient-times-input" => GradientTimesInput::default().build(),
        "integrated-gradients" => IntegratedGradients::default().build(),
        "smooth-grad" => SmoothGrad::default().build(),
        "smooth-grad:times-input" => SmoothGrad {
            times_input: true,
            ..SmoothGrad::default()
        }
        .build(),
        "occlusion" => Occlusion::default().build(),
        "random" => RandomMap::default().build(),
        other => match other.strip_prefix("prp:") {
            Some(composite) if NAMES.contains(&other) => {
                PrototypicalRelevance::with_composite(composite).build()
            }
            _ => Err(Error::config(
                "method",
                format!(
                    "`{other}` is none of {}",
                    NAMES.map(|name| format!("`{name}`")).join(", ")
                ),
            )),
        },
    }
}

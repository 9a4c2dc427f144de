//! The systems that ProtoVAE is compared with, and its successors, as models of the same trainer.
//!
//! Each is one file or folder: a module that implements [`Model`](protovae_core::model::Model), and its recipe. They share
//! encoders, layers, losses, loader, trainer, checkpoints, report and measures with ProtoVAE.
//!
//! * [`senn`]: SENN, tag `senn`: logits linear in concepts, with weights that depend on the image.
//! * [`flint`]: FLINT, tag `flint`: a classifier and an interpreter that is linear in attributes of its hidden layers;
//!   [`flint_losses`] has its loss terms.
//! * [`protopnet`]: ProtoPNet, tag `protopnet`: similarities of patches to prototypes, which are patches of training images.

mod ends;
pub mod flint;
pub mod flint_losses;
mod k_means;
mod kmex;
pub mod protopnet;
pub mod senn;

pub use k_means::{Clusters, k_means};
pub use kmex::{KMex, KMexConfig};

use protovae_core::{Error, Result};

/// Recipes of plugins are trait objects without `Clone`; their one certain property is that they serialise.
fn clone_config<T: serde::Serialize + serde::de::DeserializeOwned>(config: &T) -> Result<T> {
    serde_json::to_value(config)
        .and_then(serde_json::from_value)
        .map_err(|error| Error::config("model", format!("cannot be written as JSON: {error}")))
}

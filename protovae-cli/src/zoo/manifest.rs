//! The models there are. The zoo's page in the book says how one is added.

use super::ZooModel;

/// The files of the folder `models/NAME`, which `protovae zoo pack` made.
macro_rules! model {
    ($name:literal, { $($field:ident: $value:expr),* $(,)? }) => {
        ZooModel {
            name: $name,
            $($field: $value,)*
            model: include_bytes!(concat!("../../models/", $name, "/model.safetensors")),
            config: include_str!(concat!("../../models/", $name, "/config.json")),
            metrics: include_str!(concat!("../../models/", $name, "/metrics.jsonl")),
            samples: include_bytes!(concat!("../../models/", $name, "/samples.png")),
        }
    };
}

/// Every model of the zoo.
pub static MODELS: [ZooModel; 0] = [];

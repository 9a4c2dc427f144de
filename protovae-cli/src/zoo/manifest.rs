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
pub static MODELS: [ZooModel; 2] = [
    model!("mnist", {
        summary: "ProtoVAE, handwritten digits, 5 prototypes a class, 32 latent dimensions",
        data: "mnist",
        licence: "none stated by its publishers; cite the paper",
        command: "protovae train --preset mnist --set model.latent_dimensions=32",
        commit: "b7ac512",
        accuracy_f32: 0.9926,
        accuracy: 0.9926,
        sha256: "055f87934301476cdbbad9642f0d94cba266ebb7469713e42a53990b8489d01d",
    }),
    model!("fashion-mnist", {
        summary: "ProtoVAE, pictures of clothes, 10 prototypes a class, 32 latent dimensions",
        data: "fashion-mnist",
        licence: "MIT",
        command: "protovae train --preset fashion-mnist --set model.latent_dimensions=32",
        commit: "b7ac512",
        accuracy_f32: 0.9259,
        accuracy: 0.9259,
        sha256: "6d260752df3f9924017af011531bf44ee7da15fd64d6cf80f42fccbb00c90a3f",
    }),
];

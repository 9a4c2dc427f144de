//! The systems that ProtoVAE is compared with, each on each data set: `SYSTEM-DATA`, and `SYSTEM-DATA-resnet18`.

use protovae_backbones::networks::Network;
use serde_json::{Value, json};

use super::{Preset, augmentation, encoder, settings, spec};

/// All of them, system by system.
pub(super) fn all() -> Vec<Preset> {
    let systems: [System; 0] = [];
    let small = systems
        .iter()
        .flat_map(|system| Network::SMALL.map(|network| preset(system, network, false)));
    let large = systems
        .iter()
        .flat_map(|system| Network::SMALL.map(|network| preset(system, network, true)));
    small.chain(large).collect()
}

/// What is known of a system before its data set.
struct System {
    /// As in presets' names.
    name: &'static str,
    /// As in prose.
    title: &'static str,
    /// The recipe of the model, without the encoder.
    model: fn(Network) -> Value,
    /// How long it trains.
    epochs: fn(Network) -> usize,
}

fn preset(system: &System, network: Network, resnet18: bool) -> Preset {
    let (suffix, with) = match resnet18 {
        true => ("-resnet18", " with ResNet-18, not pretrained"),
        false => ("", ""),
    };
    let mut model = (system.model)(network);
    model["encoder"] = match resnet18 {
        true => json!({"type": "resnet18"}),
        false => encoder(network),
    };
    Preset {
        name: format!("{}-{}{suffix}", system.name, network.name()),
        about: format!("{} on {network}{with}", system.title),
        spec: spec(network),
        config: json!({
            "data": {"type": network.name()},
            "augmentation": augmentation(network),
            "model": model,
            "training": {
                "epochs": (system.epochs)(network),
                "batch_size": settings(network).batch_size,
            },
        }),
    }
}

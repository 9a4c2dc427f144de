//! The systems that ProtoVAE is compared with, each on each data set: `SYSTEM-DATA`, and `SYSTEM-DATA-resnet18`.

use protovae_backbones::networks::Network;
use serde_json::{Value, json};

use super::{Preset, augmentation, decoder, encoder, settings, spec};

/// All of them, system by system.
pub(super) fn all() -> Vec<Preset> {
    let systems = [PROTOPNET, SENN, FLINT, KMEX, PANVAE];
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

/// Successors of ProtoVAE: as long as what they are built on.
const KMEX: System = System {
    name: "kmex",
    title: "KMEx (a black box's nearest k-means centre)",
    model: |network| {
        json!({
            "type": "kmex",
            "latent_dimensions": network.latent_dimensions(),
            "prototypes_per_class": network.prototypes_per_class(),
        })
    },
    epochs: |network| settings(network).black_box_epochs,
};

const PANVAE: System = System {
    name: "panvae",
    title: "PanVAE (ProtoVAE with the volumetric loss)",
    model: |network| {
        json!({
            "type": "protovae",
            "latent_dimensions": network.latent_dimensions(),
            "prototypes_per_class": network.prototypes_per_class(),
            "decoder": decoder(network),
            "head": {"type": "prototype"},
            "loss": {"weights": {"orthonormality": 0.0, "volume": 1.0}},
        })
    },
    epochs: |network| settings(network).epochs,
};

/// The paper does not say how long it trains SENN and FLINT; ours train as long as its ProtoVAE.
fn epochs_of_protovae(network: Network) -> usize {
    settings(network).epochs
}

/// Ten concepts for grey images, twenty for photographs: the range that the comparison names.
const SENN: System = System {
    name: "senn",
    title: "SENN",
    model: |network| {
        let concepts = if network.image().channels == 1 {
            10
        } else {
            20
        };
        json!({
            "type": "senn",
            "concepts": concepts,
            "latent_dimensions": network.latent_dimensions(),
            "decoder": decoder(network),
        })
    },
    epochs: epochs_of_protovae,
};

/// As many attributes as the comparison has; for SVHN, which it leaves out, as many as for CIFAR-10.
const FLINT: System = System {
    name: "flint",
    title: "FLINT",
    model: |network| {
        let attributes = match network {
            Network::Mnist | Network::FashionMnist => 25,
            Network::QuickDraw => 24,
            Network::Cifar10 | Network::Svhn | Network::Celeba => 36,
        };
        json!({
            "type": "flint",
            "attributes": attributes,
            "latent_dimensions": network.latent_dimensions(),
            "decoder": decoder(network),
        })
    },
    epochs: epochs_of_protovae,
};

/// ProtoPNet as Table 4 has it: epochs, and prototypes of 256 or 512 channels, as many as the latent dimensions.
///
/// The publication warms up with features that stand still, and trains them slowly then, for they are pretrained. These start from
/// scratch: they train from the first epoch on, at the paper's 0.001 (measured in `docs/src/systems.md`).
const PROTOPNET: System = System {
    name: "protopnet",
    title: "ProtoPNet (Table 4)",
    model: |network| {
        json!({
            "type": "protopnet",
            "prototypes_per_class": network.prototypes_per_class(),
            "channels": network.latent_dimensions(),
            "warm_up_epochs": 0,
            "rates": {"features": 1e-3},
        })
    },
    epochs: |network| match network {
        Network::Cifar10 => 21,
        Network::QuickDraw | Network::Svhn => 51,
        Network::Mnist | Network::FashionMnist | Network::Celeba => 31,
    },
};

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

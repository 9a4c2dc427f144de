//! Named configurations: the paper's settings for its data sets, the compared systems, and the embedded set.

mod systems;

use protovae_backbones::networks::Network;
use protovae_core::ImageShape;
use protovae_core::model::ModelSpec;
use serde_json::{Value, json};

use crate::error::{CliError, Result};

/// A named configuration, as far as it differs from the defaults.
#[derive(Debug, Clone)]
pub struct Preset {
    /// What `--preset` takes.
    pub name: String,
    /// One line.
    pub about: String,
    /// The configuration.
    pub config: Value,
    /// Shape and classes of its data set.
    pub spec: ModelSpec,
}

fn spec(network: Network) -> ModelSpec {
    ModelSpec {
        image: network.image(),
        classes: network.classes(),
    }
}

/// How long the paper trains on a data set, and its batch size. For faces it does not say; theirs is our choice.
struct Settings {
    /// Of ProtoVAE (Table 2).
    epochs: usize,
    /// Of the black box (Table 3).
    black_box_epochs: usize,
    /// Of ProtoVAE with ResNet-18 (Table 6).
    resnet18_epochs: usize,
    batch_size: usize,
}

fn settings(network: Network) -> Settings {
    let (epochs, black_box_epochs, resnet18_epochs, batch_size) = match network {
        Network::Mnist | Network::FashionMnist => (10, 10, 15, 128),
        Network::QuickDraw => (10, 4, 15, 128),
        Network::Cifar10 => (36, 40, 36, 128),
        Network::Svhn => (10, 7, 15, 64),
        Network::Celeba => (10, 10, 10, 32),
    };
    Settings {
        epochs,
        black_box_epochs,
        resnet18_epochs,
        batch_size,
    }
}

fn encoder(network: Network) -> Value {
    serde_json::to_value(network.encoder()).unwrap_or_default()
}

fn decoder(network: Network) -> Value {
    serde_json::to_value(network.decoder()).unwrap_or_default()
}

/// The paper changes CIFAR-10's training images and no others. It names the changes of colour but no strengths; these are ours.
fn augmentation(network: Network) -> Value {
    match network {
        Network::Cifar10 => json!({
            "crop_padding": 2,
            "jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05},
            "flip": 0.5,
        }),
        _ => json!({}),
    }
}

fn protovae(network: Network) -> Preset {
    let Settings {
        epochs, batch_size, ..
    } = settings(network);
    Preset {
        name: network.name().to_string(),
        about: format!("ProtoVAE on {network} with the paper's settings (Table 2)"),
        spec: spec(network),
        config: json!({
            "data": {"type": network.name()},
            "augmentation": augmentation(network),
            "model": {
                "type": "protovae",
                "latent_dimensions": network.latent_dimensions(),
                "prototypes_per_class": network.prototypes_per_class(),
                "encoder": encoder(network),
                "decoder": decoder(network),
                "head": {"type": "prototype"},
            },
            "training": {"epochs": epochs, "batch_size": batch_size},
        }),
    }
}

/// ResNet-18 in place of the small encoder, which starts from random weights: the paper's is pretrained on ImageNet.
fn resnet18(network: Network) -> Preset {
    let mut preset = protovae(network);
    preset.name = format!("{}-resnet18", network.name());
    preset.about = format!("ProtoVAE with ResNet-18 on {network} (Table 6), not pretrained");
    preset.config["model"]["encoder"] = json!({"type": "resnet18"});
    preset.config["training"]["epochs"] = json!(settings(network).resnet18_epochs);
    preset
}

fn black_box(network: Network) -> Preset {
    let Settings {
        black_box_epochs: epochs,
        batch_size,
        ..
    } = settings(network);
    Preset {
        name: format!("{}-black-box", network.name()),
        about: format!("the same encoder with a linear classifier on {network} (Table 3)"),
        spec: spec(network),
        config: json!({
            "data": {"type": network.name()},
            "augmentation": augmentation(network),
            "model": {
                "type": "black-box",
                "latent_dimensions": network.latent_dimensions(),
                "encoder": encoder(network),
                "head": {"type": "linear"},
            },
            "training": {"epochs": epochs, "batch_size": batch_size},
        }),
    }
}

/// The embedded set has a fifteenth of MNIST's images, so the paper's settings would make too few steps. Smaller batches make
/// more of them, and prototypes that start a distance of about 1 from the centre of their class, centres apart, spare the
/// hundreds of steps in which `L_orth` pulls the paper's together.
fn mnist_5k() -> Preset {
    let network = Network::Mnist;
    Preset {
        name: "mnist-5k".to_string(),
        about: "ProtoVAE on the 5,000 embedded MNIST images; the default".to_string(),
        spec: spec(network),
        config: json!({
            "data": {"type": "mnist-5k"},
            "model": {
                "type": "protovae",
                "latent_dimensions": network.latent_dimensions(),
                "prototypes_per_class": network.prototypes_per_class(),
                "encoder": encoder(network),
                "decoder": decoder(network),
                "head": together(),
            },
            "training": {"epochs": 15, "batch_size": 32},
        }),
    }
}

/// The released code in place of the paper: its losses, and CIFAR-10 without jitter, which that code has but without strengths.
fn reference2022(network: Network) -> Preset {
    let mut preset = protovae(network);
    preset.name = format!("{}-reference2022", network.name());
    preset.about = format!("ProtoVAE on {network} as the released code has it");
    preset.config["model"]["loss"] = json!({"convention": "reference2022"});
    if let Some(augmentation) = preset.config["augmentation"].as_object_mut() {
        augmentation.remove("jitter");
    }
    preset
}

/// The recipes of an encoder that halves images once for each width, down to `start` rows and columns, and of a decoder that
/// doubles as often, with half the widths but `least`.
fn halvings(widths: &[usize], start: [usize; 2], least: usize) -> [Value; 2] {
    let deepest = widths.last().copied().unwrap_or_default();
    let stages: Vec<Value> = widths
        .iter()
        .rev()
        .map(|width| width.div_ceil(2).max(least))
        .flat_map(|width| [json!({"conv": width}), json!({"transpose": width})])
        .collect();
    [
        json!({"type": "conv-pool", "widths": widths}),
        json!({"type": "conv-transpose", "start": [deepest, start[0], start[1]], "stages": stages}),
    ]
}

/// Faces, female or male, as S6.10 has them: ResNet-18, the decoder extended to 224×224, twenty prototypes a class, ten times
/// the weight for `L_orth`. ResNet-18 is not pretrained, and the prototypes start as in [`mnist_5k`], which the paper does not say.
fn celeba() -> Preset {
    let mut preset = protovae(Network::Celeba);
    preset.about =
        "ProtoVAE with ResNet-18 on CelebA's faces, female or male (S6.10), not pretrained"
            .to_string();
    preset.config["model"]["head"] = together();
    preset.config["model"]["loss"] = json!({"weights": {"orthonormality": 10.0}});
    // Decoding a face takes milliseconds.
    preset.config["training"]["loader_threads"] = json!(2);
    preset
}

/// Prototypes that start close to the centre of their class: see [`mnist_5k`].
fn together() -> Value {
    json!({"type": "prototype", "deviation": 0.0625, "class_deviation": 0.5})
}

/// Faces by a small encoder in place of ResNet-18. Narrow maps, for they have fifty thousand pixels.
fn celeba_small() -> Preset {
    let [encoder, decoder] = halvings(&[16, 32, 64, 128, 64], [7, 7], 16);
    let mut preset = celeba();
    preset.name = "celeba-small".to_string();
    preset.about = "ProtoVAE on CelebA's faces, female or male, with a small encoder".to_string();
    let model = &mut preset.config["model"];
    model["latent_dimensions"] = json!(256);
    model["encoder"] = encoder;
    model["decoder"] = decoder;
    preset
}

/// Pictures of one's own, a folder a class. Such sets are small: see [`mnist_5k`] for the prototypes' beginnings.
fn image_folder() -> Preset {
    let [encoder, decoder] = halvings(&[32, 64, 128, 256], [4, 4], 32);
    Preset {
        name: "image-folder".to_string(),
        about: "ProtoVAE on pictures of one's own, a folder a class: add --set data.path=FOLDER"
            .to_string(),
        spec: ModelSpec {
            image: ImageShape::new(3, 64, 64),
            classes: 2,
        },
        config: json!({
            "data": {"type": "image-folder", "size": [64, 64]},
            // No padding: what is decoded is what was seen, black edges included.
            "augmentation": {"flip": 0.5},
            "model": {
                "type": "protovae",
                "latent_dimensions": 256,
                "prototypes_per_class": 5,
                "encoder": encoder,
                "decoder": decoder,
                "head": together(),
            },
            "training": {"epochs": 30, "batch_size": 32},
        }),
    }
}

/// All presets, the default first.
pub fn all() -> Vec<Preset> {
    let mut presets = vec![mnist_5k()];
    presets.extend(Network::SMALL.map(protovae));
    presets.extend([celeba(), celeba_small(), image_folder()]);
    presets.extend(Network::SMALL.map(resnet18));
    presets.extend(Network::SMALL.map(reference2022));
    presets.extend(Network::SMALL.map(black_box));
    presets.extend(systems::all());
    presets
}

/// The preset of that name.
///
/// # Errors
/// [`CliError::Usage`] with the nearest name and all names.
pub fn find(name: &str) -> Result<Preset> {
    let presets = all();
    let names: Vec<&str> = presets.iter().map(|preset| preset.name.as_str()).collect();
    match presets.iter().find(|preset| preset.name == name) {
        Some(preset) => Ok(preset.clone()),
        None => Err(CliError::Usage(format!(
            "unknown preset `{name}`{}; known are {}",
            crate::suggest::did_you_mean(name, &names),
            names.join(", ")
        ))),
    }
}

//! The figures of the supplement.

use super::{Cell, Item, NO_KL, NO_ORTHONORMALITY, table, wanted};
use crate::presets;
use crate::reproduce::findings::Findings;
use crate::reproduce::pictures::Pictures;

/// A figure of runs, a caption each.
fn figure(number: u8, about: &str, pictures: Pictures, runs: &[(&str, &str, &[&str])]) -> Item {
    let cells = runs.iter().map(|(caption, preset, set)| Cell {
        row: (*caption).to_string(),
        column: presets::find(preset)
            .ok()
            .and_then(|preset| preset.config["data"]["type"].as_str().map(str::to_string))
            .unwrap_or_default(),
        wanted: wanted(preset, set),
        reported: None,
        changed: false,
    });
    // What more prototypes and other weights are said to do to prototypes, in numbers.
    let findings = (10..=14).contains(&number).then_some(Findings::Decoded);
    Item {
        pictures: Some(pictures),
        findings,
        ..table(&format!("fig{number}"), about, cells.collect())
    }
}

/// Figures 2 to 16; 1 shows the networks.
pub fn all() -> Vec<Item> {
    use Pictures::{Compared, Prototypes, Reconstructions, Relevance};
    let quickdraw: &[(&str, &str, &[&str])] = &[
        ("ProtoPNet", "protopnet-quickdraw", &[]),
        ("ProtoVAE", "quickdraw", &[]),
    ];
    let per_class = "model.prototypes_per_class";
    let weight = "model.loss.weights.reconstruction";
    let (three, five, twenty) = (
        format!("{per_class}=3"),
        format!("{per_class}=5"),
        format!("{per_class}=20"),
    );
    let (tenth, ten, hundred) = (
        format!("{weight}=0.1"),
        format!("{weight}=10"),
        format!("{weight}=100"),
    );
    vec![
        figure(
            2,
            "prototypes with the full loss, without L_orth, without L_KL (S6.1)",
            Prototypes(10),
            &[
                ("full loss", "mnist", &[]),
                ("without L_orth", "mnist", &[NO_ORTHONORMALITY]),
                ("without L_KL", "mnist", &[NO_KL]),
            ],
        ),
        figure(
            3,
            "SVHN's prototypes with ResNet-18 and reconstruction weight 10 (S6.2)",
            Prototypes(10),
            &[("reconstruction weight 10", "svhn-resnet18", &[&ten])],
        ),
        figure(
            4,
            "QuickDraw's lions: ProtoPNet and ProtoVAE (S6.4)",
            Compared("figure-4"),
            quickdraw,
        ),
        figure(
            5,
            "QuickDraw's bananas: ProtoPNet and ProtoVAE (S6.4)",
            Compared("figure-5"),
            quickdraw,
        ),
        figure(
            6,
            "QuickDraw's carrots: ProtoPNet and ProtoVAE (S6.4)",
            Compared("figure-6"),
            quickdraw,
        ),
        figure(
            7,
            "patches and images as explanations (S6.5)",
            Compared("figure-7"),
            quickdraw,
        ),
        figure(
            8,
            "SVHN's projected and decoded prototypes (S6.6)",
            Compared("figure-8"),
            &[
                ("ProtoPNet", "protopnet-svhn", &[]),
                ("ProtoVAE", "svhn", &[]),
            ],
        ),
        figure(
            9,
            "relevance of CIFAR-10's test images for two prototypes (S6.7)",
            Relevance,
            &[("ProtoVAE", "cifar-10", &[])],
        ),
        figure(
            10,
            "QuickDraw with 3 and with 20 prototypes a class (S6.8)",
            Prototypes(10),
            &[
                ("3 a class", "quickdraw", &[&three]),
                ("20 a class", "quickdraw", &[&twenty]),
            ],
        ),
        figure(
            11,
            "CIFAR-10 with 3, 5 and 20 prototypes a class (S6.8)",
            Prototypes(10),
            &[
                ("3 a class", "cifar-10", &[&three]),
                ("5 a class", "cifar-10", &[&five]),
                ("20 a class", "cifar-10", &[&twenty]),
            ],
        ),
        figure(
            12,
            "QuickDraw with reconstruction weights 0.1 and 1 (S6.9)",
            Prototypes(10),
            &[
                ("weight 0.1", "quickdraw", &[&tenth]),
                ("weight 1", "quickdraw", &[]),
            ],
        ),
        figure(
            13,
            "QuickDraw with reconstruction weights 10 and 100 (S6.9)",
            Prototypes(10),
            &[
                ("weight 10", "quickdraw", &[&ten]),
                ("weight 100", "quickdraw", &[&hundred]),
            ],
        ),
        figure(
            14,
            "CIFAR-10 with reconstruction weights 0.1 and 10 (S6.9)",
            Prototypes(10),
            &[
                ("weight 0.1", "cifar-10", &[&tenth]),
                ("weight 10", "cifar-10", &[&ten]),
            ],
        ),
        figure(
            15,
            "CelebA's prototypes (S6.10)",
            Prototypes(20),
            &[("CelebA", "celeba", &[])],
        ),
        figure(
            16,
            "test images and their reconstructions (S6.11)",
            Reconstructions,
            &[
                ("MNIST", "mnist", &[]),
                ("Fashion-MNIST", "fashion-mnist", &[]),
                ("CIFAR-10", "cifar-10", &[]),
                ("QuickDraw", "quickdraw", &[]),
                ("SVHN", "svhn", &[]),
            ],
        ),
    ]
}

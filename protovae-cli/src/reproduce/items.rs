//! The tables and figures of the supplement.

use protovae_backbones::networks::Network;
use serde::{Deserialize, Serialize};

use super::pictures::Pictures;
use crate::error::{CliError, Result};
use crate::{paper, presets};

/// A configuration to train, but for its seed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The preset.
    pub preset: String,
    /// What is set over it, as with `--set`.
    pub set: Vec<String>,
    /// Passes over the training set.
    pub epochs: usize,
}

/// A number that was published: per cent and its deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// Per cent.
    pub percent: f64,
    /// Over runs, if given.
    pub deviation: Option<f64>,
    /// The runs behind it, if given.
    pub runs: Option<usize>,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The row's head.
    pub row: String,
    /// The column's head.
    pub column: String,
    /// What is trained for it.
    pub wanted: Wanted,
    /// What the paper has.
    pub reported: Option<Reported>,
}

/// A table or figure.
#[derive(Debug, Clone)]
pub struct Item {
    /// As on the command line.
    pub name: String,
    /// One line.
    pub about: String,
    /// What is trained.
    pub cells: Vec<Cell>,
    /// The figure, if it is one.
    pub pictures: Option<Pictures>,
    /// For tables of settings, which.
    pub settings: Option<u8>,
}

impl Item {
    /// Figures show one run of each kind, tables mean over seeds.
    pub fn is_figure(&self) -> bool {
        self.pictures.is_some()
    }
}

/// The data sets of the paper's tables, in their order.
const SETS: [Network; 5] = [
    Network::Mnist,
    Network::FashionMnist,
    Network::Cifar10,
    Network::QuickDraw,
    Network::Svhn,
];

/// A preset with its own epochs.
fn wanted(preset: &str, set: &[&str]) -> Wanted {
    let epochs = presets::find(preset)
        .ok()
        .and_then(|preset| preset.config["training"]["epochs"].as_u64())
        .unwrap_or(10);
    Wanted {
        preset: preset.to_string(),
        set: set.iter().map(|set| (*set).to_string()).collect(),
        epochs: epochs as usize,
    }
}

fn four(percent: f64, deviation: f64) -> Option<Reported> {
    Some(Reported {
        percent,
        deviation: Some(deviation),
        runs: Some(4),
    })
}

/// A published number that `paper` knows.
fn known(system: &str, encoder: &str, data: &str) -> Option<Reported> {
    let found = paper::accuracy(system, encoder, data)?;
    Some(Reported {
        percent: 100.0 * found.accuracy,
        deviation: found.deviation.map(|deviation| 100.0 * deviation),
        // The numbers of FLINT and SENN are those of another publication, which does not count here.
        runs: (system == "protovae").then_some(4),
    })
}

fn table(name: &str, about: &str, cells: Vec<Cell>) -> Item {
    Item {
        name: name.to_string(),
        about: about.to_string(),
        cells,
        pictures: None,
        settings: None,
    }
}

fn settings(number: u8, about: &str) -> Item {
    Item {
        settings: Some(number),
        ..table(&format!("table{number}"), about, Vec::new())
    }
}

const NO_ORTHONORMALITY: &str = "model.loss.weights.orthonormality=0";
const NO_KL: &str = "model.loss.weights.kl=0";

fn table5() -> Item {
    let cell = |row: &str, set: &[&str], reported| Cell {
        row: row.to_string(),
        column: "mnist".to_string(),
        wanted: wanted("mnist", set),
        reported,
    };
    table(
        "table5",
        "which terms of the loss matter (S6.1)",
        vec![
            cell("full loss", &[], four(99.4, 0.1)),
            cell("without L_orth", &[NO_ORTHONORMALITY], four(99.2, 0.1)),
            cell("without L_KL", &[NO_KL], four(58.8, 10.7)),
            cell("without both", &[NO_ORTHONORMALITY, NO_KL], four(98.9, 0.1)),
        ],
    )
}

/// A row of a table over data sets.
fn row(title: &str, system: &str, preset: impl Fn(&str) -> String, encoder: &str) -> Vec<Cell> {
    SETS.iter()
        .map(|network| Cell {
            row: title.to_string(),
            column: network.name().to_string(),
            wanted: wanted(&preset(network.name()), &[]),
            reported: known(system, encoder, network.name()),
        })
        .collect()
}

fn table7() -> Item {
    let cells = row(
        "ProtoVAE (ResNet-18)",
        "protovae",
        |data| format!("{data}-resnet18"),
        "resnet18",
    );
    table(
        "table7",
        "ProtoVAE with ResNet-18, here not pretrained (S6.2)",
        cells,
    )
}

fn table8() -> Item {
    let mut cells = row("ProtoVAE", "protovae", str::to_string, "");
    cells.extend(row("FLINT", "flint", |data| format!("flint-{data}"), ""));
    cells.extend(row("SENN", "senn", |data| format!("senn-{data}"), ""));
    // The paper's table has no SVHN.
    cells.retain(|cell| cell.column != "svhn");
    table(
        "table8",
        "ProtoVAE, FLINT and SENN; ours all with the small encoders (S6.3)",
        cells,
    )
}

/// All systems on the data sets that are whole, which the paper's main text compares.
fn systems() -> Item {
    let systems: [(&str, &str); 7] = [
        ("ProtoVAE", ""),
        ("black box", "-black-box"),
        ("ProtoPNet", "protopnet-"),
        ("SENN", "senn-"),
        ("FLINT", "flint-"),
        ("KMEx", "kmex-"),
        ("PanVAE", "panvae-"),
    ];
    let cells = systems.iter().flat_map(|(title, affix)| {
        let preset = |data: &str| match affix.strip_prefix('-') {
            Some(_) => format!("{data}{affix}"),
            None => format!("{affix}{data}"),
        };
        let system = match *title {
            "ProtoVAE" => "protovae",
            "SENN" => "senn",
            "FLINT" => "flint",
            _ => "",
        };
        let mut cells = row(title, system, preset, "");
        cells.truncate(3);
        cells
    });
    table(
        "systems",
        "every system on MNIST, Fashion-MNIST and CIFAR-10",
        cells.collect(),
    )
}

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
    });
    Item {
        pictures: Some(pictures),
        ..table(&format!("fig{number}"), about, cells.collect())
    }
}

fn figures() -> Vec<Item> {
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

/// Everything there is, in the order of the supplement.
pub fn all() -> Vec<Item> {
    let mut items = vec![
        settings(1, "the data sets (S3)"),
        settings(2, "the settings of ProtoVAE (S4)"),
        settings(3, "the settings of the black box (S4)"),
        settings(4, "the settings of ProtoPNet (S4)"),
        table5(),
        settings(6, "the settings of ProtoVAE with ResNet-18 (S6.2)"),
        table7(),
        table8(),
    ];
    items.extend(figures());
    items.push(table(
        "s6.10",
        "CelebA, female or male: accuracy",
        vec![Cell {
            row: "ProtoVAE (ResNet-18)".to_string(),
            column: "celeba".to_string(),
            wanted: wanted("celeba", &[]),
            reported: Some(Reported {
                percent: 98.2,
                deviation: None,
                runs: None,
            }),
        }],
    ));
    items.push(systems());
    items
}

/// The item of that name, or all for `all`.
///
/// # Errors
/// [`CliError::Usage`] with the nearest name and all names.
pub fn find(name: &str) -> Result<Vec<Item>> {
    let items = all();
    if name == "all" {
        return Ok(items);
    }
    let found: Vec<Item> = items
        .iter()
        .filter(|item| item.name == name)
        .cloned()
        .collect();
    if found.is_empty() {
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        return Err(CliError::Usage(format!(
            "nothing is named `{name}`{}; there are {}, and all",
            crate::suggest::did_you_mean(name, &names),
            names.join(", ")
        )));
    }
    Ok(found)
}

//! The tables and figures of the supplement, and what goes beyond it.

mod beyond;
mod figures;

use protovae_backbones::networks::Network;
use serde::{Deserialize, Serialize};

use super::findings::Findings;
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
    /// The data set that stands in for the preset's, whose files are not there or not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<String>,
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
    /// The epochs after which ours compares with it; fewer do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
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
    /// Whether settings were changed by hand, so that it does not compare with the paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
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
    /// What is drawn of its runs, if anything.
    pub pictures: Option<Pictures>,
    /// The column of a table whose runs are drawn; none for figures, which are drawn whole.
    pub drawn_column: Option<&'static str>,
    /// What is measured on the runs besides their accuracy, if anything.
    pub findings: Option<Findings>,
    /// For tables of settings, which.
    pub settings: Option<u8>,
}

impl Item {
    /// Figures show one run of each kind, tables mean over seeds.
    pub fn is_figure(&self) -> bool {
        self.pictures.is_some() && self.drawn_column.is_none()
    }

    /// Whether the runs of a cell are drawn.
    pub fn draws(&self, cell: &Cell) -> bool {
        self.drawn_column.is_none_or(|column| column == cell.column)
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
        stand_in: None,
    }
}

fn four(percent: f64, deviation: f64) -> Option<Reported> {
    Some(Reported {
        percent,
        deviation: Some(deviation),
        runs: Some(4),
        epochs: None,
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
        epochs: None,
    })
}

fn table(name: &str, about: &str, cells: Vec<Cell>) -> Item {
    Item {
        name: name.to_string(),
        about: about.to_string(),
        cells,
        pictures: None,
        drawn_column: None,
        findings: None,
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
        changed: false,
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
            changed: false,
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
        "ProtoVAE with ResNet-18, not pretrained unless initial_weights.path names weights (S6.2)",
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
    items.extend(figures::all());
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
                epochs: None,
            }),
            changed: false,
        }],
    ));
    items.push(systems());
    items.extend(beyond::all());
    for cell in items.iter_mut().flat_map(|item| &mut item.cells) {
        if let Some(reported) = &mut cell.reported {
            reported.epochs = Some(cell.wanted.epochs);
        }
    }
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

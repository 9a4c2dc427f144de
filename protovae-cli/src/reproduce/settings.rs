//! The paper's tables of settings, held against the presets.

use serde_json::Value;

use crate::presets;

/// One setting on one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub what: &'static str,
    /// The data set.
    pub data: &'static str,
    /// What the paper has.
    pub paper: String,
    /// What the preset has; a dash where there is none.
    pub ours: String,
}

impl Setting {
    /// Whether both are the same.
    pub fn agrees(&self) -> bool {
        self.paper == self.ours
    }
}

/// The columns of the paper's tables.
const DATA: [&str; 5] = ["mnist", "fashion-mnist", "cifar-10", "quickdraw", "svhn"];

/// A row of a table: what, where in a preset's configuration, and the paper's values.
type Row = (&'static str, &'static str, [&'static str; 5]);

const TABLE2: [Row; 5] = [
    (
        "prototypes a class",
        "/model/prototypes_per_class",
        ["5", "10", "10", "10", "5"],
    ),
    (
        "size of the latent vector",
        "/model/latent_dimensions",
        ["256", "256", "512", "512", "512"],
    ),
    ("epochs", "/training/epochs", ["10", "10", "36", "10", "10"]),
    BATCH,
    RATE,
];

const TABLE3: [Row; 3] = [
    ("epochs", "/training/epochs", ["10", "10", "40", "4", "7"]),
    BATCH,
    RATE,
];

const TABLE4: [Row; 4] = [
    (
        "prototypes a class",
        "/model/prototypes_per_class",
        ["5", "10", "10", "10", "5"],
    ),
    (
        "channels of a prototype",
        "/model/channels",
        ["256", "256", "512", "512", "512"],
    ),
    ("epochs", "/training/epochs", ["31", "31", "21", "51", "51"]),
    BATCH,
];

const TABLE6: [Row; 5] = [
    TABLE2[0],
    TABLE2[1],
    ("epochs", "/training/epochs", ["15", "15", "36", "15", "15"]),
    BATCH,
    RATE,
];

const BATCH: Row = (
    "batch size",
    "/training/batch_size",
    ["128", "128", "128", "128", "64"],
);

const RATE: Row = ("learning rate", "/training/learning_rate", ["0.001"; 5]);

/// The settings of table `number`, 2, 3, 4 or 6; none of any other.
pub fn of(number: u8) -> Vec<Setting> {
    let (rows, preset): (&[Row], fn(&str) -> String) = match number {
        2 => (&TABLE2, str::to_string),
        3 => (&TABLE3, |data| format!("{data}-black-box")),
        4 => (&TABLE4, |data| format!("protopnet-{data}")),
        6 => (&TABLE6, |data| format!("{data}-resnet18")),
        _ => return Vec::new(),
    };
    let mut settings = Vec::new();
    for (what, pointer, values) in rows {
        for (data, paper) in DATA.iter().zip(values) {
            let config = presets::find(&preset(data)).map(|preset| preset.config);
            let value = config
                .ok()
                .and_then(|config| config.pointer(pointer).cloned());
            let ours = match value {
                Some(Value::Number(number)) => number.to_string(),
                Some(other) => other.to_string(),
                // Not in the preset, so the trainer's default.
                None if *pointer == RATE.1 => default_rate(),
                None => "–".to_string(),
            };
            settings.push(Setting {
                what,
                data,
                paper: (*paper).to_string(),
                ours,
            });
        }
    }
    settings
}

fn default_rate() -> String {
    protovae_core::train::TrainingConfig::default()
        .learning_rate
        .to_string()
}

/// What Table 1 says of a data set.
#[derive(Debug, Clone, Copy)]
pub struct DataFacts {
    /// As presets have it.
    pub data: &'static str,
    /// Training and test images.
    pub samples: [usize; 2],
    /// Rows and columns.
    pub side: usize,
    /// As printed.
    pub licence: &'static str,
}

/// Table 1. The paper prints 60,000 training images for CIFAR-10 and 10,000 for testing; the set has 50,000 and 10,000.
pub const TABLE1: [DataFacts; 5] = [
    facts("mnist", [60_000, 10_000], 28, "CC BY-SA 3.0"),
    facts("fashion-mnist", [60_000, 10_000], 28, "MIT"),
    facts("quickdraw", [80_000, 20_000], 28, "CC BY 4.0"),
    facts("cifar-10", [60_000, 10_000], 32, "MIT"),
    facts("svhn", [73_257, 26_032], 32, "CC0 1.0"),
];

const fn facts(
    data: &'static str,
    samples: [usize; 2],
    side: usize,
    licence: &'static str,
) -> DataFacts {
    DataFacts {
        data,
        samples,
        side,
        licence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_papers_settings() {
        for number in [2, 3, 4, 6] {
            let settings = of(number);
            assert!(!settings.is_empty());
            for setting in settings {
                assert!(setting.agrees(), "table {number}: {setting:?}");
            }
        }
    }
}

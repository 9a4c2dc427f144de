//! Numbers that the supplement of ProtoVAE reports.

use protovae_explain::side_by_side::Published;

/// The accuracy in per cent and its deviation, for MNIST, Fashion-MNIST, CIFAR-10, QuickDraw and SVHN.
type Row = [Option<(f64, f64)>; 5];

/// Table 8, four runs.
const SMALL: Row = [
    Some((99.4, 0.1)),
    Some((91.9, 0.2)),
    Some((84.6, 0.1)),
    Some((87.5, 0.1)),
    None,
];
/// Table 7.
const RESNET18: Row = [
    Some((99.4, 0.0)),
    Some((91.9, 0.1)),
    Some((80.5, 0.4)),
    Some((86.3, 0.3)),
    Some((92.2, 0.2)),
];
/// Table 8; FLINT's own, larger networks.
const FLINT: Row = [
    Some((98.3, 0.2)),
    Some((86.8, 0.4)),
    Some((84.0, 0.4)),
    Some((85.4, 0.1)),
    None,
];
/// Table 8.
const SENN: Row = [
    Some((98.4, 0.1)),
    Some((84.2, 0.3)),
    Some((77.8, 0.7)),
    Some((85.5, 0.4)),
    None,
];

/// What the supplement has for a system (`protovae`, `senn`, `flint`) with an encoder (by its tag) on a whole data set.
pub fn accuracy(system: &str, encoder: &str, data: &str) -> Option<Published> {
    let resnet18 = encoder == "resnet18";
    let (row, place) = match (system, resnet18) {
        ("protovae", false) => (SMALL, "Table 8"),
        ("protovae", true) => (RESNET18, "Table 7"),
        ("flint", false) => (FLINT, "Table 8, FLINT-g"),
        ("senn", false) => (SENN, "Table 8"),
        _ => return None,
    };
    let names = ["mnist", "fashion-mnist", "cifar-10", "quickdraw", "svhn"];
    let column = names.iter().position(|name| *name == data)?;
    let (accuracy, deviation) = row.get(column).copied().flatten()?;
    Some(Published {
        accuracy: accuracy / 100.0,
        deviation: Some(deviation / 100.0),
        place: place.to_string(),
    })
}

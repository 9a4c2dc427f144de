//! Which tensor of a file goes where, and everything that does not fit.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Problem, WeightsError};
use super::file::StateDict;
use super::layout::{Layout, Part};
use super::names::{Slot, is_surplus};

/// The reference's `nn.Sequential`s.
const SEQUENTIALS: [&str; 2] = ["features.", "decoder_layers."];

/// Which tensors of the file go where.
pub(super) struct Plan<'a> {
    /// Slots of the part and the names in the file of their tensors, shape and type right.
    found: Vec<(&'a Slot, String)>,
    /// Everything that does not fit.
    pub(super) problems: Vec<Problem>,
    /// The names in the file that nothing is taken from.
    left_out: Vec<String>,
}

/// Values for the model, by our paths, and the names in the file that nothing was taken from.
#[derive(Debug)]
pub(super) struct Matched {
    pub(super) values: BTreeMap<String, Vec<f32>>,
    pub(super) left_out: Vec<String>,
}

/// Compares names, shapes and types of a file with the slots of a part, without reading values.
pub(super) fn plan<'a>(
    stored: &StateDict,
    slots: &'a [Slot],
    layout: Layout,
    part: Part,
) -> Plan<'a> {
    let renumbered = match layout {
        Layout::Reference2022 => renumbered(stored, slots),
        _ => BTreeMap::new(),
    };
    let in_file = |slot: &Slot| -> String {
        let name = renumbered.get(&slot.name);
        name.unwrap_or(&slot.name).clone()
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut used = BTreeSet::new();
    for slot in slots.iter().filter(|slot| part.contains(&slot.path)) {
        let name = in_file(slot);
        used.insert(name.clone());
        match (stored.shape(&name), stored.wrong_type(&name)) {
            (None, _) => problems.push(Problem::Missing {
                name,
                shape: slot.shape.clone(),
            }),
            (Some(shape), _) if shape != slot.shape => problems.push(Problem::Shape {
                found: shape.to_vec(),
                expected: slot.shape.clone(),
                name,
            }),
            (Some(_), Some(found)) => problems.push(Problem::Type {
                found: found.to_string(),
                name,
            }),
            (Some(_), None) => found.push((slot, name)),
        }
    }
    let known: BTreeSet<String> = slots.iter().map(in_file).collect();
    let mut left_out = Vec::new();
    for name in stored.names().filter(|name| !used.contains(*name)) {
        let foreign = !known.contains(name) && !is_surplus(layout, name);
        if foreign && concerns(layout, part, name) {
            problems.push(Problem::Unknown {
                name: name.to_string(),
                shape: stored.shape(name).unwrap_or_default().to_vec(),
            });
        } else {
            left_out.push(name.to_string());
        }
    }
    Plan {
        found,
        problems,
        left_out,
    }
}

/// Finds the values of all slots of a part.
pub(super) fn matched(
    stored: &StateDict,
    slots: &[Slot],
    layout: Layout,
    part: Part,
) -> Result<Matched, WeightsError> {
    let Plan {
        found,
        mut problems,
        left_out,
    } = plan(stored, slots, layout, part);
    let mut values = BTreeMap::new();
    for (slot, name) in found {
        match usable(stored, &name, slot) {
            Ok(read) => {
                values.insert(slot.path.clone(), read);
            }
            Err(reason) => problems.push(Problem::Values { name, reason }),
        }
    }
    if problems.is_empty() {
        Ok(Matched { values, left_out })
    } else {
        Err(WeightsError::Mismatch {
            path: stored.path().to_path_buf(),
            layout,
            problems,
        })
    }
}

/// Whether a tensor that the model has no place for is an error where a part is loaded: elsewhere the file may differ.
fn concerns(layout: Layout, part: Part, name: &str) -> bool {
    match (part, layout) {
        (Part::All, _) | (_, Layout::Torchvision) => true,
        (_, Layout::Reference2022) => name.starts_with("features."),
        _ => part.contains(name),
    }
}

/// The values of a tensor as the model has them.
fn usable(stored: &StateDict, name: &str, slot: &Slot) -> Result<Vec<f32>, String> {
    let values = stored.values(name)?;
    let wrong = values.iter().filter(|value| !value.is_finite()).count();
    if wrong > 0 {
        return Err(format!("has {wrong} values that are not finite"));
    }
    if name.ends_with("running_var") && values.iter().any(|value| *value < 0.0) {
        return Err("has variances below 0".to_string());
    }
    Ok(match (slot.transposed, slot.shape.as_slice()) {
        (true, [rows, columns]) => transposed(&values, *rows, *columns),
        _ => values,
    })
}

/// A matrix of so many rows and columns the other way round.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).filter_map(|row| values.get(row * columns + column)));
    }
    turned
}

/// The names in the file of a reference's layers that stand at other places than ours, as in a `nn.Sequential` without the
/// layer that flattens: if there are as many layers with parameters, they correspond in their order. By our names.
fn renumbered(stored: &StateDict, slots: &[Slot]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for prefix in SEQUENTIALS {
        let expected = places(slots.iter().map(|slot| slot.name.as_str()), prefix);
        let found = places(stored.names(), prefix);
        if expected == found || expected.len() != found.len() {
            continue;
        }
        let pairs: BTreeMap<usize, usize> = expected.into_iter().zip(found).collect();
        for slot in slots {
            let Some((place, name)) = place(&slot.name, prefix) else {
                continue;
            };
            if let Some(other) = pairs.get(&place) {
                names.insert(slot.name.clone(), format!("{prefix}{other}.{name}"));
            }
        }
    }
    names
}

fn places<'a>(names: impl Iterator<Item = &'a str>, prefix: &str) -> BTreeSet<usize> {
    names
        .filter_map(|name| Some(place(name, prefix)?.0))
        .collect()
}

/// The number of a layer and what follows it.
fn place<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (number, name) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((number.parse().ok()?, name))
}

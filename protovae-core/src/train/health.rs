//! Whether prototypes are alive, apart from each other, and used.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::plugin::PrototypeBank;

/// The state of a bank of prototypes on some samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrototypeHealth {
    /// `usage[k][j]`: samples of class k whose most similar own-class prototype is j.
    pub usage: Vec<Vec<u64>>,
    /// Smallest distance between two prototypes of each class; 0 where M = 1.
    pub smallest_distance: Vec<f64>,
    /// Largest distance between two prototypes of each class; 0 where M = 1.
    pub largest_distance: Vec<f64>,
    /// Mean distance between the class means of prototypes.
    pub class_distance: f64,
    /// Prototypes that no sample of their class uses.
    pub dead: usize,
    /// Prototypes that equal an earlier one of their class, as when the same patch is the nearest to both.
    #[serde(default)]
    pub duplicates: usize,
    /// Classes whose prototypes all lie within [`COLLAPSED_BELOW`] of the distance between classes.
    pub collapsed: Vec<usize>,
}

/// A class counts as collapsed when its largest inner distance is below this share of the mean distance between classes.
pub const COLLAPSED_BELOW: f64 = 0.05;

/// Terms of a ProtoVAE's loss that keep the prototypes of a class apart. One without weight is evaluated all the same, the other is
/// not: who has that one trains with it.
const KEEP_APART: [&str; 2] = ["volume", "orthonormality"];

impl PrototypeHealth {
    /// Measures a bank, given how often each prototype was a sample's most similar of its own class.
    pub fn measure(bank: &PrototypeBank, usage: Vec<Vec<u64>>) -> Self {
        let by_class = bank.by_class();
        let means = by_class.clone().mean_dim(1).squeeze_dim::<2>(1);
        let between = pairwise(means.unsqueeze_dim(0));
        let within = pairwise(by_class);
        let class_distance = between.first().map_or(0.0, |pairs| mean(pairs));
        let smallest = |pairs: &Vec<f64>| pairs.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let largest = |pairs: &Vec<f64>| pairs.iter().copied().reduce(f64::max).unwrap_or(0.0);
        let largest_distance: Vec<f64> = within.iter().map(largest).collect();
        let collapsed = if bank.per_class < 2 {
            Vec::new()
        } else {
            let limit = COLLAPSED_BELOW * class_distance;
            (0..largest_distance.len())
                .filter(|class| largest_distance[*class] <= limit)
                .collect()
        };
        Self {
            duplicates: duplicates(bank),
            dead: usage.iter().flatten().filter(|count| **count == 0).count(),
            usage,
            smallest_distance: within.iter().map(smallest).collect(),
            largest_distance,
            class_distance,
            collapsed,
        }
    }

    /// What a user should be told, with class names if there are as many as classes.
    ///
    /// `terms` are those of the model's loss, as [`Figures`](super::Figures) has them: advice names the weight of a term that keeps
    /// prototypes apart where there is one, and no setting where there is none.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use burn::tensor::{Device, Tensor};
    /// use protovae_core::plugin::PrototypeBank;
    /// use protovae_core::train::PrototypeHealth;
    /// let bank = PrototypeBank {
    ///     vectors: Tensor::from_floats([[0.0], [0.0], [9.0], [9.0]], &Device::flex()),
    ///     classes: 2,
    ///     per_class: 2,
    /// };
    /// let health = PrototypeHealth::measure(&bank, vec![vec![1; 2]; 2]);
    /// let terms = BTreeMap::from([("orthonormality".to_string(), 2.0)]);
    /// assert!(health.warnings(&[], &terms)[0].contains("raise model.loss.weights.orthonormality"));
    /// assert!(!health.warnings(&[], &BTreeMap::new())[0].contains("model."));
    /// ```
    pub fn warnings(&self, class_names: &[String], terms: &BTreeMap<String, f64>) -> Vec<String> {
        let name = |class: &usize| match class_names.get(*class) {
            Some(name) => name.clone(),
            None => class.to_string(),
        };
        let mut warnings = Vec::new();
        if !self.collapsed.is_empty() {
            let names: Vec<String> = self.collapsed.iter().map(name).collect();
            let apart = KEEP_APART.iter().find(|term| terms.contains_key(**term));
            let advice = apart.map_or_else(String::new, |term| {
                format!("raise model.loss.weights.{term} or ")
            });
            warnings.push(format!(
                "the prototypes of {} have collapsed into one point; {advice}use fewer prototypes",
                names.join(", ")
            ));
        }
        let all: usize = self.usage.iter().map(Vec::len).sum();
        if self.duplicates > 0 {
            warnings.push(format!(
                "{} of {all} prototypes are the same as another of their class",
                self.duplicates
            ));
        }
        if self.dead * 2 > all {
            warnings.push(format!(
                "{} of {all} prototypes are the nearest of no test image of their class",
                self.dead
            ));
        }
        warnings
    }
}

/// Adds to `usage[k][j]` the samples of a batch, from similarities `[N, K·M]`.
pub(crate) fn count_usage(
    usage: &mut [Vec<u64>],
    similarities: &Tensor<2>,
    labels: &[i64],
    per_class: usize,
) {
    let [_, width] = similarities.dims();
    let values: Vec<f32> = similarities.to_data().iter::<f32>().collect();
    for (row, label) in values.chunks_exact(width.max(1)).zip(labels) {
        let class = *label as usize;
        let Some(own) = row.get(class * per_class..(class + 1) * per_class) else {
            continue;
        };
        let best = own
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(index, _)| index);
        if let Some(count) = best.and_then(|best| usage.get_mut(class)?.get_mut(best)) {
            *count += 1;
        }
    }
}

/// Prototypes that equal an earlier one of their class, bit for bit.
fn duplicates(bank: &PrototypeBank) -> usize {
    let [_, width] = bank.vectors.dims();
    let values: Vec<f32> = bank.vectors.to_data().iter::<f32>().collect();
    values
        .chunks_exact((bank.per_class * width).max(1))
        .map(|class| {
            let rows: Vec<&[f32]> = class.chunks_exact(width.max(1)).collect();
            let repeated = |(index, row): &(usize, &&[f32])| rows[..*index].contains(*row);
            rows.iter().enumerate().filter(repeated).count()
        })
        .sum()
}

/// Distances of all pairs within each group of `[G, M, L]`.
fn pairwise(groups: Tensor<3>) -> Vec<Vec<f64>> {
    let [_, members, width] = groups.dims();
    let values: Vec<f64> = groups.into_data().iter::<f64>().collect();
    values
        .chunks_exact((members * width).max(1))
        .map(|group| {
            let rows: Vec<&[f64]> = group.chunks_exact(width.max(1)).collect();
            let mut distances = Vec::new();
            for (first, row) in rows.iter().enumerate() {
                for other in &rows[first + 1..] {
                    let squares = row.iter().zip(*other).map(|(a, b)| (a - b) * (a - b));
                    distances.push(squares.sum::<f64>().sqrt());
                }
            }
            distances
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn bank(values: [[f32; 2]; 4]) -> PrototypeBank {
        PrototypeBank {
            vectors: Tensor::from_floats(values, &Device::flex()),
            classes: 2,
            per_class: 2,
        }
    }

    #[test]
    fn distances_usage_and_collapse_of_a_hand_made_bank() {
        let bank = bank([[0.0, 0.0], [0.0, 3.0], [40.0, 0.0], [40.0, 0.1]]);
        let mut usage = vec![vec![0; 2]; 2];
        let similarities = Tensor::<2>::from_floats(
            [[9.0, 1.0, 20.0, 0.0], [1.0, 2.0, 3.0, 4.0]],
            &Device::flex(),
        );
        count_usage(&mut usage, &similarities, &[0, 1], 2);
        assert_eq!(usage, vec![vec![1, 0], vec![0, 1]]);
        let health = PrototypeHealth::measure(&bank, usage);
        assert_eq!(health.smallest_distance[0], 3.0);
        assert_eq!(health.dead, 2);
        assert_eq!(health.collapsed, vec![1]);
        let names = ["cat".to_string(), "dog".to_string()];
        // As evaluations of a ProtoVAE, of a PanVAE and of systems without such a term have them.
        let orthonormality = ["prediction", "orthonormality"];
        let volume = ["prediction", "orthonormality", "volume"];
        for (terms, advised) in [
            (&orthonormality[..], Some("weights.orthonormality or")),
            (&volume, Some("weights.volume or")),
            (&["prediction", "cluster"], None),
        ] {
            let terms = terms.iter().map(|term| (term.to_string(), 1.0)).collect();
            let warnings = health.warnings(&names, &terms);
            assert!(
                warnings.len() == 1 && warnings[0].contains("dog"),
                "{warnings:?}"
            );
            match advised {
                Some(key) => assert!(warnings[0].contains(key), "{warnings:?}"),
                None => assert!(!warnings[0].contains("model."), "{warnings:?}"),
            }
        }
    }

    #[test]
    fn equal_prototypes_of_a_class_are_counted() {
        let bank = bank([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 3.0]]);
        let health = PrototypeHealth::measure(&bank, vec![vec![1; 2]; 2]);
        assert_eq!(health.duplicates, 1);
        let warnings = health.warnings(&[], &BTreeMap::new());
        assert!(
            warnings.iter().any(|warning| warning.starts_with("1 of 4")),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_single_prototype_a_class_is_not_a_collapse() {
        let bank = PrototypeBank {
            vectors: Tensor::from_floats([[0.0, 0.0], [1.0, 0.0]], &Device::flex()),
            classes: 2,
            per_class: 1,
        };
        let health = PrototypeHealth::measure(&bank, vec![vec![1], vec![1]]);
        assert!(health.collapsed.is_empty() && health.warnings(&[], &BTreeMap::new()).is_empty());
    }
}

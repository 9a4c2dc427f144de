//! Which prototypes are used, which are dead, which say the same.

use serde::{Deserialize, Serialize};

use super::{LatentTable, squared_distance};

/// Two prototypes of one class are duplicates if they lie nearer to each other than this share of the median distance between
/// the class's images and their nearest prototype of the class: no image could tell them apart.
pub const DUPLICATE_BELOW: f32 = 0.1;

/// Two prototypes of one class that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Their rows in the bank, the smaller first.
    pub prototypes: [usize; 2],
    /// How far they lie apart.
    pub distance: f32,
    /// The median distance between the class's images and their nearest prototype of the class; 0 for models that compare
    /// patches.
    pub typical_distance: f32,
}

/// How the prototypes are used by the images of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// For each prototype the images whose nearest prototype of all it is.
    pub nearest_of_all: Vec<u64>,
    /// For each prototype the images of its own class whose nearest prototype of that class it is.
    pub nearest_of_class: Vec<u64>,
    /// Prototypes that are the nearest of their class for no image of it.
    pub dead: Vec<usize>,
    /// Pairs that say the same; see [`DUPLICATE_BELOW`].
    pub duplicates: Vec<Duplicate>,
}

/// The position of the smallest value, the first of equals.
fn smallest(values: &[f32]) -> Option<usize> {
    let each = values.iter().enumerate();
    each.min_by(|a, b| a.1.total_cmp(b.1))
        .map(|(index, _)| index)
}

impl Usage {
    /// Counts; none if the model has no prototypes.
    pub fn of(table: &LatentTable) -> Option<Self> {
        let (prototypes, per_class) = (table.prototype_count(), table.per_class);
        if prototypes == 0 {
            return None;
        }
        let mut usage = Self {
            nearest_of_all: vec![0; prototypes],
            nearest_of_class: vec![0; prototypes],
            dead: Vec::new(),
            duplicates: Vec::new(),
        };
        let mut own_distances = vec![Vec::new(); table.classes];
        for (image, label) in table.labels.iter().enumerate() {
            let Some(row) = table.remoteness(image) else {
                continue;
            };
            if let Some(best) = smallest(&row) {
                usage.nearest_of_all[best] += 1;
            }
            let Some(own) = row.get(label * per_class..(label + 1) * per_class) else {
                continue;
            };
            if let Some(best) = smallest(own) {
                usage.nearest_of_class[label * per_class + best] += 1;
                own_distances[*label].push(own[best].max(0.0).sqrt());
            }
        }
        usage.dead = (0..prototypes)
            .filter(|row| usage.nearest_of_class[*row] == 0)
            .collect();
        for (class, mut distances) in own_distances.into_iter().enumerate() {
            if distances.is_empty() {
                continue;
            }
            distances.sort_by(f32::total_cmp);
            let by_patches = table.distances.is_empty();
            // Similarities are no distances: only what is one and the same patch is a duplicate then.
            let typical_distance = match by_patches {
                true => 0.0,
                false => distances[distances.len() / 2],
            };
            let rows = class * per_class..(class + 1) * per_class;
            for first in rows.clone() {
                for second in first + 1..rows.end {
                    let (Some(a), Some(b)) = (table.prototype(first), table.prototype(second))
                    else {
                        continue;
                    };
                    let distance = squared_distance(a, b).sqrt();
                    let is_same = by_patches && distance == 0.0;
                    if is_same || distance < DUPLICATE_BELOW * typical_distance {
                        usage.duplicates.push(Duplicate {
                            prototypes: [first, second],
                            distance,
                            typical_distance,
                        });
                    }
                }
            }
        }
        Some(usage)
    }

    /// What a user should be told, with the names of the classes and `M`.
    pub fn warnings(&self, class_names: &[String], per_class: usize) -> Vec<String> {
        let per_class = per_class.max(1);
        let name = |row: &usize| match class_names.get(row / per_class) {
            Some(class) => format!("{class} #{}", row % per_class),
            None => format!("{} #{}", row / per_class, row % per_class),
        };
        let mut warnings = Vec::new();
        if !self.dead.is_empty() {
            let names: Vec<String> = self.dead.iter().map(name).collect();
            warnings.push(format!(
                "nearest of its class for no image of it: {}",
                names.join(", ")
            ));
        }
        for pair in &self.duplicates {
            let [first, second] = pair.prototypes;
            if pair.distance == 0.0 {
                warnings.push(format!(
                    "{} and {} are the same",
                    name(&first),
                    name(&second)
                ));
                continue;
            }
            warnings.push(format!(
                "{} and {} say the same: {:.3} apart, where images of the class lie {:.3} from their prototype",
                name(&first),
                name(&second),
                pair.distance,
                pair.typical_distance
            ));
        }
        warnings
    }
}

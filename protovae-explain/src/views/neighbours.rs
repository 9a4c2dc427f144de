//! The images that lie around each prototype.

use serde::{Deserialize, Serialize};

use super::LatentTable;

/// An image and how far it lies from a prototype.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The image's row in the table.
    pub image: usize,
    /// Its class.
    pub label: usize,
    /// The squared distance of its posterior mean to the prototype; for models that compare patches, which have no means,
    /// [`LatentTable::remoteness`].
    pub squared_distance: f32,
    /// Its similarity to the prototype, for models that compare patches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
}

/// For each prototype the images that lie nearest to it, and those of its own class that lie farthest from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// `nearest[k·M + j]`: of any class, nearest first.
    pub nearest: Vec<Vec<Neighbour>>,
    /// Of the prototype's own class, nearest first.
    pub nearest_of_class: Vec<Vec<Neighbour>>,
    /// Of the prototype's own class, farthest first.
    pub farthest_of_class: Vec<Vec<Neighbour>>,
}

impl Neighbours {
    /// At most `count` images of each kind; of equals the one that comes first in the table.
    pub fn of(table: &LatentTable, count: usize) -> Self {
        let prototypes = table.prototype_count();
        let per_class = table.per_class.max(1);
        let mut all = Self {
            nearest: Vec::with_capacity(prototypes),
            nearest_of_class: Vec::with_capacity(prototypes),
            farthest_of_class: Vec::with_capacity(prototypes),
        };
        for prototype in 0..prototypes {
            let of_prototype = |all: &[f32]| -> Vec<f32> {
                let column = all.iter().skip(prototype).step_by(prototypes);
                column.copied().collect()
            };
            let similarities = of_prototype(&table.similarities);
            let mut distances = of_prototype(&table.distances);
            if distances.is_empty() {
                distances.extend(similarities.iter().map(|similarity| (-similarity).exp()));
            }
            let neighbours = distances.into_iter().zip(&table.labels).enumerate();
            let everyone: Vec<Neighbour> = neighbours
                .map(|(image, (squared_distance, label))| Neighbour {
                    image,
                    label: *label,
                    squared_distance,
                    similarity: similarities.get(image).copied(),
                })
                .collect();
            let class = prototype / per_class;
            let own: Vec<Neighbour> = everyone
                .iter()
                .copied()
                .filter(|neighbour| neighbour.label == class)
                .collect();
            all.nearest.push(first(everyone, count, false));
            all.nearest_of_class.push(first(own.clone(), count, false));
            all.farthest_of_class.push(first(own, count, true));
        }
        all
    }
}

/// The `count` nearest or farthest, in order.
fn first(mut neighbours: Vec<Neighbour>, count: usize, farthest: bool) -> Vec<Neighbour> {
    let order = |a: &Neighbour, b: &Neighbour| {
        let by_distance = a.squared_distance.total_cmp(&b.squared_distance);
        let by_distance = if farthest {
            by_distance.reverse()
        } else {
            by_distance
        };
        by_distance.then(a.image.cmp(&b.image))
    };
    if count < neighbours.len() && count > 0 {
        neighbours.select_nth_unstable_by(count - 1, order);
    }
    neighbours.truncate(count);
    neighbours.sort_by(order);
    neighbours
}
